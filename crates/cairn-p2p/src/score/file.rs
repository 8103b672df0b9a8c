//! Bans as a file: who is banned stays so over a restart.
//!
//! ```text
//! tag "cairn/bans/1", filled up with zeros to 16 bytes
//! count u32 │ bans, in order │ checksum 8
//! ban: kind u8 (0 node, 1 address), public key 32 or address 16, until u64 in milliseconds since 1970
//! ```

use super::{BANS_MAX, Ban, Banned};
use crate::address::AddressHost;
use crate::kept::{self, Fields, KeptError};
use crate::key::NodeId;
use std::net::{IpAddr, Ipv6Addr};

/// How the file begins.
pub(crate) const TAG: &[u8; 16] = b"cairn/bans/1\0\0\0\0";
const NODE: u8 = 0;
const ADDRESS: u8 = 1;
/// The longest ban.
const BAN_BYTES_MAX: usize = 1 + 32 + 8;

/// What to save of the bans that hold: the first 4,096 of them.
pub fn bans_to_bytes(bans: &[Ban]) -> Vec<u8> {
    let mut bans: Vec<Ban> = bans.iter().take(BANS_MAX).copied().collect();
    bans.sort_by_key(|ban| ban.who);
    bans.dedup_by_key(|ban| ban.who);
    let mut contents = u32::try_from(bans.len()).expect("at most 4,096").to_le_bytes().to_vec();
    for ban in bans {
        match ban.who {
            Banned::Node(node) => {
                contents.push(NODE);
                contents.extend(node.to_bytes());
            }
            Banned::Address(host) => {
                contents.push(ADDRESS);
                contents.extend(match host.ip() {
                    IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                    IpAddr::V6(ip) => ip.octets(),
                });
            }
        }
        contents.extend(ban.until_ms.to_le_bytes());
    }
    kept::seal(TAG, &contents)
}

/// The bans of a file, for [`Settings::bans`](crate::Settings). Some may have ended.
///
/// # Errors
///
/// The file is damaged or none of this version.
pub fn bans_from_bytes(bytes: &[u8]) -> Result<Vec<Ban>, KeptError> {
    let mut fields = kept::open(TAG, bytes, kept::bytes_max(4 + BANS_MAX * BAN_BYTES_MAX))?;
    let mut bans: Vec<Ban> = Vec::new();
    for _ in 0..fields.count(BANS_MAX)? {
        let ban = Ban { who: read_banned(&mut fields)?, until_ms: fields.u64()? };
        if bans.last().is_some_and(|last| last.who >= ban.who) {
            return Err(KeptError::Damaged);
        }
        bans.push(ban);
    }
    fields.finish()?;
    Ok(bans)
}

fn read_banned(fields: &mut Fields<'_>) -> Result<Banned, KeptError> {
    match fields.u8()? {
        NODE => NodeId::from_bytes(fields.bytes()?).map(Banned::Node).ok_or(KeptError::Damaged),
        ADDRESS => {
            let ip = IpAddr::V6(Ipv6Addr::from(fields.bytes::<16>()?)).to_canonical();
            let host = AddressHost::of(ip);
            if host.ip() == ip { Ok(Banned::Address(host)) } else { Err(KeptError::Damaged) }
        }
        _ => Err(KeptError::Damaged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::NodeKey;

    fn bans() -> Vec<Ban> {
        let host = |text: &str| Banned::Address(AddressHost::of(text.parse().unwrap()));
        let node = Banned::Node(NodeKey::from_seed([1; 32]).id());
        [node, host("192.0.2.1"), host("2001:db8::1")]
            .into_iter()
            .zip(1..)
            .map(|(who, until_ms)| Ban { who, until_ms })
            .collect()
    }

    #[test]
    fn bans_are_read_as_they_were_written() {
        let bytes = bans_to_bytes(&bans());
        assert_eq!(bans_from_bytes(&bytes), Ok(bans()));
        let twice: Vec<_> = bans().into_iter().rev().chain(bans()).collect();
        assert_eq!(bans_to_bytes(&twice), bytes);
        assert_eq!(bans_from_bytes(&bans_to_bytes(&[])), Ok(vec![]));
    }

    #[test]
    fn a_damaged_file_of_bans_is_refused() {
        let good = bans_to_bytes(&bans());
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(bans_from_bytes(&bad).is_err(), "byte {at}");
        }
        let many = kept::seal(TAG, &u32::MAX.to_le_bytes());
        assert_eq!(bans_from_bytes(&many), Err(KeptError::Damaged));
    }
}
