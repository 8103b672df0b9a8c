//! Who may read and write what the node keeps, whether its port is free, and how much it may open.

use super::super::context::Context;
use super::super::network::read_key;
use super::Finding;
use crate::api::guard::TOKEN_FILE;
use crate::paths::RunningNode;
use crate::run::service::bind;
use rustix::process::{Resource, getrlimit};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// What connections, logs and database open at the same time, with some to spare.
const FILES_WANTED: u64 = 1_024;

pub(super) fn examine(directory: &Path, node: Option<&RunningNode>, context: &Context) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(data_directory(directory));
    let token_file = node.map_or_else(|| directory.join(TOKEN_FILE), |node| node.token_file.clone());
    findings.extend(token(&token_file));
    for key in ["key_file", "miner_key"] {
        findings.extend(context.settings.get(key).map(|file| key_file(Path::new(file))));
    }
    findings.push(port(node, context));
    findings.push(limit());
    findings
}

fn data_directory(directory: &Path) -> Option<Finding> {
    const CHECK: &str = "data";
    let metadata = std::fs::metadata(directory).ok()?;
    let place = directory.display();
    let own = rustix::process::getuid().as_raw();
    Some(if metadata.uid() != own && own != 0 {
        let message = format!("{place} belongs to user {}, you are user {own}", metadata.uid());
        Finding::wrong(CHECK, message, "run the node and its commands as the owner")
    } else if metadata.mode() & 0o022 != 0 {
        let message = format!("others may write to {place}");
        Finding::wrong(CHECK, message, format!("chmod go-w {place}"))
    } else {
        Finding::fine(CHECK, format!("only its owner writes to {place}"))
    })
}

fn token(file: &Path) -> Option<Finding> {
    const CHECK: &str = "token";
    let mode = std::fs::metadata(file).ok()?.mode();
    Some(if mode & 0o077 != 0 {
        let help = format!("chmod 600 {}, and start the node anew for another token", file.display());
        Finding::wrong(CHECK, "others may read it, and change the node with it", help)
    } else {
        Finding::fine(CHECK, "only its owner reads it")
    })
}

fn key_file(file: &Path) -> Finding {
    const CHECK: &str = "key file";
    match read_key(file) {
        Ok(_) => Finding::fine(CHECK, format!("only its owner reads {}", file.display())),
        Err(error) => {
            let help = format!("it must hold a key, and `chmod 600 {}` keeps others out", file.display());
            Finding::wrong(CHECK, error.message(), help)
        }
    }
}

fn port(node: Option<&RunningNode>, context: &Context) -> Finding {
    const CHECK: &str = "port";
    if let Some(node) = node {
        return Finding::fine(CHECK, format!("the node listens at {}", node.api));
    }
    let address = context.settings.get("api_bind").expect("the address has a default");
    let address = address.parse().expect("settings are checked when they are read");
    match bind(address) {
        Ok(_) => Finding::fine(CHECK, format!("{address} is free")),
        Err(error) => Finding::wrong(CHECK, error.to_string(), "choose another: `--api-bind 127.0.0.1:7781`"),
    }
}

fn limit() -> Finding {
    const CHECK: &str = "open files";
    // No figure is no limit.
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if files < FILES_WANTED {
        let message = format!("at most {files} at a time");
        Finding::warning(CHECK, message, format!("allow more: `ulimit -n {FILES_WANTED}`, or LimitNOFILE="))
    } else {
        Finding::fine(CHECK, format!("{FILES_WANTED} and more may be open"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Grade;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn what_others_may_write_or_read_is_wrong_and_the_help_mends_it() {
        let directory = tempfile::tempdir().unwrap();
        let set = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        assert_eq!(data_directory(&directory.path().join("none")), None);
        set(directory.path(), 0o755);
        assert_eq!(data_directory(directory.path()).unwrap().grade, Grade::Fine);
        set(directory.path(), 0o777);
        let found = data_directory(directory.path()).unwrap();
        assert_eq!(found.grade, Grade::Wrong);
        assert_eq!(found.help, format!("chmod go-w {}", directory.path().display()));

        let file = directory.path().join(TOKEN_FILE);
        assert_eq!(token(&file), None);
        fs::write(&file, "secret").unwrap();
        set(&file, 0o644);
        assert_eq!(token(&file).unwrap().grade, Grade::Wrong);
        set(&file, 0o600);
        assert_eq!(token(&file).unwrap().grade, Grade::Fine);

        let key = directory.path().join("my.key");
        assert_eq!(key_file(&key).grade, Grade::Wrong);
        fs::write(&key, "3f".repeat(32)).unwrap();
        set(&key, 0o644);
        assert_eq!(key_file(&key).grade, Grade::Wrong);
        set(&key, 0o600);
        assert_eq!(key_file(&key).grade, Grade::Fine);
    }
}
