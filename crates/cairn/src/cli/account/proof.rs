//! `cairn account --proof`: what a proof says of an account, once it is checked here.

use crate::api::views::AccountProof;
use crate::cli::network::Network;
use crate::failure::CliError;
use crate::output::{self, Facts, Style, grouped, plural};
use cairn_core::account::{Account, StateValue};
use cairn_core::address::Address;
use cairn_core::block::{Header, block_id};
use cairn_core::codec::decode_exact;
use cairn_core::hash::{StatePath, StateRoot};
use cairn_core::numbers::{Nonce, WorkNonce};
use cairn_core::state::{ProofEnd, StateProof};

/// Checks a proof and shows what it proves.
pub(super) fn show(proof: &AccountProof, address: &Address, network: &Network) -> Result<(), CliError> {
    let root = check(proof, address)?;
    let mut facts = Facts::default();
    facts.add("address", &proof.address);
    match proof.balance {
        Some(balance) => facts.styled("balance", Style::Strong, network.coins(balance)),
        None => facts.styled("balance", Style::Warning, "there is no such account"),
    };
    if let Some(nonce) = proof.nonce {
        facts.add("transactions sent", grouped(nonce));
    }
    facts.add("after block", grouped(proof.height));
    facts.add("block", proof.block.to_string());
    facts.add("state root", root.to_string());
    let steps = plural(proof.siblings.len() as u64, "step");
    facts.styled("proof", Style::Good, format!("holds: {steps} up to the state root of the block"));
    facts.print();
    output::note("--json shows the proof itself, for others to check");
    Ok(())
}

/// Checks that the header is that of the block, and that the hashes lead from the account to its
/// state root. Returns that root.
fn check(proof: &AccountProof, address: &Address) -> Result<StateRoot, CliError> {
    let wrong = |message: &str| {
        CliError::failed("bad-proof", message).help("ask another node: `--node URL`; this one proves nothing")
    };
    let header: Header = decode_exact(&proof.header.0)
        .map_err(|error| wrong("the header of the proof is malformed").because(&error))?;
    let id = block_id(&header.seal_hash(), WorkNonce(proof.seal.nonce.0));
    if id != proof.block.into() || header.height.0 != proof.height {
        return Err(wrong("the header of the proof is not that of its block"));
    }
    let end = proof.leaf.as_ref().map_or(ProofEnd::Empty, |leaf| ProofEnd::Leaf {
        path: StatePath(leaf.path.0),
        value: leaf.value.0.clone(),
    });
    let siblings = proof.siblings.iter().map(|hash| hash.0).collect();
    let found = StateProof { siblings, end }
        .verify(header.state_root, &address.path())
        .map_err(|error| wrong("the proof does not hold").because(&error))?;
    let told = proof.balance.zip(proof.nonce).map(|(balance, nonce)| {
        StateValue::Account(Account { balance: balance.into(), nonce: Nonce(nonce) })
    });
    if found != told {
        return Err(wrong("the proof is of another account than the node says"));
    }
    Ok(header.state_root)
}
