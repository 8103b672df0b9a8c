//! The JSON of a book.

use super::{
    BOOK_BYTES_MAX, Book, BookError, ENTRIES_MAX, Entry, HISTORY_MAX, History, NETWORKS_MAX, NetworkAddress,
    SentRecord,
};
use crate::keystore::to_json;
use crate::text::check_text;
use cairn_core::address::Address;
use cairn_core::hash::{BlockId, TransactionId};
use cairn_core::numbers::{Amount, Nonce, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const FORMAT: &str = "cairn-book";
const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BookShape {
    format: String,
    version: u32,
    default_account: Option<String>,
    contacts: Vec<EntryShape>,
    watched: Vec<EntryShape>,
    labels: Vec<LabelShape>,
    networks: Vec<NetworkShape>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryShape {
    name: String,
    address: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LabelShape {
    account: String,
    label: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NetworkShape {
    identity: String,
    name: String,
    last_seen_ms: u64,
    sent: Vec<SentShape>,
    notes: Vec<NoteShape>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SentShape {
    id: String,
    at_ms: u64,
    from: String,
    nonce: u64,
    to: String,
    transfers: u32,
    amount: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    unanswered: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoteShape {
    id: String,
    note: String,
}

pub(super) fn read(json: &[u8]) -> Result<Book, BookError> {
    if json.len() > BOOK_BYTES_MAX {
        return Err(BookError::TooLong { limit: BOOK_BYTES_MAX });
    }
    let shape: BookShape = serde_json::from_slice(json).map_err(BookError::Shape)?;
    if shape.format != FORMAT || shape.version != VERSION {
        return Err(BookError::Version { expected: VERSION });
    }
    if shape.networks.len() > NETWORKS_MAX {
        return Err(BookError::TooMany { limit: NETWORKS_MAX });
    }
    if shape.labels.len() > 2 * ENTRIES_MAX {
        return Err(BookError::TooMany { limit: 2 * ENTRIES_MAX });
    }
    let mut book = Book::default();
    book.set_default_account(shape.default_account.as_deref().map(address).transpose()?);
    for entry in &shape.contacts {
        book.add_contact(entry.read()?)?;
    }
    for entry in &shape.watched {
        book.watch(entry.read()?)?;
    }
    for LabelShape { account, label } in &shape.labels {
        book.set_label(address(account)?, label)?;
    }
    for network in &shape.networks {
        let history = network.read()?;
        book.networks.insert(BlockId(hex("identity", &network.identity)?), history);
    }
    Ok(book)
}

pub(super) fn write(book: &Book) -> Result<Vec<u8>, BookError> {
    let labels = book.labels.iter();
    let json = to_json(&BookShape {
        format: FORMAT.to_owned(),
        version: VERSION,
        default_account: book.default_account.map(|address| const_hex::encode(address.0)),
        contacts: book.contacts.iter().map(EntryShape::of).collect(),
        watched: book.watched.iter().map(EntryShape::of).collect(),
        labels: labels
            .map(|(account, label)| LabelShape {
                account: const_hex::encode(account.0),
                label: label.clone(),
            })
            .collect(),
        networks: book
            .networks
            .iter()
            .map(|(identity, history)| NetworkShape::of(identity, history))
            .collect(),
    });
    if json.len() > BOOK_BYTES_MAX { Err(BookError::TooLong { limit: BOOK_BYTES_MAX }) } else { Ok(json) }
}

impl EntryShape {
    fn of(entry: &Entry) -> Self {
        Self { name: entry.name.to_string(), address: entry.address.to_string() }
    }

    fn read(&self) -> Result<Entry, BookError> {
        Ok(Entry { name: self.name.parse()?, address: NetworkAddress::parse(&self.address)? })
    }
}

impl NetworkShape {
    fn of(identity: &BlockId, history: &History) -> Self {
        let notes = history.notes.iter();
        Self {
            identity: identity.to_string(),
            name: history.name.clone(),
            last_seen_ms: history.last_seen.0,
            sent: history.sent.iter().map(SentShape::of).collect(),
            notes: notes.map(|(id, note)| NoteShape { id: id.to_string(), note: note.clone() }).collect(),
        }
    }

    fn read(&self) -> Result<History, BookError> {
        check_text(&self.name)?;
        if self.sent.len().max(self.notes.len()) > HISTORY_MAX {
            return Err(BookError::TooMany { limit: HISTORY_MAX });
        }
        let mut notes = BTreeMap::new();
        for NoteShape { id, note } in &self.notes {
            check_text(note)?;
            notes.insert(TransactionId(hex("id", id)?), note.clone());
        }
        Ok(History {
            name: self.name.clone(),
            last_seen: Timestamp(self.last_seen_ms),
            sent: self.sent.iter().map(SentShape::read).collect::<Result<_, _>>()?,
            notes,
        })
    }
}

impl SentShape {
    fn of(record: &SentRecord) -> Self {
        Self {
            id: record.id.to_string(),
            at_ms: record.at.0,
            from: const_hex::encode(record.from.0),
            nonce: record.nonce.0,
            to: const_hex::encode(record.to.0),
            transfers: record.transfers,
            amount: record.amount.to_string(),
            unanswered: !record.is_answered,
        }
    }

    fn read(&self) -> Result<SentRecord, BookError> {
        let no_amount = BookError::Field { field: "amount", expected: "a number of base units" };
        Ok(SentRecord {
            id: TransactionId(hex("id", &self.id)?),
            at: Timestamp(self.at_ms),
            from: address(&self.from)?,
            nonce: Nonce(self.nonce),
            to: address(&self.to)?,
            transfers: self.transfers,
            amount: Amount::from_units(self.amount.parse().map_err(|_| no_amount)?),
            is_answered: !self.unanswered,
        })
    }
}

fn address(text: &str) -> Result<Address, BookError> {
    hex("address", text).map(Address)
}

fn hex(field: &'static str, text: &str) -> Result<[u8; 32], BookError> {
    let expected = "64 hexadecimal digits";
    const_hex::decode_to_array(text).map_err(|_| BookError::Field { field, expected })
}
