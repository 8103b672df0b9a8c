//! The threads with jobs of a real node, which judges what they find.

use super::*;
use crate::run::ThreadsRefusal;
use cairn_core::consensus::Consensus;
use cairn_core::genesis::Genesis;
use cairn_core::target::CompactTarget;
use cairn_node::{Effect, Input, MiningConfig, Node, NodeConfig, Outcome, RequestId};
use cairn_store::backend::RealDisk;
use cairn_store::ledger::{Ledger, Settings};
use cairn_wallet::DevelopmentAccount;
use prometheus_client::metrics::counter::Counter;
use std::sync::mpsc::{Receiver, sync_channel};
use tempfile::TempDir;

/// No hash is this low.
const HOPELESS: CompactTarget = CompactTarget(0x0101_0000);
/// How long a test waits for what comes in a moment.
const PATIENCE: Duration = Duration::from_secs(60);

/// A node that makes blocks when asked, without threads.
struct Producer {
    node: Node,
    ledger: Ledger,
    identity: BlockId,
    _directory: TempDir,
}

impl Producer {
    /// On a network where everybody may mine, or only alice may.
    fn start(mode: &str) -> Self {
        let alice = DevelopmentAccount::Alice.key();
        let miners = const_hex::encode(alice.public_bytes());
        let miners = if mode == "pow" { String::new() } else { format!("miners = [\"{miners}\"]\n") };
        let genesis = Genesis::from_toml(&format!(
            "[network]\nname = \"seals\"\ndevnet = true\n[consensus]\nmode = \"{mode}\"\n{miners}\
             [difficulty]\nmode = \"fixed\"\nfirst_work = 100000\n"
        ))
        .unwrap();
        let directory = tempfile::tempdir().unwrap();
        let disk: Arc<dyn cairn_store::backend::Disk> = Arc::new(RealDisk::open(directory.path()).unwrap());
        let opened = Ledger::open(&disk, &genesis, Settings::default()).unwrap();
        let consensus = Consensus::new(genesis.rules().clone()).unwrap();
        let mining = MiningConfig {
            producer: Some(alice.address()),
            placeholder_bytes: Some(16),
            ..MiningConfig::default()
        };
        let config = NodeConfig { mining, ..NodeConfig::default() };
        let node = Node::new(consensus, config, opened.loaded);
        Self { node, ledger: opened.ledger, identity: *genesis.identity(), _directory: directory }
    }

    fn feed(&mut self, input: Input) -> Vec<Effect> {
        self.node.handle(now(), input, &mut self.ledger).unwrap();
        std::iter::from_fn(|| self.node.next_effect()).collect()
    }

    /// Asks for blocks; returns the first job.
    fn ask(&mut self, blocks: u32) -> SealJob {
        job_of(self.feed(Input::Mine { request: RequestId(1), blocks })).unwrap()
    }

    fn signer(&self, key: Option<SigningKey>) -> Signer {
        Signer { identity: self.identity, key }
    }
}

fn job_of(effects: Vec<Effect>) -> Option<SealJob> {
    effects.into_iter().find_map(|effect| match effect {
        Effect::Seal(job) => Some(*job),
        _ => None,
    })
}

/// How many blocks were made for whoever asked, if all were.
fn mined(effects: &[Effect]) -> Option<usize> {
    effects.iter().find_map(|effect| match effect {
        Effect::Answer { outcome: Outcome::Mined(outcome), .. } => Some(outcome.as_ref().unwrap().len()),
        _ => None,
    })
}

fn desk(threads: u16) -> (SealerDesk, Counter) {
    let trials = Counter::default();
    let desk = SealerDesk::new(Arc::new(Meter::new(trials.clone(), Instant::now())));
    desk.set_threads(threads);
    (desk, trials)
}

/// Runs the threads of a desk while `body` speaks to it; returns when all threads have ended.
fn with_threads<T>(desk: &SealerDesk, signer: &Signer, body: impl FnOnce(&Receiver<Command>) -> T) -> T {
    let (commands, inbox) = sync_channel(16);
    std::thread::scope(|scope| {
        for number in 0..desk.meter.threads() {
            let commands = commands.clone();
            scope.spawn(move || desk.run(number, signer, &commands));
        }
        // A test that fails must not wait for them.
        let body = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| body(&inbox)));
        desk.stop();
        body.unwrap()
    })
}

