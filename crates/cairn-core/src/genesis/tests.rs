//! One test for each GEN rule, the examples, and what every genesis obeys.

use super::*;
use crate::account::StateValue;
use crate::address::{AddressError, AddressPrefix, PrefixError};
use crate::consensus::Consensus;
use crate::hash::StatePath;
use crate::network::Mode;
use crate::numbers::FeeRate;
use crate::signature::{PublicKey, Scheme};
use crate::target::CompactTargetError;
use proptest::prelude::*;

const SOLO: &str = include_str!("../../../../examples/solo-pow.toml");
const TEAM: &str = include_str!("../../../../examples/team-permit.toml");
const CLASS: &str = include_str!("../../../../examples/class-every-setting.toml");

/// An ed25519 key by its secret, 32 times this byte.
fn key(secret: u8) -> [u8; 32] {
    ed25519_zebra::VerificationKeyBytes::from(&ed25519_zebra::SigningKey::from([secret; 32])).into()
}

fn address(secret: u8) -> Address {
    PublicKey::Ed25519(key(secret)).address()
}

/// The address as it stands in a file of a network with the default prefix.
fn address_text(secret: u8) -> String {
    address(secret).to_text(&AddressPrefix::new("cairn").unwrap())
}

/// Parts whose block 0 takes a nonce or two.
fn easy_parts(mode: Mode) -> GenesisParts {
    let mut parts = GenesisParts::new("test", mode, false);
    if parts.section.first_target != CompactTarget::NONE {
        let easiest = Target::MAX.to_compact();
        (parts.section.first_target, parts.section.target_limit) = (easiest, easiest);
        parts.first_block.target = easiest;
    }
    parts
}

fn allocation(secret: u8, units: u64) -> Allocation {
    Allocation { address: address(secret), balance: Amount::from_units(units), nonce: Nonce(0), label: None }
}

fn seal(parts: GenesisParts) -> Genesis {
    let draft = GenesisDraft::new(parts).unwrap();
    let nonce = draft.find_nonce(0..1 << 20).unwrap();
    draft.seal(nonce).unwrap()
}

/// What is wrong with a file, and the text that each problem points at.
fn problems(text: &str) -> Vec<(GenesisError, &str)> {
    let problems = GenesisDraft::from_toml(text).unwrap_err().into_vec();
    let located = |problem: GenesisProblem| (problem.error, text.get(problem.span.unwrap()).unwrap());
    problems.into_iter().map(located).collect()
}

/// The one thing that is wrong with a file that has a name and the rest of the text.
fn problem(rest: &str) -> (GenesisError, String) {
    let text = format!("[network]\nname = \"n\"\n{rest}");
    let [(error, place)] = <[_; 1]>::try_from(problems(&text)).unwrap();
    (error, place.to_owned())
}

/// The one thing that is wrong with parts.
fn problem_of(change: impl FnOnce(&mut GenesisParts)) -> GenesisError {
    let mut parts = easy_parts(Mode::Pow);
    change(&mut parts);
    let [problem] = <[_; 1]>::try_from(GenesisDraft::new(parts).unwrap_err().into_vec()).unwrap();
    problem.error
}

fn out_of_range(found: i128, least: u64, most: u64) -> GenesisError {
    GenesisError::OutOfRange { found, least, most }
}

#[test]
fn the_examples_name_the_networks_that_they_always_named() {
    let identity = |text| Genesis::from_toml(text).unwrap().identity().to_string();
    assert_eq!(identity(SOLO), "0000c62a2e27197a68fb93f85c75db748b53e3e0f3a6ecd4c36f8f8976d86a1c");
    assert_eq!(identity(TEAM), "00048670c28c7542a85e3808bd0f69534f9ed7c21bb9349f40096b8cf3051810");
    assert_eq!(identity(CLASS), "0000a32038c9de34c5b907173a95e26949115b25c588094c61ab45f77b07266d");
}

#[test]
fn every_setting_of_the_class_is_honoured() {
    let genesis = Genesis::from_toml(CLASS).unwrap();
    let section = genesis.section();
    assert_eq!(
        (section.network.id, section.network.symbol.as_str(), section.network.decimals),
        (2026, "CLASS", 6)
    );
    assert_eq!((section.interval_ms, section.half_life_ms), (600_000, 36_000_000));
    assert_eq!(section.first_target, CompactTarget(0x1f00_ffff));
    assert_eq!(section.target_limit, CompactTarget(0x1f0f_fff0));
    assert_eq!(section.issuance.initial, Amount::from_units(100_000_000));
    assert_eq!(section.issuance.cap, Amount::from_units(50_000_000_000_000));
    assert_eq!((section.fees.floor, section.fees.moving, section.fees.burn), (FeeRate(2), true, false));
    let policy = genesis.policy();
    assert_eq!(
        (policy.min_transactions, policy.max_transactions, policy.empty_blocks),
        (Some(10), 100, false)
    );
    assert_eq!((&policy.placeholder, policy.peers_max), (&Placeholder::Random(15), 32));
    assert_eq!(genesis.block().header.time, Timestamp(1_788_249_600_000));
    assert_eq!(genesis.block().header.producer, address(1));
    assert_eq!(
        genesis.allocated(),
        Amount::from_units(1_000_000_000_000 + 1_000_000_000 + 999_999_999 + 100_000_000)
    );
    let mut state = genesis.state();
    let of = |secret| state.account(state.find(&address(secret).path()).unwrap());
    assert_eq!(of(1), Account { balance: Amount::from_units(1_000_100_000_000), nonce: Nonce(0) });
    assert_eq!(of(3), Account { balance: Amount::from_units(999_999_999), nonce: Nonce(7) });
    assert_eq!((state.len(), state.total()), (3, genesis.allocated()));
    assert_eq!(state.root(), genesis.block().header.state_root);
}

