use super::*;
use crate::scratch::Scratch;

const SPEC: &str = "# Validity\n\n**TX-3** A nonce MUST equal the account's.\n";
const ENUM: &str =
    "/// TX-3 and others.\npub enum TransactionError {\n    /// TX-3: a gap.\n    WrongNonce,\n}\n";
const TEST: &str = "#[cfg(test)]\nmod tests {\n    #[test]\n    fn tx_3_a_gap_is_refused() {}\n}\n";

/// What is found in a tree with this page, this file in cairn-core and this one in cairn-node.
fn found(spec: &str, core: &str, node: &str) -> Vec<String> {
    let scratch = Scratch::empty();
    scratch.write("docs/spec/04-validity.md", spec);
    scratch.write("crates/cairn-core/src/error.rs", core);
    scratch.write("crates/cairn-node/src/mempool.rs", node);
    match check(&scratch.repository()) {
        Ok(_) => Vec::new(),
        Err(refusal) => refusal.findings,
    }
}

#[test]
fn sentence_variant_and_test_together_are_accepted() {
    assert_eq!(found(SPEC, ENUM, TEST), [""; 0]);
    assert_eq!(found("", "", ""), [""; 0]);
}

#[test]
fn a_missing_sentence_is_refused() {
    assert_eq!(
        found("", ENUM, TEST),
        ["TX-3 has no sentence in docs/spec (crates/cairn-core/src/error.rs:3)"]
    );
}

#[test]
fn a_missing_folder_of_sentences_is_refused_like_missing_sentences() {
    let scratch = Scratch::empty();
    scratch.write("crates/cairn-core/src/error.rs", &[ENUM, TEST].concat());
    let findings = check(&scratch.repository()).unwrap_err().findings;
    assert_eq!(findings, ["TX-3 has no sentence in docs/spec (crates/cairn-core/src/error.rs:3)"]);
}

#[test]
fn a_missing_variant_is_refused() {
    assert_eq!(found(SPEC, "", TEST), ["TX-3 has no error variant (docs/spec/04-validity.md:3)"]);
}

#[test]
fn a_missing_test_is_refused() {
    assert_eq!(found(SPEC, ENUM, ""), ["TX-3 has no test: name one tx_3_…"]);
}

#[test]
fn a_function_that_is_no_test_does_not_count() {
    assert_eq!(found(SPEC, ENUM, &TEST.replace("#[test]", "")), ["TX-3 has no test: name one tx_3_…"]);
}

#[test]
fn a_duplicate_variant_is_refused() {
    let twice = ENUM.replace("    WrongNonce,\n", "    WrongNonce,\n    /// TX-3: again.\n    Again,\n");
    let places = "crates/cairn-core/src/error.rs:3, crates/cairn-core/src/error.rs:5";
    assert_eq!(found(SPEC, &twice, TEST), [format!("TX-3 has 2 error variants ({places})")]);
}

#[test]
fn a_duplicate_sentence_is_refused() {
    let places = "docs/spec/04-validity.md:3, docs/spec/04-validity.md:6";
    assert_eq!(found(&[SPEC, SPEC].concat(), ENUM, TEST), [format!("TX-3 has 2 sentences ({places})")]);
}

#[test]
fn a_number_without_a_sentence_is_refused() {
    let findings = found("**TX-3**\n", ENUM, TEST);
    assert_eq!(findings, ["TX-3 has a number without a sentence (docs/spec/04-validity.md:1)"]);
}

#[test]
fn a_test_of_no_rule_is_refused() {
    let test = TEST.replace("tx_3_", "tx_4_");
    let findings = found(SPEC, &[ENUM, TEST].concat(), &test);
    assert_eq!(findings, ["TX-4 has a test and nothing else (crates/cairn-node/src/mempool.rs:4)"]);
}

#[test]
fn a_rule_outside_an_enum_is_refused() {
    let findings = found(SPEC, &[ENUM, "/// TX-3: a gap.\npub fn check_nonce() {}\n"].concat(), TEST);
    assert_eq!(findings, ["TX-3 stands outside an error enum (crates/cairn-core/src/error.rs:6)"]);
}

#[test]
fn a_rule_in_the_wrong_crate_is_refused() {
    let findings = found(SPEC, &[ENUM, TEST].concat(), ENUM);
    assert_eq!(findings, ["TX-3 belongs in crates/cairn-core/src/ (crates/cairn-node/src/mempool.rs:3)"]);
}

#[test]
fn the_mempools_rules_live_in_the_node() {
    let [spec, variants, test] =
        [SPEC, ENUM, TEST].map(|text| text.replace("TX-3", "MEM-1").replace("tx_3", "mem_1"));
    assert_eq!(found(&spec, "", &[variants, test].concat()), [""; 0]);
}

#[test]
fn an_unknown_family_is_refused_and_other_names_are_not() {
    let findings = found("**ABC-1** A rule.\n**SHA-256** is a hash.\n**Bytes** are bytes.\n", "", "");
    assert_eq!(
        findings,
        ["ABC-1 is of an unknown family: add ABC to xtask/src/rules.rs (docs/spec/04-validity.md:1)"]
    );
}