/// Lets the threads go on until they have come to something.
fn until(has_come: impl Fn() -> bool) {
    let start = Instant::now();
    while !has_come() {
        assert!(start.elapsed() < PATIENCE, "it does not come");
        std::thread::yield_now();
    }
}

fn next_input(inbox: &Receiver<Command>) -> Input {
    match inbox.recv_timeout(PATIENCE) {
        Ok(Command::Input(input)) => *input,
        Ok(_) => panic!("a sealer sends inputs only"),
        Err(error) => panic!("no seal came: {error}"),
    }
}

#[test]
fn what_several_threads_find_together_makes_blocks_that_the_node_takes() {
    let mut producer = Producer::start("pow");
    let signer = producer.signer(None);
    let (desk, trials) = desk(3);
    let made = with_threads(&desk, &signer, |inbox| {
        let mut job = Some(producer.ask(5));
        loop {
            desk.put(Some(job.take().expect("as long as blocks are owed there is a job")));
            let effects = producer.feed(next_input(inbox));
            if let Some(made) = mined(&effects) {
                return made;
            }
            job = job_of(effects);
        }
    });
    assert_eq!((made, producer.node.tip().header.height.0), (5, 5));
    assert!(trials.get() > 0);
}

#[test]
fn a_listed_miner_signs_what_was_found() {
    let mut producer = Producer::start("pow+permit");
    let signer = producer.signer(Some(DevelopmentAccount::Alice.key()));
    let (desk, _) = desk(2);
    let made = with_threads(&desk, &signer, |inbox| {
        desk.put(Some(producer.ask(1)));
        mined(&producer.feed(next_input(inbox)))
    });
    assert_eq!(made, Some(1));
}

#[test]
fn without_the_key_that_a_seal_needs_nothing_is_tried() {
    let mut producer = Producer::start("pow+permit");
    let signer = producer.signer(None);
    let (desk, trials) = desk(2);
    with_threads(&desk, &signer, |inbox| {
        desk.put(Some(producer.ask(1)));
        until(|| desk.lock().task.is_none());
        assert!(inbox.try_recv().is_err());
    });
    assert_eq!(trials.get(), 0);
}

#[test]
fn a_newer_job_takes_the_place_of_one_that_nobody_can_finish() {
    let mut producer = Producer::start("pow");
    let signer = producer.signer(None);
    let (desk, trials) = desk(2);
    let job = producer.ask(1);
    let mut hopeless = job.clone();
    hopeless.header.target = HOPELESS;
    let made = with_threads(&desk, &signer, |inbox| {
        desk.put(Some(hopeless));
        until(|| trials.get() >= 4 * SLICE_NONCES);
        desk.put(Some(job));
        mined(&producer.feed(next_input(inbox)))
    });
    assert_eq!(made, Some(1));
}

#[test]
fn a_search_is_over_with_the_slice_in_which_it_stops_being_wanted() {
    for looks in 1..4 {
        let (mut left, mut tried) = (looks, 0);
        let found = search_in_slices(Kernel::best(), &[7; 32], &[0; 32], 0..1 << 40, |count| {
            tried += count;
            left -= 1;
            left > 0
        });
        assert_eq!((found, tried), (None, looks * SLICE_NONCES));
    }
}

#[test]
fn a_search_counts_every_nonce_up_to_the_one_that_it_finds() {
    let mut target = [0xff; 32];
    target[..2].fill(0);
    let mut tried = 0;
    let found = search_in_slices(Kernel::best(), &[7; 32], &target, 10..u64::MAX, |count| {
        tried += count;
        true
    });
    assert_eq!(found, Some(10 + tried - 1));
    let nobody = search_in_slices(Kernel::best(), &[7; 32], &target, 10..10 + tried - 1, |_| true);
    assert_eq!(nobody, None);
}

#[test]
fn threads_end_when_they_are_stopped_in_the_middle_of_a_search() {
    let mut producer = Producer::start("pow");
    let signer = producer.signer(None);
    let (desk, trials) = desk(4);
    let mut job = producer.ask(1);
    job.header.target = HOPELESS;
    with_threads(&desk, &signer, |_| {
        desk.put(Some(job));
        until(|| trials.get() > 0);
    });
    assert!(desk.take(0).is_none());
}

