//! The book: what a wallet knows beside its keys. Nothing in it is secret, nothing in it signs.
//!
//! Contacts and watched accounts with their checked addresses, labels, the default account, and for
//! each network, by its identity, what was sent there. A network that is begun anew has another
//! identity, so the history of the old one stays what it was, and [`Book::recognise`] says so.

mod entries;
mod file;

pub use entries::{BookError, Entry, NetworkAddress, Recognised, SentRecord};

use crate::name::Name;
use crate::text::check_text;
use cairn_core::address::Address;
use cairn_core::hash::{BlockId, TransactionId};
use cairn_core::numbers::Timestamp;
use std::collections::BTreeMap;

/// The longest book that is read, in bytes.
pub const BOOK_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The most contacts, and the most watched accounts.
pub const ENTRIES_MAX: usize = 1_000;
/// The most networks whose history is kept; then the one seen longest ago gives way.
pub const NETWORKS_MAX: usize = 8;
/// The most payments, and the most notes, that are kept of a network; then the oldest gives way.
pub const HISTORY_MAX: usize = 1_000;

/// What a wallet knows beside its keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Book {
    default_account: Option<Address>,
    contacts: Vec<Entry>,
    watched: Vec<Entry>,
    labels: BTreeMap<Address, String>,
    networks: BTreeMap<BlockId, History>,
}

/// What is known of one network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Its name.
    name: String,
    /// When it was seen last.
    last_seen: Timestamp,
    /// What was sent there, oldest first.
    sent: Vec<SentRecord>,
    notes: BTreeMap<TransactionId, String>,
}

impl Book {
    /// Reads a book.
    ///
    /// # Errors
    ///
    /// [`BookError`].
    pub fn from_json(json: &[u8]) -> Result<Self, BookError> {
        file::read(json)
    }

    /// The text of the file.
    ///
    /// # Errors
    ///
    /// [`BookError::TooLong`] if it could not be read again.
    pub fn to_json(&self) -> Result<Vec<u8>, BookError> {
        file::write(self)
    }

    /// The account that pays where none is named.
    pub const fn default_account(&self) -> Option<Address> {
        self.default_account
    }

    /// Chooses the account that pays where none is named.
    pub const fn set_default_account(&mut self, account: Option<Address>) {
        self.default_account = account;
    }

    /// People, by name.
    pub fn contacts(&self) -> &[Entry] {
        &self.contacts
    }

    /// Accounts of others, or of keys kept elsewhere, that are looked at.
    pub fn watched(&self) -> &[Entry] {
        &self.watched
    }

    /// Adds a contact.
    ///
    /// # Errors
    ///
    /// [`BookError`] if the name is taken, or there are too many.
    pub fn add_contact(&mut self, entry: Entry) -> Result<(), BookError> {
        self.check_free(&entry.name)?;
        add(&mut self.contacts, entry)
    }

    /// Adds an account to watch.
    ///
    /// # Errors
    ///
    /// [`BookError`] if the name is taken, or there are too many.
    pub fn watch(&mut self, entry: Entry) -> Result<(), BookError> {
        self.check_free(&entry.name)?;
        add(&mut self.watched, entry)
    }

    /// Takes a contact or a watched account out.
    ///
    /// # Errors
    ///
    /// [`BookError::Unknown`].
    pub fn remove(&mut self, name: &Name) -> Result<Entry, BookError> {
        for entries in [&mut self.contacts, &mut self.watched] {
            if let Some(place) = entries.iter().position(|entry| entry.name == *name) {
                return Ok(entries.remove(place));
            }
        }
        Err(BookError::Unknown { name: name.clone() })
    }

