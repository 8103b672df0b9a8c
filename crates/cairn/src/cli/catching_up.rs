//! How far a node is, told at the bottom of a terminal while it catches up with others.
//!
//! ```text
//! blocks 12,345 of 27,100 ━━━━━━━━━━━━━━╸──────────────────  45 %  12 s left  1,234 blocks/s  9 tx/s  3 peers
//! ```

use super::context::Context;
use crate::api::views::SyncView;
use crate::output::{self, Bottom, Style, grouped, plural};
use crate::run::{NEXT_BLOCKS_MAX, NoAnswer, NodeHandle};
use cairn_node::sync::SyncState;
use std::collections::VecDeque;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often the node is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Speeds are those of the newest looks, as many as this.
const LOOKS_KEPT: usize = 40;
/// How many columns a bar has at least and at most.
const BAR_COLUMNS_MIN: usize = 8;
const BAR_COLUMNS_MAX: usize = 40;

/// How far a node is, in words: for commands that ask it.
pub(crate) fn sync_text(sync: &SyncView) -> String {
    match sync.state.as_str() {
        "synced" => format!("synced at height {}", grouped(sync.height)),
        state => format!(
            "catching up, {state}: height {} of {} ({} %)",
            grouped(sync.height),
            grouped(sync.target),
            percent(sync.height, sync.target)
        ),
    }
}

/// What is seen of a node at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) state: SyncState,
    pub(crate) height: u64,
    pub(crate) target: u64,
    /// The height of the best header.
    pub(crate) headers: u64,
    pub(crate) peers: u64,
    /// Blocks and transactions that joined the chain since the start.
    pub(crate) blocks: u64,
    pub(crate) transactions: u64,
    pub(crate) tip_time_ms: u64,
    /// Transactions that wait for a block.
    pub(crate) waiting: u64,
}

/// Tells how far a node is, until it is dropped.
#[derive(Debug)]
pub(crate) struct Follower {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    /// Begins to look; `idle` says what is told where nothing is to be caught up with. None where nobody looks:
    /// no terminal, JSON, `--quiet`.
    pub(crate) fn begin(
        node: &NodeHandle,
        idle: Option<fn(&Look) -> String>,
        context: &Context,
    ) -> Option<Self> {
        // A place to draw is a terminal with a cursor.
        if context.json || context.quiet || !output::is_stdout_terminal() || !Bottom::is_possible() {
            return None;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().ok()?;
        let (stop, stopped) = mpsc::channel();
        let node = node.clone();
        let follow = move || {
            let mut screen = Screen { bottom: None, idle };
            let mut journey = None;
            while stopped.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                match runtime.block_on(look_at(&node)) {
                    Ok(look) => screen.draw(&Journey::follow(&mut journey, &look, Instant::now()), &look),
                    Err(NoAnswer::Busy) => {}
                    Err(NoAnswer::Stopping) => return,
                }
            }
        };
        // Without the line everything else works.
        let thread = std::thread::Builder::new().name("status line".to_owned()).spawn(follow).ok()?;
        Some(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // What is left of the line is not worth a second panic.
            let _ = thread.join();
        }
    }
}

async fn look_at(node: &NodeHandle) -> Result<Look, NoAnswer> {
    let (sync, time, waiting) = node
        .ask(|node, _| (node.sync_status(), node.tip().header.time, node.mempool_status().transactions))
        .await?;
    Ok(Look {
        state: sync.state,
        height: sync.height.0,
        target: sync.target.0,
        headers: sync.headers.0,
        peers: sync.peers as u64,
        blocks: node.counts().blocks.get(),
        transactions: node.counts().confirmed.get(),
        tip_time_ms: time.0,
        waiting: waiting as u64,
    })
}

/// What is on the terminal.
struct Screen {
    bottom: Option<Bottom>,
    idle: Option<fn(&Look) -> String>,
}

