//! The entries of the state, one slot each, in order of creation.

use super::tree::{Hash, NO_SLOT};
use crate::account::Account;
use crate::hash::{StatePath, Tag};
use crate::numbers::{Amount, Nonce};

/// The length of the bytes that are hashed into the leaf of an account.
pub(super) const LEAF_MESSAGE_BYTES: usize = LEAF_PATH_AT + 32 + Account::VALUE_BYTES;

/// Where the path begins in the message of a leaf.
pub(super) const LEAF_PATH_AT: usize = Tag::STATE_LEAF.as_bytes().len();

/// Slots are numbered by 31 bits: the tree uses the last one for what is not a slot.
pub(super) const SLOTS_MAX: u32 = (1 << 31) - 1;

/// One entry, in one cache line.
#[repr(align(64))]
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) path: StatePath,
    pub(super) balance: Amount,
    pub(super) nonce: Nonce,
    /// The moment of the state's own count at which the account was last set.
    pub(super) touched: u64,
    /// The next slot of the same bucket, or what the tree writes there.
    pub(super) next: u32,
}

/// All entries. Those that are not accounts come first; their values lie apart.
#[derive(Clone, Debug, Default)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    reserved: Vec<Vec<u8>>,
}

impl Slots {
    /// No slots, with room for so many and some more.
    pub(super) fn with_capacity(slots: usize) -> Self {
        Self { slots: Vec::with_capacity(slots.saturating_add(slots / 8)), reserved: Vec::new() }
    }

    /// The number of slots.
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.slots.len()).expect("push keeps the number below SLOTS_MAX")
    }

    /// The number of slots that are not accounts; the accounts follow them.
    pub(super) fn reserved_len(&self) -> u32 {
        u32::try_from(self.reserved.len()).expect("there are no more reserved slots than slots")
    }

    /// The slot with a number that is in use.
    pub(super) fn get(&self, slot: u32) -> &Slot {
        &self.slots[slot as usize]
    }

    /// The slot with a number that is in use, to be changed.
    pub(super) fn get_mut(&mut self, slot: u32) -> &mut Slot {
        &mut self.slots[slot as usize]
    }

    /// All slots, in order.
    pub(super) fn as_mut_slice(&mut self) -> &mut [Slot] {
        &mut self.slots
    }

    /// Appends an account; the tree links it.
    pub(super) fn push(&mut self, path: StatePath, account: Account, touched: u64) -> u32 {
        let slot = self.len();
        assert!(slot < SLOTS_MAX, "the state holds at most {SLOTS_MAX} entries");
        if self.slots.len() == self.slots.capacity() {
            // Room for twice as many would be memory for the growth of years.
            self.slots.reserve_exact(self.slots.len() / 8 + 64);
        }
        self.slots.push(Slot {
            path,
            balance: account.balance,
            nonce: account.nonce,
            touched,
            next: NO_SLOT,
        });
        slot
    }

    /// Appends an entry that is not an account.
    pub(super) fn push_reserved(&mut self, path: StatePath, value: Vec<u8>) -> u32 {
        assert_eq!(
            self.slots.len(),
            self.reserved.len(),
            "reserved entries are set before there are accounts"
        );
        self.reserved.push(value);
        self.push(path, Account::default(), 0)
    }

    /// Removes the last slot, which the tree no longer links.
    pub(super) fn pop(&mut self) {
        assert!(self.slots.len() > self.reserved.len(), "reserved entries are never removed");
        self.slots.pop();
    }

    /// The account in a slot.
    pub(super) fn account(&self, slot: u32) -> Account {
        let Slot { balance, nonce, .. } = *self.get(slot);
        Account { balance, nonce }
    }

    /// Sets the account in a slot, and when it was set; returns what was there.
    pub(super) fn replace(&mut self, slot: u32, account: Account, touched: u64) -> (Account, u64) {
        let entry = self.get_mut(slot);
        let balance = std::mem::replace(&mut entry.balance, account.balance);
        let nonce = std::mem::replace(&mut entry.nonce, account.nonce);
        (Account { balance, nonce }, std::mem::replace(&mut entry.touched, touched))
    }

    /// The bytes of memory in use for slots, without reserved values.
    pub(super) fn memory_bytes(&self) -> usize {
        self.slots.len() * size_of::<Slot>()
    }

    /// The value of a slot that is not an account's.
    pub(super) fn reserved_value(&self, slot: u32) -> Option<&[u8]> {
        self.reserved.get(slot as usize).map(Vec::as_slice)
    }

    /// The canonical bytes of the value in a slot.
    pub(super) fn value_bytes(&self, slot: u32) -> Vec<u8> {
        match self.reserved_value(slot) {
            Some(value) => value.to_vec(),
            None => self.account(slot).value_bytes().to_vec(),
        }
    }

    /// The leaf of a slot.
    pub(super) fn leaf(&self, slot: u32) -> Hash {
        let path = self.get(slot).path.as_bytes();
        match self.reserved_value(slot) {
            Some(value) => Tag::STATE_LEAF.hash(&[path, value]),
            None => Tag::STATE_LEAF.hash(&[path, &self.account(slot).value_bytes()]),
        }
    }

    /// Appends the bytes that are hashed into the leaf of an account. A reserved slot gets a
    /// message of the same length, so that messages can be counted; its hash means nothing.
    pub(super) fn append_leaf_message(&self, slot: u32, messages: &mut Vec<u8>) {
        let mut message = [0; LEAF_MESSAGE_BYTES];
        message[..LEAF_PATH_AT].copy_from_slice(Tag::STATE_LEAF.as_bytes());
        message[LEAF_PATH_AT..LEAF_PATH_AT + 32].copy_from_slice(self.get(slot).path.as_bytes());
        message[LEAF_PATH_AT + 32..].copy_from_slice(&self.account(slot).value_bytes());
        messages.extend_from_slice(&message);
    }
}
