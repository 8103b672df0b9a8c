//! Links and file names in the docs that lead nowhere.
//!
//! Checked are links within the repository, with their headings, and names in `code` that begin with one of its
//! folders or end in `.rs` or `.md`. Decisions and the changelog tell history: only their links are checked.

use std::collections::BTreeSet;

use crate::report::Refusal;
use crate::repository::{Repository, SourceFile};

/// A name in `code` that begins like this is a path from the root.
const FOLDERS: &[&str] =
    &["crates/", "docs/", "examples/", "xtask/", "packaging/", "fuzz/", "web/", ".ci/", ".cargo/"];

/// Characters of a pattern, a placeholder or a command: such a name is no file's.
const NOT_IN_NAMES: &[char] = &['*', '{', '<', '$', '…', ' ', '(', '='];

/// Checks `*.md` of the root and everything below `docs`.
pub(crate) fn check(repository: &Repository) -> Result<String, Refusal> {
    let files: BTreeSet<String> = repository.files("")?.into_iter().collect();
    let mut pages = Vec::new();
    for path in &files {
        if path.ends_with(".md") && (path.starts_with("docs/") || !path.contains('/')) {
            pages.push(repository.read(path.clone())?);
        }
    }
    let mut findings = Vec::new();
    let mut count = 0;
    for page in &pages {
        for (line, reference) in references(&page.text) {
            count += 1;
            if let Some(complaint) = complaint(page, &reference, &files, &pages) {
                findings.push(format!("{}:{line}: {complaint}", page.path));
            }
        }
    }
    let summary = format!("{count} links and names on {} pages", pages.len());
    Refusal::unless_empty(findings, summary, "mend the page, or the file that moved away from it")
}

/// What a page refers to.
#[derive(Debug, PartialEq, Eq)]
enum Reference {
    /// The target of a link.
    Link(String),
    /// A text between backticks.
    Name(String),
}

fn complaint(
    page: &SourceFile,
    reference: &Reference,
    files: &BTreeSet<String>,
    pages: &[SourceFile],
) -> Option<String> {
    match reference {
        Reference::Link(target) => {
            let (path, heading) = target.split_once('#').unwrap_or((target, ""));
            let path = if path.is_empty() { page.path.clone() } else { resolve(&page.path, path)? };
            if !exists(&path, files) {
                return Some(format!("the link `{target}` leads nowhere"));
            }
            let there = pages.iter().find(|page| page.path == path)?;
            let missing = !heading.is_empty() && !headings(&there.text).contains(heading);
            missing.then(|| format!("{path} has no heading `#{heading}`"))
        }
        Reference::Name(_) if tells_history(&page.path) => None,
        Reference::Name(name) => {
            let path = name.trim_end_matches('/');
            let from_root = FOLDERS.iter().any(|folder| name.starts_with(folder));
            let beside = resolve(&page.path, path).is_some_and(|path| exists(&path, files));
            let known = exists(path, files) || beside || (!from_root && ends_a_path(path, files));
            (!known).then(|| format!("there is no `{name}`"))
        }
    }
}

fn tells_history(path: &str) -> bool {
    path == "CHANGELOG.md" || path.starts_with("docs/adr/")
}

/// Whether `path` is a file or a folder with files.
fn exists(path: &str, files: &BTreeSet<String>) -> bool {
    let below = format!("{path}/");
    files.contains(path)
        || path.is_empty()
        || files.range(below.clone()..).next().is_some_and(|file| file.starts_with(&below))
}

fn ends_a_path(name: &str, files: &BTreeSet<String>) -> bool {
    let ending = format!("/{name}");
    files.iter().any(|file| file.ends_with(&ending))
}

/// `target` as a path from the root, seen from the file `from`; `None` if it leaves the repository.
fn resolve(from: &str, target: &str) -> Option<String> {
    let mut folders: Vec<&str> = from.split('/').collect();
    folders.pop();
    for name in target.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                folders.pop()?;
            }
            name => folders.push(name),
        }
    }
    Some(folders.join("/"))
}