impl Screen {
    fn draw(&mut self, step: &Step, look: &Look) {
        let (columns, colours) = (output::columns_of_bottom(), output::colours_of_bottom());
        let line = match step {
            Step::Going(speeds) => Some(line_of(look, speeds, columns, colours)),
            Step::Arrived(_) | Step::Idle => self.idle.map(|idle| cut(&idle(look), columns)),
        };
        if let Step::Arrived(time) = step {
            self.bottom = None;
            let mark = Style::Good.paint("synced", output::colours_on_stderr());
            output::note(&format!("{mark} to height {} in {}", grouped(look.height), took(*time)));
        }
        match line.filter(|_| output::is_in_foreground()) {
            None => self.bottom = None,
            Some(line) => {
                self.bottom.get_or_insert_with(Bottom::open).show(line);
            }
        }
    }
}

/// The way to the height of others, from when it began.
#[derive(Debug)]
struct Journey {
    since: Instant,
    /// The newest looks, oldest first.
    looks: VecDeque<(Instant, Look)>,
}

/// Where the node is on such a way.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// On none.
    Idle,
    Going(Speeds),
    /// At its end, after so long.
    Arrived(Duration),
}

/// How fast it goes, a second.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Speeds {
    headers: u64,
    blocks: u64,
    transactions: u64,
    /// Until the target; none where nobody knows.
    left: Option<Duration>,
}

impl Journey {
    fn follow(journey: &mut Option<Self>, look: &Look, now: Instant) -> Step {
        let behind = look.target.saturating_sub(look.height);
        let is_going = match look.state {
            SyncState::Following => false,
            // Whoever had the rest has gone; somebody else may come.
            SyncState::Alone => journey.is_some() && behind > NEXT_BLOCKS_MAX,
            // A block now and then is no way to go.
            SyncState::Headers | SyncState::Blocks => journey.is_some() || behind > NEXT_BLOCKS_MAX,
        };
        if is_going {
            let journey = journey.get_or_insert_with(|| Self { since: now, looks: VecDeque::new() });
            return Step::Going(journey.note(look, now));
        }
        match journey.take() {
            Some(journey) if look.state == SyncState::Following => {
                Step::Arrived(now.saturating_duration_since(journey.since))
            }
            _ => Step::Idle,
        }
    }

    fn note(&mut self, look: &Look, now: Instant) -> Speeds {
        self.looks.push_back((now, look.clone()));
        if self.looks.len() > LOOKS_KEPT {
            self.looks.pop_front();
        }
        let Some((then, first)) = self.looks.front() else { return Speeds::default() };
        let ms = now.saturating_duration_since(*then).as_millis();
        let a_second = |from: u64, to: u64| {
            let passed = u128::from(to.saturating_sub(from)) * 1_000;
            passed.checked_div(ms).and_then(|speed| u64::try_from(speed).ok()).unwrap_or(0)
        };
        let (headers, blocks) = (a_second(first.headers, look.headers), a_second(first.blocks, look.blocks));
        let (done, speed) = if look.state == SyncState::Headers {
            (look.headers, headers)
        } else {
            (look.height, a_second(first.height, look.height))
        };
        let left = look.target.saturating_sub(done).checked_div(speed).map(Duration::from_secs);
        Speeds { headers, blocks, transactions: a_second(first.transactions, look.transactions), left }
    }
}

