//! Events as bytes: the frames of the stream, and the records of the log that hold them.
//!
//! A frame is what goes over the wire (WHATWG HTML, 9.2 Server-sent events). A record is a byte that
//! says its kind, then, integers little-endian: `1` and events, each `id u64 ‖ length u32 ‖ frame`;
//! `2` and the u64 below which ids are reserved; `3` and the next id after a clean stop; `4` and an id
//! that no event has: before it, events are missing; `5` and events of the transactions of a block, each
//! one `confirmed`: the first id `u64 ‖ height u64 ‖ block id ‖ transaction ids`.

use super::window::Confirmed;
use crate::api::views::{EventView, Hash};
use axum::body::Bytes;
use std::io::Write as _;

const KIND_EVENTS: u8 = 1;
const KIND_RESERVED: u8 = 2;
const KIND_CLEAN: u8 = 3;
const KIND_MISSING: u8 = 4;
const KIND_CONFIRMED: u8 = 5;

/// What one record of the log says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// Events with their ids.
    Events(Vec<(u64, Bytes)>),
    /// Ids below are reserved.
    Reserved(u64),
    /// The program stopped cleanly; this is the next id.
    Clean(u64),
    /// No event has this id, and before it some were left out.
    Missing(u64),
    /// The first id, and the transactions of a block.
    Confirmed(u64, Confirmed),
}

impl Record {
    /// The bytes of a record.
    pub(super) fn encode(&self) -> Vec<u8> {
        let (kind, number) = match self {
            Self::Events(frames) => {
                let mut bytes = begin_events();
                frames.iter().for_each(|(id, frame)| add_event(*id, frame, &mut bytes));
                return bytes;
            }
            Self::Confirmed(first, confirmed) => return encode_confirmed(*first, confirmed),
            Self::Reserved(below) => (KIND_RESERVED, below),
            Self::Clean(next) => (KIND_CLEAN, next),
            Self::Missing(id) => (KIND_MISSING, id),
        };
        let mut bytes = vec![kind];
        bytes.extend_from_slice(&number.to_le_bytes());
        bytes
    }

    /// Reads a record; none if its kind or form is unknown.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let number = || rest.try_into().ok().map(u64::from_le_bytes);
        match *kind {
            KIND_EVENTS => decode_events(rest).map(Self::Events),
            KIND_RESERVED => number().map(Self::Reserved),
            KIND_CLEAN => number().map(Self::Clean),
            KIND_MISSING => number().map(Self::Missing),
            KIND_CONFIRMED => {
                decode_confirmed(rest).map(|(first, confirmed)| Self::Confirmed(first, confirmed))
            }
            _ => None,
        }
    }
}

/// A record without events, yet.
pub(super) fn begin_events() -> Vec<u8> {
    vec![KIND_EVENTS]
}

/// Adds an event to a record of events.
pub(super) fn add_event(id: u64, frame: &[u8], record: &mut Vec<u8>) {
    let length = u32::try_from(frame.len()).expect("an event names at most 2,000 blocks");
    record.extend_from_slice(&id.to_le_bytes());
    record.extend_from_slice(&length.to_le_bytes());
    record.extend_from_slice(frame);
}

/// The bytes of a record of the transactions of a block.
pub(super) fn encode_confirmed(first: u64, confirmed: &Confirmed) -> Vec<u8> {
    let Confirmed { height, block, ids } = confirmed;
    let mut bytes = Vec::with_capacity(1 + 8 + 8 + 32 * (1 + ids.len()));
    bytes.push(KIND_CONFIRMED);
    bytes.extend_from_slice(&first.to_le_bytes());
    bytes.extend_from_slice(&height.to_le_bytes());
    bytes.extend_from_slice(&block.0);
    ids.iter().for_each(|id| bytes.extend_from_slice(&id.0));
    bytes
}

