//! What is shipped: a tarball with the program and what belongs to it, and its checksum.
//!
//! The same commit, toolchain and system give the same bytes: files are sorted, have the time of the
//! commit and nobody's name, and the program does not hold the paths of the machine that built it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::report::Refusal;
use crate::repository::{Repository, output_of, run as run_program};

/// Where everything is put, below `target`.
const FOLDER: &str = "target/release-files";
/// Files of the repository that are shipped, and folders with all their files.
const SHIPPED: &[&str] = &[
    "CHANGELOG.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "SECURITY.md",
    "docs/operate",
    "packaging",
];
/// What makes shells complete commands: the shell, and the name under which it looks.
const COMPLETIONS: &[(&str, &str)] = &[("bash", "cairn.bash"), ("fish", "cairn.fish"), ("zsh", "_cairn")];

/// Builds the program as it is shipped, and packs it.
pub(crate) fn run(repository: &Repository) -> Result<(), Refusal> {
    let target = host(repository)?;
    let program = build(repository, &target)?;
    let commit_time = text_of(
        Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(&repository.root),
        "a release is made from a commit",
    )?;
    let version = version(repository)?;
    let folder = repository.root.join(FOLDER);
    let tarball = pack(repository, &program, &format!("cairn-{version}-{target}"), &commit_time, &folder)?;
    println!("{}", tarball.display());
    println!("{}", folder.join("SHA256SUMS").display());
    Ok(())
}

/// The system that is built for: this one.
fn host(repository: &Repository) -> Result<String, Refusal> {
    let printed = text_of(&mut repository.cargo(&["-vV"]), "is cargo installed?")?;
    let line = printed.lines().find_map(|line| line.strip_prefix("host: "));
    line.map(str::to_owned).ok_or_else(|| Refusal::new("`cargo -vV` names no host", "is cargo whole?"))
}

fn version(repository: &Repository) -> Result<String, Refusal> {
    let manifest = repository.read("Cargo.toml".to_owned())?.text;
    let line = manifest.lines().find_map(|line| line.strip_prefix("version = "));
    let version = line.map(|version| version.trim_matches('"').to_owned());
    version.ok_or_else(|| Refusal::new("Cargo.toml names no version", "it stands in [workspace.package]"))
}

/// Builds the program without the paths of this machine; returns where it lies.
fn build(repository: &Repository, target: &str) -> Result<PathBuf, Refusal> {
    let home = std::env::var("CARGO_HOME")
        .or_else(|_| std::env::var("HOME").map(|home| format!("{home}/.cargo")))
        .unwrap_or_else(|_| "/cargo".to_owned());
    let root = repository.root.display();
    // These join the flags that .cargo/config.toml has for the target.
    let flags = format!(
        "target.{target}.rustflags=['--remap-path-prefix={root}=/cairn','--remap-path-prefix={home}=/cargo']"
    );
    let arguments = ["build", "--locked", "--profile", "dist", "--package", "cairn", "--config", &flags];
    run_program(&mut repository.cargo(&arguments), "mend what cargo names above")?;
    Ok(repository.root.join("target/dist/cairn"))
}

/// Puts everything into `folder/NAME`, packs it, and writes its checksum; returns the tarball.
fn pack(
    repository: &Repository,
    program: &Path,
    name: &str,
    time: &str,
    folder: &Path,
) -> Result<PathBuf, Refusal> {
    let files = lay_out(repository, program, &folder.join(name))?;
    let tarball = format!("{name}.tar.gz");
    let mut tar = Command::new("tar");
    tar.current_dir(folder)
        .args(["--create", "--format=ustar", "--no-recursion", "--numeric-owner", "--owner=0", "--group=0"])
        .args([&format!("--mtime=@{time}"), "--use-compress-program=gzip -9n", "--file", &tarball])
        .args(files.iter().map(|file| format!("{name}/{file}")));
    output_of(&mut tar, "a release needs GNU tar and gzip")?;
    let mut checksum = Command::new("sha256sum");
    let sums = output_of(checksum.arg(&tarball).current_dir(folder), "a release needs sha256sum")?;
    write(&folder.join("SHA256SUMS"), &sums, 0o644)?;
    Ok(folder.join(tarball))
}

