//! One fuzz target, by the name in `CAIRN_FUZZ_TARGET`: whatever libFuzzer thinks of is given to its body.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

static BODY: OnceLock<fn(&[u8])> = OnceLock::new();

fuzz_target!(|bytes: &[u8]| BODY.get_or_init(body)(bytes));

fn body() -> fn(&[u8]) {
    let asked = std::env::var("CAIRN_FUZZ_TARGET").expect("CAIRN_FUZZ_TARGET names the target");
    let targets = cairn_core::fuzz::TARGETS.into_iter();
    #[cfg(feature = "wallet")]
    let targets = targets.chain(cairn_wallet::fuzz::TARGETS);
    #[cfg(feature = "node")]
    let targets = targets.chain(cairn_node::wire::fuzz::TARGETS);
    #[cfg(feature = "p2p")]
    let targets = targets.chain(cairn_p2p::fuzz::TARGETS);
    #[cfg(feature = "api")]
    let targets = targets.chain(cairn::api::fuzz::TARGETS);
    let mut targets = targets;
    match targets.find(|(name, _)| *name == asked) {
        Some((_, body)) => body,
        None => panic!("there is no target `{asked}`"),
    }
}