#[test]
fn a_small_file_has_the_defaults_and_a_cap_that_fits() {
    let genesis = Genesis::from_toml(SOLO).unwrap();
    let section = genesis.section();
    assert_eq!(section.mode, Mode::Pow);
    assert_eq!((section.interval_ms, section.half_life_ms, section.maturity), (10_000, 600_000, 20));
    assert_eq!((section.limits.block_weight, section.limits.block_transactions), (Weight(1 << 20), 5_000));
    assert_eq!(section.issuance.cap.units(), u64::MAX - genesis.allocated().units());
    assert_eq!(genesis.block().seal, Seal::Work { nonce: WorkNonce(35_485) });
    let devnet = Genesis::from_toml("[network]\nname = \"n\"\ndevnet = true").unwrap();
    assert_eq!(devnet.section().maturity, 0);
}

#[test]
fn block_0_commits_rules_and_accounts_and_a_child_can_follow() {
    let genesis = Genesis::from_toml(TEAM).unwrap();
    let block = genesis.block();
    assert_eq!(block.id(), *genesis.identity());
    assert_eq!(block.body.extra, genesis.section().to_bytes());
    assert_eq!(block.header.extra_hash, extra_hash(&block.body.extra));
    assert_eq!(block.header.tx_root, crate::merkle::root(&[]));
    assert_eq!(crate::block::decode_block(&genesis.block_bytes()).as_ref(), Ok(block));
    let consensus = Consensus::new(genesis.rules().clone()).unwrap();
    let parent = consensus.parent_of_next(&block.header, block.id(), None, |_| {});
    assert_eq!(parent.next_target, genesis.section().first_target);
    assert_eq!(parent.next_base_fee, block.header.base_fee);
}

#[test]
fn listed_keys_are_a_reserved_entry_of_the_state() {
    let genesis = Genesis::from_toml(TEAM).unwrap();
    let value = [&[0x02, 3, 0, 0, 0], key(1).as_slice(), &key(2), &key(3)].concat();
    let state = genesis.state();
    assert_eq!(state.reserved(b"authorities"), Some(value.as_slice()));
    assert!(matches!(StateValue::from_value_bytes(&value), Ok(StateValue::Reserved(_))));
    let proof = state.prove(&StatePath::of_reserved(b"authorities"));
    assert_eq!(
        proof.end,
        crate::state::ProofEnd::Leaf { path: StatePath::of_reserved(b"authorities"), value }
    );
    assert_eq!(Genesis::from_toml(SOLO).unwrap().state().reserved(b"authorities"), None);
}

#[test]
fn all_accounts_of_the_first_state_count_as_changed_and_none_can_be_rolled_back() {
    let genesis = Genesis::from_toml(TEAM).unwrap();
    let mut state = genesis.state();
    state.roll_back();
    assert_eq!(state.root(), genesis.block().header.state_root);
    assert_eq!(state.take_changes().len(), 2);
}

#[test]
fn policy_and_labels_are_not_part_of_the_identity() {
    let genesis = Genesis::from_toml(CLASS).unwrap();
    let changed = CLASS.replace("peers_max = 32", "peers_max = 33").replace("\"ada\"", "\"eve\"");
    let other = Genesis::from_toml(&changed).unwrap();
    assert_ne!(other, genesis);
    assert_eq!(other.identity(), genesis.identity());
    assert_eq!(other.to_bytes(), genesis.to_bytes());
}

#[test]
fn what_can_be_known_at_once_is_told_at_once_with_its_place() {
    let text = "[network]\nnmae = \"n\"\n[block]\ninterval = 10\n[[allocation]]\naddress = \"x\"\nbalance = \"1\"\n\
                [consensus]\nmode = \"poww\"\n[reward]\nmaturity = 20000\n";
    let found: Vec<_> = problems(text).into_iter().map(|(error, place)| (error.to_string(), place)).collect();
    let expected = [
        ("`network.name` is missing", "[network]"),
        ("`nmae` is unknown here, did you mean `name`?", "nmae"),
        ("this is a whole number, expected is a duration in quotes, such as \"10s\"", "10"),
        ("this is not an address: an address looks like cairn1…", "\"x\""),
        (
            "\"poww\" is none of \"pow\", \"pow+permit\", \"bft\", \"pow+finality\", did you mean `pow`?",
            "\"poww\"",
        ),
        ("20000 is outside 0 to 10000", "20000"),
    ];
    assert_eq!(found, expected.map(|(error, place)| (error.to_owned(), place)));
}