/// The line at the bottom, of at most so many columns: what fits, the most important first.
fn line_of(look: &Look, speeds: &Speeds, columns: usize, colours: bool) -> String {
    let (state, done) = match look.state {
        SyncState::Headers => ("headers", look.headers),
        SyncState::Alone => ("waiting for peers", look.height),
        SyncState::Blocks | SyncState::Following => ("blocks", look.height),
    };
    let head = format!("{state} {} of {}", grouped(done), grouped(look.target));
    let mut parts = vec![format!("{} %", percent(done, look.target))];
    parts.extend(speeds.left.map(|left| format!("{} left", span(left))));
    match look.state {
        SyncState::Headers => parts.push(format!("{} headers/s", grouped(speeds.headers))),
        SyncState::Blocks | SyncState::Following => {
            parts.push(format!("{} blocks/s", grouped(speeds.blocks)));
            parts.push(format!("{} tx/s", grouped(speeds.transactions)));
        }
        SyncState::Alone => {}
    }
    if look.state != SyncState::Alone {
        parts.push(plural(look.peers, "peer"));
    }
    let length = |parts: &[String]| head.len() + parts.iter().map(|part| part.len() + 2).sum::<usize>();
    // A terminal that is too narrow for all has no bar before it has no figures.
    while parts.len() > 1 && length(&parts) + 1 + BAR_COLUMNS_MIN > columns {
        parts.pop();
    }
    if length(&parts) > columns {
        return cut(&head, columns);
    }
    let room = columns.saturating_sub(length(&parts) + 1).min(BAR_COLUMNS_MAX);
    let mut line = Style::Strong.paint(state, colours) + head.get(state.len()..).unwrap_or_default();
    if room >= BAR_COLUMNS_MIN {
        line.push(' ');
        line += &bar(done, look.target, room, colours);
    }
    for part in &parts {
        line += "  ";
        line += part;
    }
    line
}

fn bar(done: u64, target: u64, columns: usize, colours: bool) -> String {
    let filled = columns as u128 * u128::from(done.min(target)) / u128::from(target.max(1));
    let filled = usize::try_from(filled).unwrap_or(columns);
    let (full, rest) = if filled == columns {
        ("━".repeat(columns), String::new())
    } else {
        ("━".repeat(filled) + "╸", "─".repeat(columns - filled - 1))
    };
    Style::Name.paint(&full, colours) + &Style::Faint.paint(&rest, colours)
}

/// Whole percents that are done; 100 only where all is.
fn percent(done: u64, target: u64) -> u64 {
    let percent = u128::from(done.min(target)) * 100 / u128::from(target.max(1));
    u64::try_from(percent).unwrap_or(100)
}

/// The first columns of a text without colours.
fn cut(text: &str, columns: usize) -> String {
    text.chars().take(columns).collect()
}

/// How long something took: tenths of a second where that is much of it.
fn took(time: Duration) -> String {
    if time < Duration::from_secs(10) { format!("{:.1} s", time.as_secs_f64()) } else { span(time) }
}