    /// The contact or watched account with a name.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.contacts.iter().chain(&self.watched).find(|entry| entry.name.as_str() == name)
    }

    /// What an account is for, in words.
    pub fn label(&self, account: &Address) -> Option<&str> {
        self.labels.get(account).map(String::as_str)
    }

    /// Says what an account is for; an empty text takes the label away.
    ///
    /// # Errors
    ///
    /// [`BookError`] if the text is not shown, or there are too many.
    pub fn set_label(&mut self, account: Address, label: &str) -> Result<(), BookError> {
        check_text(label)?;
        if label.is_empty() {
            self.labels.remove(&account);
        } else if self.labels.len() < 2 * ENTRIES_MAX || self.labels.contains_key(&account) {
            self.labels.insert(account, label.to_owned());
        } else {
            return Err(BookError::TooMany { limit: 2 * ENTRIES_MAX });
        }
        Ok(())
    }

    /// What is known of the network with an identity.
    pub fn history(&self, identity: &BlockId) -> Option<&History> {
        self.networks.get(identity)
    }

    /// All networks that were seen, by their identity.
    pub fn networks(&self) -> impl Iterator<Item = (&BlockId, &History)> {
        self.networks.iter()
    }

    /// Whether a network is one that was seen before, a new one, or one of a known name that was
    /// begun anew.
    pub fn recognise(&self, name: &str, identity: &BlockId) -> Recognised {
        if self.networks.contains_key(identity) {
            return Recognised::Known;
        }
        let earlier = self.networks.iter().filter(|(_, history)| history.name == name);
        match earlier.max_by_key(|(_, history)| history.last_seen) {
            Some((earlier, history)) => {
                Recognised::BegunAnew { earlier: *earlier, last_seen: history.last_seen }
            }
            None => Recognised::New,
        }
    }

    /// Remembers that a network was seen at `now`.
    ///
    /// # Errors
    ///
    /// [`BookError`] if its name is not shown.
    pub fn see(&mut self, name: &str, identity: BlockId, now: Timestamp) -> Result<(), BookError> {
        check_text(name)?;
        if !self.networks.contains_key(&identity) {
            while self.networks.len() >= NETWORKS_MAX {
                let oldest = self.networks.iter().min_by_key(|(_, history)| history.last_seen);
                let Some(oldest) = oldest.map(|(oldest, _)| *oldest) else { break };
                self.networks.remove(&oldest);
            }
        }
        let history = self.networks.entry(identity).or_default();
        history.name = name.to_owned();
        history.last_seen = history.last_seen.max(now);
        Ok(())
    }

    /// Remembers what was sent on a network that was [seen](Self::see).
    ///
    /// # Errors
    ///
    /// [`BookError::UnknownNetwork`].
    pub fn record_sent(&mut self, identity: &BlockId, record: SentRecord) -> Result<(), BookError> {
        let history = self.networks.get_mut(identity).ok_or(BookError::UnknownNetwork)?;
        history.sent.retain(|earlier| earlier.id != record.id);
        history.sent.push(record);
        let excess = history.sent.len().saturating_sub(HISTORY_MAX);
        history.sent.drain(..excess);
        Ok(())
    }

    /// Remembers that a node has what was sent.
    pub fn answer(&mut self, identity: &BlockId, id: &TransactionId) {
        let sent = self.networks.get_mut(identity).map(|history| &mut history.sent);
        for record in sent.into_iter().flatten().filter(|record| record.id == *id) {
            record.is_answered = true;
        }
    }

    /// Forgets what was to be sent and came nowhere.
    pub fn forget_sent(&mut self, identity: &BlockId, id: &TransactionId) {
        if let Some(history) = self.networks.get_mut(identity) {
            history.sent.retain(|record| record.id != *id);
        }
    }

    /// Writes beside a transaction what it was for; an empty text takes the note away.
    ///
    /// # Errors
    ///
    /// [`BookError`] if the network was not seen, the text is not shown, or there are too many.
    pub fn set_note(&mut self, identity: &BlockId, id: TransactionId, note: &str) -> Result<(), BookError> {
        check_text(note)?;
        let history = self.networks.get_mut(identity).ok_or(BookError::UnknownNetwork)?;
        if note.is_empty() {
            history.notes.remove(&id);
        } else if history.notes.len() < HISTORY_MAX || history.notes.contains_key(&id) {
            history.notes.insert(id, note.to_owned());
        } else {
            return Err(BookError::TooMany { limit: HISTORY_MAX });
        }
        Ok(())
    }

    fn check_free(&self, name: &Name) -> Result<(), BookError> {
        match self.entry(name.as_str()) {
            Some(_) => Err(BookError::NameTaken { name: name.clone() }),
            None => Ok(()),
        }
    }
}

impl History {
    /// The name of the network.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// When it was seen last.
    pub const fn last_seen(&self) -> Timestamp {
        self.last_seen
    }

    /// What was sent there, oldest first.
    pub fn sent(&self) -> &[SentRecord] {
        &self.sent
    }

    /// What was sent there and may have arrived or not, oldest first.
    pub fn unanswered(&self) -> impl Iterator<Item = &SentRecord> {
        self.sent.iter().filter(|record| !record.is_answered)
    }

    /// What a transaction was for, in words.
    pub fn note(&self, id: &TransactionId) -> Option<&str> {
        self.notes.get(id).map(String::as_str)
    }
}

fn add(entries: &mut Vec<Entry>, entry: Entry) -> Result<(), BookError> {
    if entries.len() >= ENTRIES_MAX {
        return Err(BookError::TooMany { limit: ENTRIES_MAX });
    }
    entries.push(entry);
    Ok(())
}

#[cfg(test)]
mod tests;