#[test]
fn what_cannot_be_read_makes_nothing_else_wrong() {
    let rest = "decimals = 99\n[[allocation]]\naddress = \"@\"\nbalance = \"0.123456789012345678\"\n\
                [genesis_block]\nreward = \"5\"\nproducer = \"@\"\n"
        .replace('@', &address_text(1));
    assert_eq!(problem(&rest), (out_of_range(99, 0, 18), "99".into()));
    let rest = "address_prefix = \"Big\"\n[[allocation]]\naddress = \"@\"\nbalance = \"1\"\n"
        .replace('@', &address_text(1));
    assert_eq!(problem(&rest), (PrefixError.into(), "\"Big\"".into()));
}

#[test]
fn gen_1_a_genesis_above_the_limit_is_not_read() {
    let bytes = vec![0; GENESIS_BYTES_MAX + 1];
    let [problem] = <[_; 1]>::try_from(Genesis::from_bytes(&bytes, None).unwrap_err().into_vec()).unwrap();
    assert_eq!(problem.error, GenesisError::TooManyBytes { found: bytes.len(), limit: GENESIS_BYTES_MAX });
}

#[test]
fn gen_2_text_that_is_not_toml_is_refused_where_it_goes_wrong() {
    for (text, place) in [("[network]\nname == 1\n", "="), ("[network]\nname = 1\nname = 2", "name")] {
        let found = problems(text);
        assert!(matches!(found.first(), Some((GenesisError::Syntax(_), at)) if *at == place), "{found:?}");
    }
}

#[test]
fn gen_3_unknown_names_are_refused_with_the_nearest_known_one() {
    let unknown = |found: &str, nearest| GenesisError::UnknownKey { found: found.into(), nearest };
    assert_eq!(problem("[blok]\n"), (unknown("blok", Some("block")), "blok".into()));
    assert_eq!(
        problem("[block]\nintervall = \"1s\"\n"),
        (unknown("intervall", Some("interval")), "intervall".into())
    );
    assert_eq!(problem("[fees]\nzzz = 1\n"), (unknown("zzz", None), "zzz".into()));
    let nested = problem("[policy]\nplaceholder = { randon = 3 }\n");
    assert_eq!(nested, (unknown("randon", Some("random")), "randon".into()));
}

#[test]
fn gen_4_a_float_or_a_number_is_no_amount() {
    let expected = "an amount of coins in quotes, such as \"12.5\"";
    for (value, found) in [("12.5", "a number with a point"), ("12", "a whole number"), ("[]", "a list")] {
        let refused = problem(&format!("[reward]\ncap = {value}\n"));
        assert_eq!(refused, (GenesisError::WrongType { found, expected }, value.into()));
    }
    let (error, _) = problem("[[block]]\ninterval = \"1s\"\n");
    assert_eq!(error, GenesisError::WrongType { found: "a list", expected: "a table" });
    let (error, _) = problem("[allocation]\nbalance = \"1\"\n");
    assert_eq!(error, GenesisError::WrongType { found: "a table", expected: "a list" });
}

#[test]
fn gen_5_a_missing_setting_is_told_by_name() {
    let missing = |setting| GenesisError::Missing { setting };
    assert_eq!(problems(""), [(missing(Setting::of("network", "name")), "")]);
    let setting = Setting::of("consensus", "miners");
    assert_eq!(problem("[consensus]\nmode = \"pow+permit\"\n"), (missing(setting), "[consensus]".into()));
    let (error, _) = problem(&format!("[[allocation]]\naddress = \"{}\"\n", address_text(1)));
    assert_eq!(error, missing(Setting::of_allocation(0, "balance")));
}

#[test]
fn gen_6_a_setting_that_the_mode_does_not_use_is_refused() {
    let not_used = |mode| GenesisError::NotUsed { mode };
    assert_eq!(problem("[consensus]\nturns = true\n"), (not_used("pow"), "true".into()));
    let fixed = problem("[difficulty]\nmode = \"fixed\"\nhalf_life = \"1h\"\n");
    assert_eq!(fixed, (not_used("fixed"), "\"1h\"".into()));
    let bft = format!("[consensus]\nmode = \"bft\"\nvalidators = [\"{}\"]\n", const_hex::encode(key(1)));
    assert_eq!(problem(&format!("{bft}[difficulty]\n")).0, not_used("bft"));
    assert_eq!(problem(&format!("{bft}[genesis_block]\nwork_nonce = 0\n")), (not_used("bft"), "0".into()));
}

#[test]
fn gen_7_what_is_said_twice_is_refused() {
    let (error, place) = problem("[difficulty]\nfirst_work = 9\nfirst_target = \"1f00ffff\"\n");
    assert_eq!(error, GenesisError::SaidTwice { other: Setting::of("difficulty", "first_target") });
    assert_eq!(place, "9");
    let (error, _) = problem("[policy]\nplaceholder = { random = 1, text = \"a\" }\n");
    assert_eq!(error, GenesisError::SaidTwice { other: Setting::of("policy.placeholder", "random") });
}

#[test]
fn gen_8_an_unknown_choice_is_refused() {
    let (error, place) = problem("[difficulty]\nmode = \"fixd\"\n");
    let expected = GenesisError::UnknownChoice {
        found: "fixd".into(),
        choices: &["adjusting", "fixed"],
        nearest: Some("fixed"),
    };
    assert_eq!((error, place.as_str()), (expected, "\"fixd\""));
}