/// A time in its two largest units: "3 min 20 s".
fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{} h {minutes} min", grouped(hours)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(state: SyncState, height: u64, target: u64) -> Look {
        Look {
            state,
            height,
            target,
            headers: target,
            peers: 3,
            blocks: height,
            transactions: height * 10,
            tip_time_ms: 0,
            waiting: 0,
        }
    }

    fn width(line: &str) -> usize {
        line.chars().count()
    }

    #[test]
    fn a_way_begins_when_the_node_is_behind_and_ends_when_it_has_all() {
        let (mut journey, start) = (None, Instant::now());
        let mut step = |state, height, target, ms| {
            Journey::follow(&mut journey, &look(state, height, target), start + Duration::from_millis(ms))
        };
        assert_eq!(step(SyncState::Following, 5, 5, 0), Step::Idle);
        assert_eq!(step(SyncState::Blocks, 5, 7, 250), Step::Idle, "the next blocks, as always");
        assert_eq!(step(SyncState::Headers, 7, 1_007, 500), Step::Going(Speeds::default()));
        let Step::Going(speeds) = step(SyncState::Blocks, 107, 1_007, 1_500) else { panic!("it goes on") };
        assert_eq!((speeds.blocks, speeds.transactions), (100, 1_000));
        assert_eq!(speeds.left, Some(Duration::from_secs(9)));
        assert!(matches!(step(SyncState::Alone, 107, 1_007, 1_750), Step::Going(_)), "others may come");
        assert!(matches!(step(SyncState::Blocks, 1_006, 1_007, 2_000), Step::Going(_)), "nearly there");
        assert_eq!(step(SyncState::Following, 1_007, 1_007, 2_500), Step::Arrived(Duration::from_secs(2)));
        assert_eq!(step(SyncState::Following, 1_008, 1_008, 2_750), Step::Idle);
    }

    #[test]
    fn who_is_left_alone_with_a_claim_that_nobody_showed_has_no_way_to_go() {
        let (mut journey, now) = (None, Instant::now());
        let claimed = Look { headers: 0, ..look(SyncState::Headers, 0, 1_000) };
        assert!(matches!(Journey::follow(&mut journey, &claimed, now), Step::Going(_)));
        assert_eq!(Journey::follow(&mut journey, &look(SyncState::Alone, 0, 0), now), Step::Idle);
    }

    #[test]
    fn a_line_fits_any_terminal_and_tells_the_most_important_first() {
        let speeds =
            Speeds { headers: 0, blocks: 1_234, transactions: 45_600, left: Some(Duration::from_secs(200)) };
        let look = look(SyncState::Blocks, 12_345, 27_100);
        let lines: Vec<String> = (1..200).map(|columns| line_of(&look, &speeds, columns, false)).collect();
        for (columns, line) in (1..).zip(&lines) {
            assert!(width(line) <= columns, "{columns}: {line}");
        }
        assert_eq!(lines[9], "blocks 12,");
        assert_eq!(lines[30], "blocks 12,345 of 27,100  45 %");
        assert_eq!(
            lines[78],
            "blocks 12,345 of 27,100 ━━━━━━━╸────────  45 %  3 min 20 s left  1,234 blocks/s"
        );
        assert_eq!(
            lines[118],
            "blocks 12,345 of 27,100 ━━━━━━━━━━━━━━━╸──────────────────  45 %  3 min 20 s left  \
             1,234 blocks/s  45,600 tx/s  3 peers"
        );
        // Colours take no columns.
        let coloured = line_of(&look, &speeds, 80, true);
        assert!(coloured.starts_with("\u{1b}[1mblocks\u{1b}[0m 12,345") && coloured.contains("\u{1b}[36m━"));
    }

    #[test]
    fn headers_are_counted_as_headers_and_a_full_bar_is_full() {
        let look = Look { headers: 500, peers: 1, ..look(SyncState::Headers, 0, 1_000) };
        let speeds = Speeds { headers: 100, left: Some(Duration::from_secs(5)), ..Speeds::default() };
        let line = line_of(&look, &speeds, 80, false);
        assert!(
            line.starts_with("headers 500 of 1,000 ━")
                && line.contains("50 %  5 s left  100 headers/s  1 peer")
        );
        assert_eq!(bar(10, 10, 4, false), "━━━━");
        assert_eq!(bar(0, 0, 4, false), "╸───");
        assert_eq!(percent(999, 1_000), 99);
    }

    #[test]
    fn times_are_told_in_two_units() {
        let cases = [(0, "0 s"), (59, "59 s"), (200, "3 min 20 s"), (7_260, "2 h 1 min")];
        for (seconds, text) in cases {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
        assert_eq!(took(Duration::from_millis(940)), "0.9 s");
        assert_eq!(took(Duration::from_secs(200)), "3 min 20 s");
    }

    #[test]
    fn commands_tell_the_state_and_how_much_is_done() {
        let sync = |state: &str, height, target| SyncView { state: state.to_owned(), height, target };
        assert_eq!(sync_text(&sync("synced", 1_234, 1_234)), "synced at height 1,234");
        let text = sync_text(&sync("blocks", 1_200, 5_000));
        assert_eq!(text, "catching up, blocks: height 1,200 of 5,000 (24 %)");
    }
}
