//! What to type next: the codes of the interface in the words of the command line.
//!
//! A node speaks of requests and their fields. Who typed a command knows its flags, so every code
//! that a node may answer with has a sentence here.

/// What to type or do about a refusal with this code; none for a code of a later release.
#[must_use]
pub(super) fn command_help(code: &str) -> Option<&'static str> {
    Some(match code {
        "unknown-version" => "build it anew with this release: `cairn tx build`",
        "transaction-too-large" => "shorten --data",
        "nonce-too-low" => "leave --nonce out, or build it anew: it may be confirmed already",
        "nonce-too-high" => "send the transactions with the nonces before it first, or leave --nonce out",
        "transfer-count" => "build it anew: `cairn tx build` makes one transfer",
        "zero-amount" => "give an --amount above 0",
        "amount-overflow" => "give a smaller --amount or --fee-rate: no account owns that much",
        "data-too-long" => "shorten --data, or keep it elsewhere and send its hash",
        "scheme-not-enabled" => "sign it with a key that this network takes: `cairn tx sign`",
        "wrong-signature" => "sign it anew, with the sender's key and for this network: `cairn tx sign`",
        "expired" | "expires-soon" => "build it anew with a later --valid-until, or without one",
        "fee-too-low" => "leave --fee-rate out, or raise it to what the message says",
        "insufficient-balance" => "send less: the greatest fee and what waits already count too",
        "below-reserve" => "send less: every account must keep the reserve of this network",
        "nonce-exhausted" => "this account can send nothing more",
        "already-known" => "it waits already: `cairn mempool` shows it",
        "too-many-from-sender" => "wait for a block, then send it again",
        "balance-pledged" => "wait until what the sender has waiting is confirmed: `cairn mempool` shows it",
        "replacement-too-cheap" => {
            "another transaction waits with this nonce: raise --fee-rate above it, or leave --nonce out"
        }
        "mempool-full" => "raise --fee-rate, or wait for a block",
        "transaction-too-heavy" => "shorten --data: so heavy a transaction fits no block",
        "truncated-bytes" | "trailing-bytes" | "list-too-long" | "unknown-kind" | "not-canonical" => {
            "these are not the bytes of a transaction: build and sign it anew"
        }
        "malformed-address" | "address-checksum" | "address-length" => "copy the address again",
        "address-of-another-network" => {
            "ask for the address on this network, or name a node of the other: `--node URL`"
        }
        "malformed-json"
        | "malformed-query"
        | "unsupported-media-type"
        | "no-such-path"
        | "method-not-allowed" => {
            "the node may be of another release: `cairn --version` tells which this one is"
        }
        "malformed-parameter" => "`--help` behind the command says what is expected",
        "broken-body" | "request-timeout" => "try again; is the machine or the way to it very busy?",
        "no-items" => "give a transaction",
        "too-many-items" | "body-too-large" => "send less at once: a smaller --batch",
        "host-not-allowed" | "origin-not-allowed" => {
            "name the node by its own address, such as `--node http://127.0.0.1:7780`"
        }
        "token-required" | "wrong-token" => {
            "the node writes a new token at each start; name the file it keeps it in: `--token-file FILE`"
        }
        "slow-down" => "wait a moment, then try again",
        "stopping" => "start the node again, then repeat the command",
        "no-invite" => "say where others find the node: `cairn network invite --address HOST:PORT`",
        "disk-full" => "make room on the disk of the node: it takes work again by itself",
        "store-failed" | "own-block-refused" => "what the node wrote to its stderr says why",
        "unknown-block" => "`cairn block` lists the newest",
        "unknown-transaction" => {
            "it may have expired or been replaced; `cairn mempool` shows what waits: send it again if it is still wanted"
        }
        "not-confirmed" => "only a block can prove it: wait for one",
        "history-unavailable" => "give a later --at, or ask a node that keeps more: `--node URL`",
        "height-ahead" => "give a lower height",
        "not-a-miner" => "start the node with `cairn node --role miner --producer ADDRESS`",
        "not-a-listed-miner" => {
            "start the node with the key of a listed miner: `cairn node --role miner --miner-key FILE`"
        }
        "block-count" => "ask for fewer: `--blocks N`",
        "no-threads" => "ask for fewer: the operating system starts no more",
        "mining-timeout" => "the node goes on: `cairn block` shows how far it is",
        "no-log" => "it was started inside another program, which keeps the log to itself",
        "no-links" => "start it with `--p2p-bind 0.0.0.0:7700`",
        "too-many-peers" => "remove one first: `cairn peers remove ADDRESS`",
        "unknown-peer" => "`cairn peers` and `cairn peers bans` list them",
        "no-faucet" => "only `cairn devnet` has one",
        "faucet-amount" => "ask for less",
        "faucet-limit" => "wait a minute, or send from a development account: `--from alice`",
        "too-many-subscribers" => "close another reader of events",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Every code that the page of the interface names among its errors.
    fn codes() -> BTreeSet<&'static str> {
        const PAGE: &str = include_str!("../../../../docs/spec/09-api.md");
        let (_, from) = PAGE.split_once("Codes of the rules about transactions").unwrap();
        let (about_errors, _) = from.split_once("\n## ").unwrap();
        let quoted = about_errors.split('`').skip(1).step_by(2);
        quoted.filter(|text| text.bytes().all(|it| it.is_ascii_lowercase() || it == b'-')).collect()
    }

    #[test]
    fn every_code_of_the_interface_has_a_help_that_speaks_of_flags() {
        let codes = codes();
        assert!(codes.len() > 60, "{}", codes.len());
        for code in codes {
            let help = command_help(code).unwrap_or_else(|| panic!("{code} has no help"));
            for part in ["GET ", "POST ", "/v1/", "_", "Authorization", "header"] {
                assert!(!help.contains(part), "{code} speaks of requests: {help}");
            }
        }
    }

    #[test]
    fn every_code_that_the_program_answers_with_has_a_help() {
        const RULES: &str = include_str!("../api/errors/rules.rs");
        // Blocks are judged behind the interface: their codes are in no answer.
        let (rules, _) = RULES.split_once("/// The refusal of a header").unwrap();
        let sources = [include_str!("../api/errors.rs"), rules];
        let quoted = sources.iter().flat_map(|text| text.split('"').skip(1).step_by(2));
        let is_code =
            |text: &&str| text.contains('-') && text.bytes().all(|it| it.is_ascii_lowercase() || it == b'-');
        let codes: BTreeSet<&str> = quoted.filter(is_code).collect();
        assert!(codes.len() > 60, "{}", codes.len());
        for code in codes {
            assert!(command_help(code).is_some(), "{code} has no help");
        }
    }

    #[test]
    fn a_code_of_a_later_release_has_none() {
        assert_eq!(command_help("something-new"), None);
    }
}