#[test]
fn gen_9_numbers_outside_their_bounds_are_refused() {
    for (rest, expected) in [
        ("decimals = 19\n", out_of_range(19, 0, 18)),
        ("id = 4294967296\n", out_of_range(1 << 32, 0, u64::from(u32::MAX))),
        ("id = -1\n", out_of_range(-1, 0, u64::from(u32::MAX))),
        ("coin_type = 2147483648\n", out_of_range(1 << 31, 0, (1 << 31) - 1)),
        ("[block]\ninterval = \"0s\"\n", out_of_range(0, 1, 86_400_000)),
        ("[block]\ninterval = \"25h\"\n", out_of_range(90_000_000, 1, 86_400_000)),
        ("[block]\ntransactions_max = 0\n", out_of_range(0, 1, 94_254)),
        ("[block]\nextra_bytes_max = 65537\n", out_of_range(65_537, 0, 65_536)),
        ("[difficulty]\nhalf_life = \"9s\"\n", out_of_range(9_000, 10_000, 31_536_000_000)),
        ("[difficulty]\nfirst_work = 0\n", out_of_range(0, 1, u64::MAX)),
        ("[reward]\nmaturity = 10001\n", out_of_range(10_001, 0, 10_000)),
        ("[fees]\nfloor = 17592186044416\n", out_of_range(1 << 44, 0, (1 << 44) - 1)),
        ("[transactions]\nbytes_max = 177\n", out_of_range(177, 178, 65_536)),
        ("[transactions]\nbytes_max = 65537\n", out_of_range(65_537, 178, 65_536)),
        ("[transactions]\nbytes_max = 200\ndata_bytes_max = 201\n", out_of_range(201, 0, 200)),
        ("[transactions]\ntransfers_max = 257\n", out_of_range(257, 1, 256)),
        ("[policy]\nmax_transactions = 5001\n", out_of_range(5_001, 1, 5_000)),
        ("[policy]\nmin_transactions = 5001\n", out_of_range(5_001, 1, 5_000)),
        ("[policy]\nplaceholder = { random = 1025 }\n", out_of_range(1_025, 0, 1_024)),
        ("[policy]\npeers_max = 65536\n", out_of_range(65_536, 0, 65_535)),
        (
            "[genesis_block]\ntime = 253402300800000\n",
            out_of_range(253_402_300_800_000, 0, 253_402_300_799_999),
        ),
    ] {
        assert_eq!(problem(rest).0, expected, "{rest}");
    }
    let last_nonce = problem_of(|parts| {
        parts.allocations = vec![Allocation { nonce: Nonce(u64::MAX), ..allocation(1, 1) }];
    });
    assert_eq!(last_nonce, out_of_range(i128::from(u64::MAX), 0, u64::MAX - 1));
    let mode = Mode::PowFinality { validators: vec![key(1)], checkpoint_interval: 0, checkpoint_depth: 3 };
    assert_eq!(problem_of(|parts| parts.section.mode = mode), out_of_range(0, 1, 10_000));
}

#[test]
fn gen_10_a_duration_needs_a_unit() {
    let refused = problem("[block]\ninterval = \"10\"\n");
    assert_eq!(refused, (GenesisError::Duration { found: "10".into() }, "\"10\"".into()));
    let zero = problem("[difficulty]\nhalf_life = \"0s\"\n");
    assert_eq!(zero, (GenesisError::Duration { found: "0ms".into() }, "\"0s\"".into()));
}

#[test]
fn gen_11_an_amount_has_no_more_decimals_than_the_coin() {
    let (error, place) = problem("decimals = 2\n[reward]\ncap = \"0.125\"\n");
    let source = coins::CoinsError::TooManyDecimals { found: 3, limit: 2 };
    assert_eq!(error, GenesisError::Amount { found: "0.125".into(), source });
    assert_eq!(place, "\"0.125\"");
    let (error, _) = problem("[reward]\ncap = \"184467440737.09551616\"\n");
    let source = coins::CoinsError::TooMuch;
    assert_eq!(error, GenesisError::Amount { found: "184467440737.09551616".into(), source });
}

#[test]
fn gen_12_a_time_has_an_offset() {
    let refused = |value: &str, found: &str| {
        let expected = (GenesisError::Time { found: found.into() }, value.to_owned());
        assert_eq!(problem(&format!("[genesis_block]\ntime = {value}\n")), expected);
    };
    refused("2026-01-01T00:00:00", "2026-01-01T00:00:00");
    refused("\"today\"", "today");
    refused("-1", "-1");
    let time = |value: &str| {
        let text = format!("[network]\nname = \"n\"\n[genesis_block]\ntime = {value}\n");
        GenesisDraft::from_toml(&text).unwrap().header().time
    };
    assert_eq!(time("2026-01-01T00:00:00.5Z"), Timestamp(1_767_225_600_500));
    assert_eq!(time("\"2026-01-01T00:00:00.5Z\""), Timestamp(1_767_225_600_500));
    assert_eq!(time("1767225600500"), Timestamp(1_767_225_600_500));
}

