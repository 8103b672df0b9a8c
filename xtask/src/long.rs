//! The longest functions and files: a prompt for a talk, never a failure.

use crate::report::Refusal;
use crate::repository::{Repository, SourceFile};

const SHOWN: usize = 10;

/// Prints the ten longest functions and files; tests are left out.
pub(crate) fn show(repository: &Repository) -> Result<(), Refusal> {
    let mut sources = repository.sources("crates", ".rs")?;
    sources.extend(repository.sources("xtask", ".rs")?);
    let programs: Vec<SourceFile> = sources
        .into_iter()
        .filter(|file| !file.path.contains("/tests"))
        .map(|file| SourceFile { text: without_tests(&file.text).to_owned(), ..file })
        .collect();
    let functions = programs.iter().flat_map(functions).collect();
    let files = programs.iter().map(|file| (file.text.lines().count(), file.path.clone())).collect();
    print_longest("functions", functions);
    print_longest("files", files);
    Ok(())
}

fn print_longest(what: &str, mut lengths: Vec<(usize, String)>) {
    lengths.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    println!("longest {what}, in lines without tests");
    for (length, name) in lengths.iter().take(SHOWN) {
        println!("{length:>6}  {name}");
    }
}

/// What stands before the test module that closes a file.
fn without_tests(text: &str) -> &str {
    text.find("\n#[cfg(test)]\nmod ").map_or(text, |end| &text[..end])
}

/// Each function of a file as rustfmt writes it: it ends at the brace in the column where it began.
fn functions(file: &SourceFile) -> Vec<(usize, String)> {
    let lines: Vec<&str> = file.text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let indent = line.len() - line.trim_start().len();
        let closes = |line: &&str| line.trim_end() == format!("{}}}", " ".repeat(indent));
        if let Some(rest) = lines[start..].iter().position(closes) {
            found.push((rest + 1, format!("{name} ({}:{})", file.path, start + 1)));
        }
    }
    found
}

fn function_name(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace().skip_while(|word| {
        word.starts_with("pub") || matches!(*word, "const" | "async" | "unsafe" | "extern")
    });
    let is_function = words.next() == Some("fn") && !line.ends_with(';') && !line.ends_with('}');
    words.next().filter(|_| is_function)?.split(['(', '<']).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_measured_to_their_closing_brace() {
        let text = "pub(crate) const fn one() -> u8 {\n    1\n}\n\nimpl X {\n    fn two<T>(\n        t: T,\n    ) -> T {\n        t\n    }\n}\n\
                    \n#[cfg(test)]\nmod tests {\n}\n";
        let file = SourceFile { path: "x.rs".to_owned(), text: without_tests(text).to_owned() };
        assert_eq!(functions(&file), [(3, "one (x.rs:1)".to_owned()), (5, "two (x.rs:6)".to_owned())]);
    }
}