/// Links and names of a page with their lines; code blocks are left out.
fn references(text: &str) -> Vec<(usize, Reference)> {
    let mut found = Vec::new();
    for (line, content) in outside_code_blocks(text) {
        for (at, span) in content.split('`').enumerate() {
            let is_code = at % 2 == 1;
            if is_code && is_name(span) {
                found.push((line, Reference::Name(span.to_owned())));
            } else if !is_code {
                found.extend(links(span).map(|target| (line, Reference::Link(target))));
            }
        }
    }
    found
}

fn links(text: &str) -> impl Iterator<Item = String> + '_ {
    let inline = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let defined =
        text.strip_prefix('[').and_then(|rest| rest.split_once("]: ")).map(|(_, target)| target.trim());
    inline
        .chain(defined)
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
        .map(str::to_owned)
}

fn is_name(span: &str) -> bool {
    let looks_like_a_file = FOLDERS.iter().any(|folder| span.starts_with(folder))
        || [".rs", ".md"].iter().any(|ending| span.len() > ending.len() && span.ends_with(ending));
    looks_like_a_file && !span.contains(NOT_IN_NAMES) && !span.starts_with('/')
}

/// The headings of a page as the anchors that forges make of them.
fn headings(text: &str) -> BTreeSet<String> {
    outside_code_blocks(text)
        .filter(|(_, line)| line.starts_with('#'))
        .map(|(_, line)| anchor(line.trim_start_matches('#').trim()))
        .collect()
}

fn anchor(heading: &str) -> String {
    let kept = heading
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .collect::<String>();
    kept.replace(' ', "-")
}

fn outside_code_blocks(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut inside = false;
    text.lines().enumerate().filter_map(move |(at, line)| {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        (!inside && !fence).then_some((at + 1, line))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    /// What is found in a tree with this page, one other page and one source file.
    fn found(path: &str, text: &str) -> Vec<String> {
        let scratch = Scratch::empty();
        scratch.write("crates/cairn-core/src/rules/block.rs", "");
        scratch.write("docs/spec/01-bytes.md", "# Bytes\n\n## What is signed: tags\n");
        scratch.write(path, text);
        match check(&scratch.repository()) {
            Ok(_) => Vec::new(),
            Err(refusal) => refusal.findings,
        }
    }

    #[test]
    fn what_exists_is_accepted() {
        let page = "[a](../docs/spec/01-bytes.md) [`b`](spec/01-bytes.md#what-is-signed-tags) [c](#tour) [d](../crates)\n\
            `rules/block.rs` `block.rs` `docs/spec` `docs/spec/` `docs/spec/*.md` [e](https://example.org/x.md)\n\
            # Tour\n```\n[f](nowhere.md) `nowhere.rs`\n```\n[g]: spec/01-bytes.md\n`cargo xtask check`";
        assert_eq!(found("docs/tour.md", page), [""; 0]);
    }

    #[test]
    fn a_link_to_nowhere_is_refused() {
        let complaint = "docs/tour.md:2: the link `spec/02-keys.md` leads nowhere";
        assert_eq!(found("docs/tour.md", "\n[keys](spec/02-keys.md)"), [complaint]);
        assert_eq!(found("docs/tour.md", "\n[the `Key`](spec/02-keys.md)"), [complaint]);
        assert_eq!(found("docs/tour.md", "\n[keys]: spec/02-keys.md"), [complaint]);
    }

    #[test]
    fn a_link_to_a_missing_heading_is_refused() {
        let findings = found("README.md", "[bytes](docs/spec/01-bytes.md#borsh)");
        assert_eq!(findings, ["README.md:1: docs/spec/01-bytes.md has no heading `#borsh`"]);
    }

    #[test]
    fn a_name_of_no_file_is_refused() {
        for name in ["crates/cairn-core/src/block.rs", "rules/transaction.rs", "lock.rs", "docs/operate"] {
            let findings = found("ARCHITECTURE.md", &format!("see `{name}`"));
            assert_eq!(findings, [format!("ARCHITECTURE.md:1: there is no `{name}`")]);
        }
    }

    #[test]
    fn history_may_name_what_is_gone_and_must_not_link_to_it() {
        assert_eq!(found("docs/adr/0001-crates.md", "`gone.rs`"), [""; 0]);
        assert_eq!(
            found("CHANGELOG.md", "[x](gone.md)"),
            ["CHANGELOG.md:1: the link `gone.md` leads nowhere"]
        );
    }
}