#[test]
fn gen_13_a_name_is_neither_empty_nor_long_nor_full_of_control_characters() {
    for (rest, found, limit) in [
        ("symbol = \"\"\n", "", 12),
        ("symbol = \"THIRTEEN LONG\"\n", "THIRTEEN LONG", 12),
        ("symbol = \"a\\u001bb\"\n", "a\u{1b}b", 12),
    ] {
        assert_eq!(problem(rest).0, GenesisError::Name { found: found.into(), limit });
    }
    let name = "é".repeat(33);
    let refused = problem_of(|parts| parts.section.network.name.clone_from(&name));
    assert_eq!(refused, GenesisError::Name { found: name, limit: 64 });
}

#[test]
fn gen_14_a_prefix_has_lower_case_letters_and_digits() {
    assert_eq!(problem("address_prefix = \"1st\"\n"), (PrefixError.into(), "\"1st\"".into()));
}

#[test]
fn gen_15_an_address_of_another_network_or_with_a_slip_is_refused() {
    let good = address_text(1);
    let slip = good.replace("yn0", "yn9");
    let other = address(1).to_text(&AddressPrefix::new("other").unwrap());
    let expected = AddressPrefix::new("cairn").unwrap();
    for (text, error) in [
        (slip, AddressError::Checksum),
        (other, AddressError::WrongNetwork { found: "other".into(), expected }),
    ] {
        let refused = problem(&format!("[[allocation]]\naddress = \"{text}\"\nbalance = \"1\"\n"));
        assert_eq!(refused, (error.into(), format!("\"{text}\"")));
    }
}

#[test]
fn gen_16_a_second_allocation_of_an_address_is_refused_by_its_place_in_the_file() {
    let entry = |text: &str| format!("[[allocation]]\naddress = \"{text}\"\nbalance = \"1\"\n");
    let text = ["[network]\nname = \"n\"\n", &entry("x"), &entry(&address_text(1)), &entry(&address_text(1))]
        .concat();
    let found = GenesisDraft::from_toml(&text).unwrap_err().into_vec();
    assert_eq!(found[1].error, GenesisError::AllocatedTwice { address: address(1), first: 1 });
    assert_eq!(found[1].setting, Some(Setting::of_allocation(2, "address")));
    assert_eq!(found[1].span.as_ref().map(|span| span.start), text.rfind("\"cairn1"));
}

#[test]
fn gen_17_an_account_below_the_reserve_is_refused() {
    let below = |found| GenesisError::BelowReserve {
        found: Amount::from_units(found),
        reserve: Amount::from_units(10),
    };
    let refused = problem_of(|parts| {
        parts.section.reserve = Amount::from_units(10);
        parts.allocations = vec![allocation(1, 9)];
    });
    assert_eq!(refused, below(9));
    // The reward of block 0 counts, for an account that is allocated and for one that is not.
    let mut parts = easy_parts(Mode::Pow);
    parts.section.reserve = Amount::from_units(10);
    parts.first_block.producer = address(1);
    parts.first_block.reward = Amount::from_units(1);
    parts.allocations = vec![allocation(1, 9)];
    assert!(GenesisDraft::new(parts.clone()).is_ok());
    parts.allocations = vec![allocation(2, 10)];
    assert_eq!(GenesisDraft::new(parts).unwrap_err().into_vec()[0].error, below(1));
}

#[test]
fn gen_18_more_coins_than_fit_are_refused() {
    let too_many = |found, room| GenesisError::Supply { found, limit: u64::MAX, room, decimals: 8 };
    let full = u128::from(u64::MAX);
    let refused = problem_of(|parts| parts.allocations = vec![allocation(1, u64::MAX), allocation(2, 1)]);
    assert_eq!(refused, too_many(full + 1, 0));
    let refused = problem_of(|parts| {
        parts.allocations = vec![allocation(1, 5)];
        parts.section.issuance.tail = Amount::from_units(1);
    });
    assert_eq!(refused, too_many(full + 5, u64::MAX - 5));
    let rest = "[reward]\ninitial = \"1\"\ncap = \"0\"\n[[allocation]]\nbalance = \"1\"\naddress = ";
    let (error, place) = problem(&format!("{rest}\"{}\"\n", address_text(1)));
    assert_eq!((error, place.as_str()), (too_many(full + 100_000_000, u64::MAX - 100_000_000), "\"0\""));
    // Both sides as the file writes them, and what to change.
    assert_eq!(
        too_many(full + 100_000_000, u64::MAX - 100_000_000).to_string(),
        "184467440738.09551615 coins are allocated and issued in all, at most 184467440737.09551615 fit: \
         set `reward.cap` to at most \"184467440736.09551615\", or leave it out"
    );
    assert!(too_many(full + 1, 0).to_string().ends_with("fit: lower the allocations"));
}

#[test]
fn an_allocation_can_be_added_to_a_file_that_was_written() {
    let draft = GenesisDraft::from_toml(SOLO).unwrap();
    let more = format!("[[allocation]]\naddress = \"{}\"\nbalance = \"1000\"\n", address_text(7));
    let text = format!("{}\n{more}", draft.to_toml());
    let draft = GenesisDraft::from_toml(&text).unwrap();
    assert!(draft.parts.section.issuance.cap > Amount::ZERO, "it is what fits, now too");
    assert!(draft.to_toml().contains("# cap = "));
}