fn decode_confirmed(bytes: &[u8]) -> Option<(u64, Confirmed)> {
    let (first, rest) = bytes.split_first_chunk()?;
    let (height, rest) = rest.split_first_chunk()?;
    let (block, rest) = rest.split_first_chunk()?;
    let (ids, odd) = rest.as_chunks();
    let ids: Vec<Hash> = ids.iter().map(|id| Hash(*id)).collect();
    let first = u64::from_le_bytes(*first);
    // Ids go on behind the last one, and at least one event is there.
    first.checked_add(u64::try_from(ids.len()).ok()?)?;
    let confirmed = Confirmed { height: u64::from_le_bytes(*height), block: Hash(*block), ids };
    (odd.is_empty() && !confirmed.ids.is_empty()).then_some((first, confirmed))
}

fn decode_events(bytes: &[u8]) -> Option<Vec<(u64, Bytes)>> {
    let bytes = Bytes::copy_from_slice(bytes);
    let mut frames = Vec::new();
    let mut at = 0;
    while let Some((id, rest)) = bytes.get(at..)?.split_first_chunk() {
        let (length, _) = rest.split_first_chunk()?;
        let start = at + 12;
        let end = start.checked_add(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        bytes.get(start..end)?;
        frames.push((u64::from_le_bytes(*id), bytes.slice(start..end)));
        at = end;
    }
    (at == bytes.len()).then_some(frames)
}

/// Appends the frame of an event.
pub(super) fn write_frame(id: u64, event: &EventView, out: &mut Vec<u8>) {
    write!(out, "id: {id}\nevent: {}\ndata: ", event.name()).expect("writing to memory does not fail");
    serde_json::to_writer(&mut *out, event).expect("an event has no map and no number that JSON lacks");
    out.extend_from_slice(b"\n\n");
}

/// The frame that tells a listener to start anew; it goes on behind the event `after`.
pub(super) fn reset_frame(reason: &'static str, after: u64, next: u64) -> Vec<u8> {
    let mut frame = Vec::new();
    write_frame(after, &EventView::Reset { reason: reason.to_owned(), next }, &mut frame);
    frame
}

/// The last that a listener gets who is too slow. Browsers come again by themselves with the id of
/// the event they got last.
pub(super) fn slow_frame(after: u64) -> Vec<u8> {
    format!(": too slow; come again with Last-Event-ID: {after}\n\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_reads_back() {
        let events = vec![(1, Bytes::from_static(b"a")), (7, Bytes::from_static(b"")), (9, "bcd".into())];
        let confirmed =
            Confirmed { height: 3, block: Hash([1; 32]), ids: vec![Hash([2; 32]), Hash([3; 32])] };
        for record in [
            Record::Events(events),
            Record::Reserved(5),
            Record::Clean(u64::MAX),
            Record::Missing(6),
            Record::Confirmed(7, confirmed),
        ] {
            assert_eq!(Record::decode(&record.encode()), Some(record));
        }
    }

    #[test]
    fn other_bytes_are_no_record() {
        let good = Record::Events(vec![(1, "abc".into())]).encode();
        for bad in [&[][..], &[0], &[9, 1], &[KIND_RESERVED, 1], &good[..good.len() - 1], &good[..5]] {
            assert_eq!(Record::decode(bad), None, "{bad:?}");
        }
        let confirmed = |first, count| {
            let ids = vec![Hash::default(); count];
            Record::Confirmed(first, Confirmed { height: 1, block: Hash::default(), ids }).encode()
        };
        let good = confirmed(1, 2);
        let none =
            [confirmed(1, 0), confirmed(u64::MAX, 1), good[..good.len() - 1].to_vec(), good[..40].to_vec()];
        for bad in none {
            assert_eq!(Record::decode(&bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_frame_is_three_lines_and_an_empty_one() {
        let frame = String::from_utf8(reset_frame("too-old", 4, 5)).unwrap();
        let expected =
            "id: 4\nevent: reset\ndata: {\"type\":\"reset\",\"reason\":\"too-old\",\"next\":5}\n\n";
        assert_eq!(frame, expected);
    }
}
