//! A throwaway copy of the workspace's outline, in which tests plant what must be refused.
//!
//! Nothing in it comes from outside, so cargo needs no network there; the folder goes when the value goes.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::repository::Repository;

/// A folder of its own under the system's temporary folder.
#[derive(Debug)]
pub(crate) struct Scratch {
    root: PathBuf,
}

impl Scratch {
    pub(crate) fn empty() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("cairn-xtask-{}-{number}", std::process::id()));
        // A run that was killed may have left its folder, and process ids come again.
        let _ = std::fs::remove_dir_all(&root);
        std::fs::create_dir_all(&root).unwrap();
        Self { root }
    }

    /// With the manifests of `repository`, and an empty source file for each crate.
    pub(crate) fn with_manifests(repository: &Repository) -> Self {
        let scratch = Self::empty();
        scratch.write("Cargo.toml", &repository.read("Cargo.toml".to_owned()).unwrap().text);
        for folder in ["crates", "xtask"] {
            for path in repository.files(folder).unwrap() {
                if let Some(home) = path.strip_suffix("/Cargo.toml") {
                    let manifest = repository.read(path.clone()).unwrap().text;
                    scratch.write(&path, &manifest);
                    scratch.write(&format!("{home}/src/lib.rs"), "");
                }
            }
        }
        scratch
    }

    pub(crate) fn repository(&self) -> Repository {
        Repository { root: self.root.clone() }
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Puts `addition` on the lines after the one text `place` of a file.
    pub(crate) fn insert_after(&self, path: &str, place: &str, addition: &str) {
        let text = std::fs::read_to_string(self.root.join(path)).unwrap();
        assert_eq!(text.matches(place).count(), 1, "{path} holds `{place}` once");
        self.write(path, &text.replace(place, &format!("{place}\n{addition}")));
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left behind lies in the system's temporary folder, which is swept anyway.
        let _ = std::fs::remove_dir_all(&self.root);
    }
}