#[test]
fn gen_19_a_reward_of_block_0_wants_a_producer() {
    let reward = Amount::from_units(700_000_000);
    let refused = problem("[genesis_block]\nreward = \"7\"\n");
    assert_eq!(refused, (GenesisError::RewardWithoutProducer { reward }, "\"7\"".into()));
}

#[test]
fn gen_20_a_target_has_eight_hexadecimal_digits() {
    for found in ["zz", "1e0ffff", "0x1e0fff", "+e0fffff"] {
        let refused = problem(&format!("[difficulty]\nfirst_target = \"{found}\"\n"));
        assert_eq!(refused, (GenesisError::TargetText { found: found.into() }, format!("\"{found}\"")));
    }
}

#[test]
fn gen_21_a_target_that_is_not_canonical_is_refused() {
    let (error, _) = problem("[genesis_block]\ntarget = \"2000000f\"\n");
    let expected = CompactTargetError::NotCanonical { found: 0x2000_000f, canonical: 0x1e0f_0000 };
    assert_eq!(error, expected.into());
    let zero = problem_of(|parts| parts.section.first_target = CompactTarget(0));
    assert_eq!(zero, CompactTargetError::Zero { found: 0 }.into());
}

#[test]
fn gen_22_a_target_easier_than_the_limit_is_refused() {
    let above = |found, limit| GenesisError::TargetAboveLimit {
        found: CompactTarget(found),
        limit: CompactTarget(limit),
    };
    let refused = problem("[genesis_block]\ntarget = \"200fffff\"\n");
    assert_eq!(refused, (above(0x200f_ffff, 0x1f0f_fff0), "\"200fffff\"".into()));
    let limit = problem("[difficulty]\nlimit = \"1e00ffff\"\n[genesis_block]\nwork = 16777216\n");
    assert_eq!(limit.0, above(0x1f00_ffff, 0x1e00_ffff));
}

#[test]
fn gen_23_work_under_bft_is_refused() {
    let bft = easy_parts(Mode::Bft { validators: vec![key(1)] });
    let draft = GenesisDraft::new(bft.clone()).unwrap();
    assert_eq!((draft.target(), draft.find_nonce(7..8)), (None, Some(WorkNonce(0))));
    assert_eq!(draft.seal(WorkNonce(1)), Err(GenesisError::WorkUnderBft { found: 1 }));
    let mut parts = bft;
    parts.section.first_target = Target::MAX.to_compact();
    let found = u64::from(parts.section.first_target.0);
    assert_eq!(
        GenesisDraft::new(parts).unwrap_err().into_vec()[0].error,
        GenesisError::WorkUnderBft { found }
    );
}

#[test]
fn gen_24_a_mode_with_miners_or_validators_lists_some() {
    let count = |found| GenesisError::AuthorityCount { found, limit: 1024 };
    assert_eq!(problem("[consensus]\nmode = \"pow+permit\"\nminers = []\n"), (count(0), "[]".into()));
    let mode = Mode::PowPermit { miners: Vec::new(), turns: true };
    assert_eq!(problem_of(|parts| parts.section.mode = mode), count(0));
}

#[test]
fn gen_25_a_key_that_is_none_is_refused() {
    // Of 32 bytes that begin with 2 and end with zeros, no point of the curve is the encoding.
    let not_on_curve = format!("02{}", "00".repeat(31));
    for found in ["abc", "0x88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c", &not_on_curve] {
        let good = const_hex::encode(key(1));
        let refused =
            problem(&format!("[consensus]\nmode = \"pow+permit\"\nminers = [\"{good}\", \"{found}\"]\n"));
        assert_eq!(refused, (GenesisError::AuthorityKey { found: found.into() }, format!("\"{found}\"")));
    }
}

#[test]
fn gen_26_a_miner_listed_twice_is_refused() {
    let mode = Mode::PowPermit { miners: vec![key(1), key(2), key(1)], turns: true };
    assert_eq!(problem_of(|parts| parts.section.mode = mode), GenesisError::ListedTwice { first: 0 });
}

#[test]
fn gen_27_a_reserved_scheme_is_refused_by_name() {
    let (error, place) = problem("[transactions]\nschemes = [\"secp256k1\", \"ed25519\"]\n");
    assert_eq!(error, GenesisError::SchemeNotSupported { found: Scheme::Secp256k1 });
    assert_eq!(error.to_string(), "secp256k1 is reserved: this release verifies ed25519");
    assert_eq!(place, "\"secp256k1\"");
    for scheme in Scheme::ALL.into_iter().filter(|scheme| !scheme.is_supported()) {
        let (error, _) = problem(&format!("[transactions]\nschemes = [\"{scheme}\"]\n"));
        assert_eq!(error, GenesisError::SchemeNotSupported { found: scheme });
    }
}

#[test]
fn gen_28_no_scheme_or_one_twice_is_refused() {
    let list = |found, distinct| GenesisError::SchemeList { found, distinct };
    assert_eq!(problem("[transactions]\nschemes = []\n"), (list(0, 0), "[]".into()));
    assert_eq!(problem("[transactions]\nschemes = [\"ed25519\", \"ed25519\"]\n").0, list(2, 1));
}

