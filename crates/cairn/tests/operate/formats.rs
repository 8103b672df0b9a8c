//! Directories that other releases wrote: older ones are opened, newer ones are refused and left alone.
//!
//! `fixtures/directory-1.tar.gz` is what release 0.1.0 left after a `kill -9`; fixtures/README.md says
//! how it was made. Later releases add theirs and keep opening this one.

use crate::home::{Home, contents};
use std::path::{Path, PathBuf};

/// What the fixture holds, as the release that made it saw it.
const TIP: &str = include_str!("../fixtures/directory-1.tip");

/// A home with the directory of a fixture in it.
fn unpack(name: &str) -> (Home, PathBuf) {
    let home = Home::new();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    home.shell(&format!("tar -xzf {}", file.display()));
    let directory = home.path("directory");
    (home, directory)
}

#[test]
fn a_directory_of_format_1_is_opened_with_all_it_holds() {
    let (home, directory) = unpack("directory-1.tar.gz");
    let place = directory.to_str().unwrap();
    // Whoever asks between an upgrade and the first start hears of the upgrade, not of damage alone.
    let diagnosis = home.json(&["doctor", "--data-dir", place]).0.to_string();
    assert!(diagnosis.contains("an early release wrote it"), "{diagnosis}");
    {
        let _node = home.start(&["node", "--data-dir", place, "--api-bind", "127.0.0.1:0"]);
        let (tip, _) = home.json(&["block", "tip"]);
        assert_eq!((tip["id"].as_str(), tip["height"].as_u64()), (Some(TIP.trim()), Some(4)));
        let (bob, _) = home.json(&["account", "bob"]);
        assert_eq!(bob["balance"], "100001500000000", "{bob}");
        let (waiting, _) = home.json(&["mempool"]);
        assert_eq!(waiting.as_array().unwrap().len(), 1, "{waiting}");
    }
    let (verified, status) = home.json(&["verify", "--data-dir", place]);
    assert_eq!((status, verified["tip"].as_str()), (0, Some(TIP.trim())));
}

#[test]
fn its_blocks_alone_are_enough() {
    let (home, directory) = unpack("directory-1.tar.gz");
    std::fs::remove_file(directory.join("state.redb")).unwrap();
    let (verified, status) = home.json(&["verify", "--data-dir", directory.to_str().unwrap()]);
    assert_eq!((status, verified["tip"].as_str()), (0, Some(TIP.trim())));
}

/// CRC-32C (RFC 3720, B.4), bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 * (crc & 1)))
    })
}

#[test]
fn a_newer_directory_is_refused_by_name_and_nothing_in_it_changes() {
    for log in ["blocks", "mempool"] {
        let (home, directory) = unpack("directory-1.tar.gz");
        // A later release raises the number of the format, in a header with a checksum, and notes itself.
        let file = directory.join(log).join(format!("{log}-000000.log"));
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[8..12].copy_from_slice(&2u32.to_le_bytes());
        let checksum = crc32c(&bytes[..64]);
        bytes[64..68].copy_from_slice(&checksum.to_le_bytes());
        std::fs::write(&file, bytes).unwrap();
        std::fs::write(directory.join("release"), "cairn 9.9.9 (0123456789ab)\n").unwrap();

        let before = contents(&directory);
        let place = directory.to_str().unwrap();
        for command in [&["node", "--api-bind", "127.0.0.1:0"][..], &["verify"]] {
            let (told, status) = home.json(&[command, &["--data-dir", place]].concat());
            assert_eq!((status, told["error"]["code"].as_str()), (1, Some("newer-format")), "{told}");
            let message = told["error"]["message"].as_str().unwrap();
            assert!(message.contains("has format 2, this program reads up to 1"), "{message}");
            let help = told["error"]["help"].as_str().unwrap();
            assert!(help.contains("cairn 9.9.9 (0123456789ab) wrote it"), "{help}");
            assert!(help.contains(env!("CARGO_PKG_VERSION")), "{help}");
        }
        assert!(contents(&directory) == before, "nothing is changed");
    }
}