#[test]
fn a_block_of_the_future_is_held_until_it_is_wanted_no_more() {
    let mut producer = Producer::start("pow");
    let signer = producer.signer(None);
    let (desk, _) = desk(2);
    let job = producer.ask(1);
    let mut early = job.clone();
    early.not_before = Timestamp(u64::MAX);
    let made = with_threads(&desk, &signer, |inbox| {
        desk.put(Some(early));
        until(|| desk.lock().task.is_none());
        assert!(inbox.try_recv().is_err(), "it was told too early");
        desk.put(Some(job));
        mined(&producer.feed(next_input(inbox)))
    });
    assert_eq!(made, Some(1));
}

#[test]
fn no_two_threads_try_one_nonce_and_each_has_enough() {
    let mut producer = Producer::start("pow");
    let job = producer.ask(1);
    for _ in 0..100 {
        let task = Task::new(job.clone()).unwrap();
        for threads in [1, 2, 3, 7, SEALER_THREADS_MAX] {
            let shares: Vec<_> = (0..threads).map(|number| task.share(number, threads)).collect();
            assert!(shares.windows(2).all(|pair| pair[0].end <= pair[1].start), "{shares:?}");
            let least = u64::MAX / u64::from(threads) / 2;
            assert!(shares.iter().all(|share| share.end - share.start >= least), "{shares:?}");
        }
    }
}

#[test]
fn two_searches_for_one_header_begin_at_different_nonces_with_different_filler() {
    let mut producer = Producer::start("pow");
    let job = producer.ask(1);
    let (one, other) = (Task::new(job.clone()).unwrap(), Task::new(job).unwrap());
    assert_ne!(one.share(0, 1).start, other.share(0, 1).start);
    assert_ne!(one.seal_hash, other.seal_hash);
}

#[test]
fn how_many_threads_search_can_be_changed_in_the_middle_of_a_search() {
    let mut producer = Producer::start("pow");
    let (desk, trials) = desk(1);
    let desk = Arc::new(desk);
    let (commands, inbox) = sync_channel(16);
    let signer = producer.signer(None);
    let sealers = Sealers::start(Arc::clone(&desk), signer, commands, 1).unwrap();
    let job = producer.ask(1);
    let mut hopeless = job.clone();
    hopeless.header.target = HOPELESS;
    desk.put(Some(hopeless));
    for threads in [4, 1, 3] {
        let before = desk.take(0).unwrap();
        sealers.set_threads(threads).unwrap();
        assert_eq!(desk.meter.threads(), threads);
        let shares: Vec<_> = (0..threads).map(|number| desk.take(number).unwrap().nonces).collect();
        assert!(shares.windows(2).all(|pair| pair[0].end <= pair[1].start), "{shares:?}");
        let after = desk.take(0).unwrap();
        assert_ne!((after.version, after.nonces.start), (before.version, before.nonces.start));
        assert_eq!(after.task.seal_hash, before.task.seal_hash, "the job is the same");
        let tried = trials.get();
        until(|| trials.get() > tried);
    }
    desk.put(Some(job));
    assert_eq!(mined(&producer.feed(next_input(&inbox))), Some(1));
    desk.stop();
    sealers.join();
}

#[test]
fn a_block_that_is_held_until_its_time_outlives_a_change_of_threads() {
    let mut producer = Producer::start("pow");
    let signer = producer.signer(None);
    let (desk, _) = desk(2);
    let mut job = producer.ask(1);
    job.not_before = Timestamp(now().0 + 300);
    let made = with_threads(&desk, &signer, |inbox| {
        desk.put(Some(job));
        until(|| desk.lock().task.is_none());
        desk.set_threads(1);
        mined(&producer.feed(next_input(inbox)))
    });
    assert_eq!(made, Some(1));
}

#[test]
fn a_wrong_number_of_threads_is_refused_and_changes_nothing() {
    let (commands, _inbox) = sync_channel(16);
    let start = |threads| {
        let (desk, _) = desk(0);
        let signer = Producer::start("pow").signer(None);
        Sealers::start(Arc::new(desk), signer, commands.clone(), threads).unwrap()
    };
    let sealers = start(2);
    for threads in [0, SEALER_THREADS_MAX + 1, u16::MAX] {
        let refusal = sealers.set_threads(threads).unwrap_err();
        assert!(matches!(refusal, ThreadsRefusal::Count { threads: found } if found == threads));
    }
    assert_eq!(sealers.desk.meter.threads(), 2);
    sealers.desk.stop();
    sealers.join();

    let resting = start(0);
    assert!(matches!(resting.set_threads(1), Err(ThreadsRefusal::NoProducer)));
}