#[test]
fn gen_29_a_block_without_room_for_the_heaviest_transaction_is_refused() {
    let (error, place) = problem("[block]\nweight_max = 91000\n");
    assert!(matches!(error, GenesisError::BlockTooSmall { found: Weight(91_000), .. }), "{error}");
    assert_eq!(place, "91000");
}

#[test]
fn gen_30_a_block_that_nobody_could_carry_is_refused() {
    let (error, _) = problem("[block]\nweight_max = 16777216\n");
    assert!(matches!(error, GenesisError::BlockTooLarge { limit: 16_777_216, .. }), "{error}");
}

#[test]
fn gen_31_more_than_a_million_allocations_are_refused() {
    let found = ALLOCATIONS_MAX + 1;
    let refused = problem_of(|parts| parts.allocations = vec![allocation(1, 1); found]);
    assert_eq!(refused, GenesisError::TooManyAllocations { found, limit: ALLOCATIONS_MAX });
}

#[test]
fn gen_32_a_file_without_a_nonce_is_not_searched_for_ever() {
    let text = "[network]\nname = \"n\"\n[difficulty]\nfirst_work = 18446744073709551615\n";
    let [problem] = <[_; 1]>::try_from(Genesis::from_toml(text).unwrap_err().into_vec()).unwrap();
    assert_eq!(problem.error, GenesisError::NotSealed { tried: NONCES_TRIED_MAX });
}

#[test]
fn gen_33_a_nonce_of_other_settings_is_refused() {
    let text = CLASS.replace("work_nonce = 63518", "work_nonce = 63519");
    let [problem] = <[_; 1]>::try_from(Genesis::from_toml(&text).unwrap_err().into_vec()).unwrap();
    assert!(matches!(problem.error, GenesisError::TooLittleWork { .. }));
    assert_eq!(&text[problem.span.unwrap()], "63519");
}

#[test]
fn gen_34_bytes_out_of_form_are_refused() {
    let mut parts = easy_parts(Mode::Pow);
    parts.allocations = vec![allocation(1, 5), allocation(2, 5)];
    let genesis = seal(parts);
    let refused =
        |bytes: &[u8]| match Genesis::from_bytes(bytes, None).unwrap_err().into_vec().remove(0).error {
            GenesisError::Form(error) => error,
            other => panic!("{other}"),
        };
    let bytes = genesis.to_bytes();
    assert!(matches!(refused(&bytes[1..]), DecodeError::NotCanonical { what: "genesis version", .. }));
    assert!(matches!(refused(&[bytes.as_slice(), &[0]].concat()), DecodeError::Trailing { extra: 1, .. }));
    let first = genesis.section().to_bytes().len() + 4;
    let mut swapped = bytes.clone();
    swapped[first..first + 96].rotate_left(48);
    assert!(matches!(refused(&swapped), DecodeError::NotCanonical { what: "order of allocations", .. }));
    let mut many = bytes;
    many[first - 4..first].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(
        refused(&many),
        DecodeError::TooLong { what: "allocations", limit: ALLOCATIONS_MAX, .. }
    ));
}

#[test]
fn gen_35_the_genesis_of_another_network_is_refused() {
    let (solo, team) = (Genesis::from_toml(SOLO).unwrap(), Genesis::from_toml(TEAM).unwrap());
    assert_eq!(Genesis::from_bytes(&solo.to_bytes(), Some(solo.identity())), Ok(solo.clone()));
    let problem =
        Genesis::from_bytes(&solo.to_bytes(), Some(team.identity())).unwrap_err().into_vec().remove(0);
    let expected = GenesisError::WrongIdentity { found: *solo.identity(), expected: *team.identity() };
    assert_eq!(problem.error, expected);
}

fn modes() -> impl Strategy<Value = Mode> {
    prop_oneof![
        Just(Mode::Pow),
        any::<bool>().prop_map(|turns| Mode::PowPermit { miners: vec![key(3), key(1), key(2)], turns }),
        Just(Mode::Bft { validators: vec![key(2)] }),
        (1u32..=10_000, 0u32..=10_000).prop_map(|(checkpoint_interval, checkpoint_depth)| {
            Mode::PowFinality { validators: vec![key(1), key(4)], checkpoint_interval, checkpoint_depth }
        }),
    ]
}

fn placeholders() -> impl Strategy<Value = Placeholder> {
    prop_oneof![
        Just(Placeholder::None),
        (1usize..=512).prop_map(Placeholder::Random),
        any::<[char; 8]>().prop_map(|text| Placeholder::Text(text.iter().collect())),
    ]
}

prop_compose! {
    fn policies()(
        min in proptest::option::of(1u32..=50),
        max_transactions in 50u32..=100,
        empty_blocks: bool,
        placeholder in placeholders(),
        peers_max in 0u32..=65_535,
    ) -> Policy {
        Policy { min_transactions: min, max_transactions, empty_blocks, placeholder, peers_max }
    }
}

prop_compose! {
    fn allocation_lists()(
        entries in proptest::collection::btree_map(
            any::<[u8; 32]>(),
            (1_000u64..1 << 50, 0..u64::MAX, proptest::option::of("[ -~é]{1,20}")),
            0..6,
        ),
    ) -> Vec<Allocation> {
        let entry = |(address, (units, nonce, label))| Allocation {
            address: Address(address),
            balance: Amount::from_units(units),
            nonce: Nonce(nonce),
            label,
        };
        entries.into_iter().map(entry).collect()
    }
}

