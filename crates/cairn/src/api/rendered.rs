//! Big blocks as JSON, kept as they were last written, so that a block that many read is taken apart once.
//!
//! A block never changes but for two facts: whether it is on the chain, and how many blocks confirm it. They
//! stand side by side in the text, which is kept without them; they are put in each time it is sent. Where
//! there is no room, what was not asked for longest goes.

use crate::api::views::BlockView;
use cairn_core::hash::BlockId;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Blocks of fewer bytes are written anew each time.
pub const BLOCK_BYTES_MIN: usize = 16 * 1024;
/// The most bytes of one text that is kept.
pub const ENTRY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The most bytes of all texts.
pub const CACHE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Which text of which block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Form {
    /// The block.
    pub id: BlockId,
    /// Whether its transactions come whole.
    pub is_full: bool,
}

/// A block as JSON, without the two facts that change.
#[derive(Debug, PartialEq, Eq)]
pub struct Text {
    before: Vec<u8>,
    behind: Vec<u8>,
}

impl Text {
    /// The text of a block, whatever the two facts are in it.
    pub fn of(view: &BlockView) -> Self {
        let mut before = serde_json::to_vec(view).expect("a block is JSON");
        let facts = facts(view.on_chain, view.confirmations);
        // Only hexadecimal digits, an address and names of ours stand before the facts.
        let start = before.windows(facts.len()).position(|window| window == facts.as_bytes());
        let start = start.expect("the two fields stand side by side");
        let behind = before.split_off(start + facts.len());
        before.truncate(start);
        Self { before, behind }
    }

    /// The whole text, with how things stand now.
    pub fn with(&self, is_on_chain: bool, confirmations: u64) -> Vec<u8> {
        [&self.before, facts(is_on_chain, confirmations).as_bytes(), &self.behind].concat()
    }

    const fn byte_count(&self) -> usize {
        self.before.len() + self.behind.len()
    }
}

fn facts(is_on_chain: bool, confirmations: u64) -> String {
    format!("\"on_chain\":{is_on_chain},\"confirmations\":{confirmations}")
}

/// The texts that were asked for lately.
#[derive(Debug, Default)]
pub struct Rendered(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    texts: BTreeMap<Form, Entry>,
    bytes: usize,
    /// Counts how often a text was asked for.
    clock: u64,
}

#[derive(Debug)]
struct Entry {
    text: Arc<Text>,
    asked: u64,
}

impl Rendered {
    /// The text of a block; `write` makes it where it is not kept.
    ///
    /// # Errors
    ///
    /// Those of `write`.
    pub fn text<E>(&self, form: Form, write: impl FnOnce() -> Result<BlockView, E>) -> Result<Arc<Text>, E> {
        if let Some(text) = self.lock().find(&form) {
            return Ok(text);
        }
        // Others may write the same meanwhile: better than that they wait.
        let text = Arc::new(Text::of(&write()?));
        self.lock().keep(form, Arc::clone(&text));
        Ok(text)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Nothing under the lock can panic halfway through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn find(&mut self, form: &Form) -> Option<Arc<Text>> {
        self.clock += 1;
        let entry = self.texts.get_mut(form)?;
        entry.asked = self.clock;
        Some(Arc::clone(&entry.text))
    }

    fn keep(&mut self, form: Form, text: Arc<Text>) {
        let bytes = text.byte_count();
        if bytes > ENTRY_BYTES_MAX {
            return;
        }
        self.forget(&form);
        while self.bytes + bytes > CACHE_BYTES_MAX {
            let oldest = self.texts.iter().min_by_key(|(_, entry)| entry.asked).map(|(form, _)| *form);
            let Some(oldest) = oldest else { break };
            self.forget(&oldest);
        }
        self.bytes += bytes;
        self.texts.insert(form, Entry { text, asked: self.clock });
    }

    fn forget(&mut self, form: &Form) {
        if let Some(entry) = self.texts.remove(form) {
            self.bytes -= entry.text.byte_count();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::views::{Bytes, Hash, SealView, Units};
    use std::convert::Infallible;

    fn view(extra_bytes: usize) -> BlockView {
        let zero = || Hash([0; 32]);
        BlockView {
            height: 7,
            id: zero(),
            version: 1,
            time_ms: 1,
            parent: zero(),
            transaction_count: 1,
            transaction_root: zero(),
            state_root: zero(),
            history_root: zero(),
            prev_seal: zero(),
            producer: "cairn1x".to_owned(),
            target: "207fffff".to_owned(),
            base_fee: Units(1),
            weight_used: 0,
            extra_hash: zero(),
            seal: SealView { kind: "work".to_owned(), nonce: Units(0), signature: None },
            extra: Bytes(vec![0; extra_bytes]),
            bytes: 1,
            on_chain: true,
            confirmations: 1,
            transaction_ids: Some(vec![zero()]),
            transactions: None,
        }
    }

    fn form(number: u8) -> Form {
        Form { id: BlockId([number; 32]), is_full: false }
    }

    fn ask(rendered: &Rendered, number: u8, extra_bytes: usize) -> bool {
        let mut is_written = false;
        let written = rendered.text(form(number), || {
            is_written = true;
            Ok::<_, Infallible>(view(extra_bytes))
        });
        assert_eq!(*written.unwrap(), Text::of(&view(extra_bytes)));
        is_written
    }

    #[test]
    fn a_kept_text_says_how_things_stand_now() {
        let text = Text::of(&view(3));
        for (on_chain, confirmations) in [(true, 1), (true, 1_000_000), (false, 0)] {
            let now = BlockView { on_chain, confirmations, ..view(3) };
            assert_eq!(text.with(on_chain, confirmations), serde_json::to_vec(&now).unwrap());
        }
    }

    #[test]
    fn a_block_is_written_once_in_each_form() {
        let rendered = Rendered::default();
        assert!(ask(&rendered, 1, 10));
        assert!(!ask(&rendered, 1, 10));
        assert!(ask(&rendered, 2, 10));
        let full = Form { is_full: true, ..form(1) };
        assert!(rendered.lock().find(&full).is_none());
    }

    #[test]
    fn what_was_not_asked_for_longest_makes_room_and_the_bytes_have_a_bound() {
        let rendered = Rendered::default();
        // Two digits a byte: five such texts fit.
        let bytes = CACHE_BYTES_MAX / 11;
        for number in 1..=5 {
            assert!(ask(&rendered, number, bytes));
        }
        assert!(!ask(&rendered, 1, bytes));
        assert!(ask(&rendered, 6, bytes));
        assert!(rendered.lock().bytes <= CACHE_BYTES_MAX);
        assert!(!ask(&rendered, 1, bytes), "it was asked for lately");
        assert!(ask(&rendered, 2, bytes), "it was not");
        let kept = rendered.lock();
        assert_eq!(kept.bytes, kept.texts.values().map(|entry| entry.text.byte_count()).sum::<usize>());
    }

    #[test]
    fn what_is_too_long_is_not_kept() {
        let rendered = Rendered::default();
        assert!(ask(&rendered, 1, ENTRY_BYTES_MAX / 2));
        assert!(ask(&rendered, 1, ENTRY_BYTES_MAX / 2));
        assert_eq!(rendered.lock().bytes, 0);
    }
}
