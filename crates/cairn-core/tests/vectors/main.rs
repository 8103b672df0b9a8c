//! The vectors of Cairn's own formats: each test computes one file of `docs/spec/vectors`.
//!
//! A test compares what it computes with the file; with `BLESS=1` it writes the file instead, so that
//! a change of format is a difference somebody reads. `docs/spec/check.py` recomputes the same files
//! from the pages alone. Numbers of 64 bits and more are decimal strings, because JSON numbers are
//! exact to 2^53 only; narrower ones are numbers; bytes are lower-case hexadecimal.

#![expect(clippy::unwrap_used, reason = "a test stops where something is missing")]

mod blocks;
mod bytes;
mod chain;
mod chain_refusals;
mod economy;
mod fixture;
mod genesis;
mod history;
mod keys;
mod rule;
mod state;
mod transactions;
mod trees;
mod work;

use serde_json::Value;

/// Compares `computed` with the vectors in `docs/spec/vectors/{name}.json`, or writes them.
#[expect(clippy::disallowed_methods, reason = "a test that reads and rewrites vectors")]
fn settle(name: &str, computed: &Value) {
    let path = format!("{}/../../docs/spec/vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("BLESS").is_some() {
        let mut text = serde_json::to_string_pretty(computed).unwrap();
        text.push('\n');
        std::fs::write(path, text).unwrap();
        return;
    }
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{path}: {error}; `cargo xtask bless` writes it"));
    let kept: Value = serde_json::from_str(&text).unwrap();
    if let Some(difference) = first_difference(&kept, computed, name) {
        panic!("{difference}\nif the format was meant to change, run `cargo xtask bless` and read the diff");
    }
}

/// Where two values differ first, and how.
fn first_difference(kept: &Value, computed: &Value, place: &str) -> Option<String> {
    match (kept, computed) {
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
            a.iter().find_map(|(key, value)| first_difference(value, &b[key], &format!("{place}.{key}")))
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let mut pairs = a.iter().zip(b).enumerate();
            pairs.find_map(|(at, (a, b))| first_difference(a, b, &format!("{place}[{at}]")))
        }
        _ if kept == computed => None,
        _ => Some(format!("{place} is {kept} in the file and computes to {computed}")),
    }
}

#[test]
fn a_difference_of_vectors_is_found_and_named() {
    let kept = serde_json::json!({"a": [1, {"b": "x"}]});
    let other = serde_json::json!({"a": [1, {"b": "y"}]});
    assert_eq!(first_difference(&kept, &kept, "f"), None);
    let found = first_difference(&kept, &other, "f").unwrap();
    assert!(found.starts_with("f.a[1].b is \"x\""), "{found}");
}
