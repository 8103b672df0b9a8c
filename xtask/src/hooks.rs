//! Git hooks that call xtask and hold nothing themselves.

use std::path::PathBuf;
use std::process::Command;

use crate::report::Refusal;
use crate::repository::{Repository, output_of};

/// Hook and chore.
const HOOKS: &[(&str, &str)] = &[("pre-commit", "quick"), ("pre-push", "check")];

/// Writes the hooks into the repository's hook folder; a hook that is not ours is left alone and refused.
pub(crate) fn install(repository: &Repository) -> Result<(), Refusal> {
    let mut command = Command::new("git");
    command.args(["rev-parse", "--git-path", "hooks"]).current_dir(&repository.root);
    let printed = output_of(&mut command, "hooks need git and a clone made with it")?;
    let folder = repository.root.join(PathBuf::from(String::from_utf8_lossy(&printed).trim()));
    for (hook, chore) in HOOKS {
        let path = folder.join(hook);
        let text = script(chore);
        let there = std::fs::read_to_string(&path).ok();
        if there.as_ref().is_some_and(|there| *there != text) {
            let finding = format!("{} exists and is not ours", path.display());
            return Err(Refusal::new(finding, format!("remove it, or call `cargo xtask {chore}` from it")));
        }
        write(&folder, &path, &text).map_err(|error| {
            Refusal::new(format!("{} cannot be written: {error}", path.display()), "check its rights")
        })?;
        println!("{hook} runs `cargo xtask {chore}`");
    }
    Ok(())
}

fn script(chore: &str) -> String {
    format!("#!/bin/sh\nexec cargo xtask {chore}\n")
}

fn write(folder: &std::path::Path, path: &std::path::Path, text: &str) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(path, text)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}