/// Puts everything where it lies in the tarball; returns the names of the files, sorted.
fn lay_out(repository: &Repository, program: &Path, to: &Path) -> Result<Vec<String>, Refusal> {
    if to.exists() {
        fs::remove_dir_all(to).map_err(|error| unwritable(to, &error))?;
    }
    let mut files = Vec::new();
    for shipped in SHIPPED {
        if repository.root.join(shipped).is_dir() {
            files.extend(repository.files(shipped)?);
        } else {
            files.push((*shipped).to_owned());
        }
    }
    for file in &files {
        let bytes = read(&repository.root.join(file))?;
        write(&to.join(file), &bytes, 0o644)?;
    }
    write(&to.join("cairn"), &read(program)?, 0o755)?;
    files.push("cairn".to_owned());
    for (shell, name) in COMPLETIONS {
        let mut command = Command::new(program);
        let script = output_of(command.args(["completions", shell]), "the program was built just now")?;
        let file = format!("completions/{name}");
        write(&to.join(&file), &script, 0o644)?;
        files.push(file);
    }
    files.extend(lay_out_pages(program, to)?);
    files.sort();
    Ok(files)
}

/// Has the program write the manual pages of its commands; returns their names.
fn lay_out_pages(program: &Path, to: &Path) -> Result<Vec<String>, Refusal> {
    let folder = to.join("man/man1");
    let mut command = Command::new(program);
    output_of(command.args(["man", "--to"]).arg(&folder), "the program was built just now")?;
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder).map_err(|error| unwritable(&folder, &error))? {
        let path = entry.map_err(|error| unwritable(&folder, &error))?.path();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644))
            .map_err(|error| unwritable(&path, &error))?;
        let name = path.file_name().expect("an entry of a folder has a name").to_string_lossy();
        files.push(format!("man/man1/{name}"));
    }
    Ok(files)
}

fn read(path: &Path) -> Result<Vec<u8>, Refusal> {
    fs::read(path).map_err(|error| {
        Refusal::new(format!("{} cannot be read: {error}", path.display()), "is this a whole working tree?")
    })
}

/// Writes a file with the same rights whatever the umask is.
fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Refusal> {
    let folder = path.parent().expect("every file lies in a folder");
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, bytes))
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
        .map_err(|error| unwritable(path, &error))
}

fn unwritable(path: &Path, error: &std::io::Error) -> Refusal {
    Refusal::new(format!("{} cannot be written: {error}", path.display()), "check its rights")
}

fn text_of(command: &mut Command, advice: &str) -> Result<String, Refusal> {
    let printed = output_of(command, advice)?;
    Ok(String::from_utf8_lossy(&printed).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    /// A program that says what it was asked, and writes a manual page.
    fn program(scratch: &Scratch) -> PathBuf {
        let script = "#!/bin/sh\necho \"$1 $2\"\n[ \"$1\" != man ] || { mkdir -p \"$3\" && echo page >\"$3/cairn.1\"; }\n";
        scratch.write("program", script);
        let path = scratch.repository().root.join("program");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn the_tarball_holds_what_is_shipped_and_nothing_else() {
        let scratch = Scratch::empty();
        let program = program(&scratch);
        let folder = scratch.repository().root.join("out");
        let tarball =
            pack(&Repository::current(), &program, "cairn-1.2.3-host", "1700000000", &folder).unwrap();
        let listed = text_of(Command::new("tar").arg("-tzf").arg(&tarball), "").unwrap();
        let mut names: Vec<&str> =
            listed.lines().map(|it| it.strip_prefix("cairn-1.2.3-host/").unwrap()).collect();
        names.retain(|name| !name.starts_with("docs/operate/"));
        let expected = [
            "CHANGELOG.md",
            "LICENSE-APACHE",
            "LICENSE-MIT",
            "README.md",
            "SECURITY.md",
            "cairn",
            "completions/_cairn",
            "completions/cairn.bash",
            "completions/cairn.fish",
            "man/man1/cairn.1",
            "packaging/Dockerfile",
            "packaging/alerts.yml",
            "packaging/cairn.service",
            "packaging/grafana-dashboard.json",
            "packaging/prometheus.yml",
            "packaging/sysusers.conf",
        ];
        assert_eq!(names, expected);
        assert!(listed.contains("/docs/operate/README.md"));
        let mut check = Command::new("sha256sum");
        check.args(["--check", "--strict", "SHA256SUMS"]).current_dir(&folder);
        assert_eq!(text_of(&mut check, "").unwrap(), "cairn-1.2.3-host.tar.gz: OK");
    }

    #[test]
    fn the_same_files_give_the_same_bytes_at_another_time_and_place() {
        let scratch = Scratch::empty();
        let program = program(&scratch);
        let [first, second] = ["one", "two"].map(|folder| {
            let folder = scratch.repository().root.join(folder);
            fs::read(pack(&Repository::current(), &program, "cairn", "1700000000", &folder).unwrap()).unwrap()
        });
        assert!(first == second);
    }

    #[test]
    fn the_version_is_that_of_the_workspace() {
        let version = version(&Repository::current()).unwrap();
        assert!(version.starts_with(|c: char| c.is_ascii_digit()), "{version}");
    }
}