prop_compose! {
    fn any_parts()(
        mode in modes(),
        (id, symbol, decimals, prefix, coin_type) in
            (any::<u32>(), "[A-Za-z\"\\\\ü]{1,6}", 0u8..=18, "[a-z][a-z0-9]{0,15}", 0u32..1 << 31),
        (devnet, moving, burn) in any::<(bool, bool, bool)>(),
        (interval_ms, half_lives, maturity) in (1u64..=86_400_000, 0u64..=300, 0u32..=10_000),
        (initial, halving_every, tail) in (0u64..1 << 40, 0u64..1 << 20, 0u64..1 << 10),
        (transaction_bytes, transfers, extra_bytes) in (178usize..=65_536, 1usize..=256, 512usize..=65_536),
        (block_weight, block_transactions, floor) in (95_000u64..=8_000_000, 100u32..=94_254, 0u64..1 << 40),
        (time, reward, reserve) in (0..=253_402_300_799_999u64, 0u64..1 << 40, 0u64..1_000),
        first_work in 1u64..=64,
        allocations in allocation_lists(),
        policy in policies(),
    ) -> GenesisParts {
        let mut parts = GenesisParts::new("any \u{1F40E}", mode, devnet);
        let section = &mut parts.section;
        section.network.id = id;
        section.network.symbol = symbol;
        section.network.decimals = decimals;
        section.network.prefix = AddressPrefix::new(&prefix).unwrap();
        section.network.coin_type = coin_type;
        section.interval_ms = interval_ms;
        section.maturity = maturity;
        section.fees = crate::network::FeePolicy { floor: FeeRate(floor), moving, burn };
        section.limits.transaction_bytes = transaction_bytes;
        section.limits.data_bytes = transaction_bytes / 2;
        section.limits.transfers = transfers;
        section.limits.extra_bytes = extra_bytes;
        section.limits.block_weight = Weight(block_weight);
        section.limits.block_transactions = block_transactions;
        section.reserve = Amount::from_units(reserve);
        section.issuance.initial = Amount::from_units(initial);
        section.issuance.halving_every = halving_every;
        section.issuance.tail = Amount::from_units(tail);
        if section.first_target != CompactTarget::NONE {
            section.half_life_ms = interval_ms * half_lives;
            section.first_target = parts::target_of_work(first_work);
            section.target_limit = parts::easier(section.first_target, 4);
            parts.first_block.target = section.first_target;
        }
        parts.first_block.time = Timestamp(time);
        if reward >= reserve && reward > 0 {
            parts.first_block.producer = allocations.first().map_or(address(9), |first| first.address);
            parts.first_block.reward = Amount::from_units(reward);
        }
        parts.allocations = allocations;
        parts.policy = policy;
        parts.cap_issuance_at_what_fits();
        parts
    }
}

proptest! {
    #[test]
    fn a_genesis_comes_back_from_its_file_and_from_its_bytes(parts in any_parts()) {
        let draft = GenesisDraft::new(parts.clone()).unwrap();
        let from_file = GenesisDraft::from_toml(&draft.to_toml());
        prop_assert_eq!(from_file.as_ref(), Ok(&draft));
        let genesis = seal(parts);
        let from_file = Genesis::from_toml(&genesis.to_toml());
        prop_assert_eq!(from_file.as_ref(), Ok(&genesis));
        let from_bytes = Genesis::from_bytes(&genesis.to_bytes(), Some(genesis.identity())).unwrap();
        prop_assert_eq!(from_bytes.to_bytes(), genesis.to_bytes());
        prop_assert_eq!(from_bytes.block(), genesis.block());
        let mut state = genesis.state();
        prop_assert_eq!(state.root(), genesis.block().header.state_root);
        prop_assert_eq!(state.total(), genesis.allocated());
    }

    #[test]
    fn no_text_makes_reading_panic(text in "\\PC{0,200}") {
        fuzz_parse(text.as_bytes());
    }

    #[test]
    fn no_bytes_make_reading_panic(bytes: Vec<u8>) {
        fuzz_parse(&bytes);
    }

    #[test]
    fn no_change_of_an_example_makes_reading_panic(
        example in prop::sample::select(vec![SOLO, TEAM, CLASS]),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), 0usize..12, "[-\"'\\[\\]{}=#.0-9a-z\n]{0,6}"), 1..4),
    ) {
        let mut text: Vec<char> = example.chars().collect();
        for (at, removed, inserted) in changes {
            let at = at.index(text.len());
            let end = text.len().min(at + removed);
            text.splice(at..end, inserted.chars());
        }
        fuzz_parse(text.iter().collect::<String>().as_bytes());
    }

    #[test]
    fn a_changed_byte_is_refused_or_makes_another_network(at: prop::sample::Index, change in 1u8..=255) {
        let genesis = Genesis::from_toml(TEAM).unwrap();
        let mut bytes = genesis.to_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        fuzz_parse(&bytes);
        if let Ok(other) = Genesis::from_bytes(&bytes, None) {
            prop_assert_ne!(other.identity(), genesis.identity());
        }
        prop_assert!(Genesis::from_bytes(&bytes, Some(genesis.identity())).is_err());
    }
}
