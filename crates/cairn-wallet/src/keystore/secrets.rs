//! What a keystore hides: the words and single keys.

use super::ACCOUNTS_MAX;
use crate::mnemonic::{Mnemonic, Seed};
use crate::secret::Secret;
use cairn_core::codec::{Decode as _, DecodeError, Encode as _, Reader, encode_byte_string, encode_count};
use zeroize::Zeroizing;

/// The longest entropy of a phrase: 24 words.
const ENTROPY_BYTES_MAX: usize = 32;
/// No words.
const WITHOUT_WORDS: u8 = 0;
/// Words of the English list of BIP-39.
const WITH_WORDS: u8 = 1;
/// The most bytes before the single keys: a choice, an entropy with its length, a seed, a count.
const HEAD_BYTES_MAX: usize = 1 + 4 + ENTROPY_BYTES_MAX + 64 + 4;

/// The secrets of a keystore.
#[derive(Debug, Default)]
pub(crate) struct Secrets {
    pub(crate) root: Option<Root>,
    /// Seeds of single ed25519 keys (RFC 8032).
    pub(crate) imported: Vec<Secret<32>>,
}

/// What the derived keys come from. The seed stands beside the entropy because a passphrase,
/// which is not kept, may have gone into it.
#[derive(Debug)]
pub(crate) struct Root {
    pub(crate) phrase: Mnemonic,
    pub(crate) seed: Seed,
}

impl Secrets {
    /// `0 | 1 ‖ entropy ‖ seed`, then the single keys with their count.
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        // The room is there before the secrets are, so that no growing leaves a copy behind.
        let mut out = Zeroizing::new(Vec::with_capacity(HEAD_BYTES_MAX + 32 * self.imported.len()));
        match &self.root {
            None => WITHOUT_WORDS.encode(&mut out),
            Some(Root { phrase, seed }) => {
                WITH_WORDS.encode(&mut out);
                encode_byte_string(&phrase.entropy(), &mut out);
                out.extend_from_slice(seed.expose());
            }
        }
        encode_count(self.imported.len(), &mut out);
        for key in &self.imported {
            out.extend_from_slice(key.expose());
        }
        out
    }

    /// Reads what [`encode`](Self::encode) wrote.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let secrets = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(secrets)
    }

    /// Reads secrets with something behind them.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.position();
        let root = match u8::decode(reader)? {
            WITHOUT_WORDS => None,
            WITH_WORDS => Some(Root::read(reader)?),
            found => return Err(DecodeError::UnknownKind { what: "kind of words", at, found }),
        };
        let count = reader.count("single keys", ACCOUNTS_MAX, 32)?;
        let imported = (0..count).map(|_| read_secret(reader)).collect::<Result<_, _>>()?;
        Ok(Self { root, imported })
    }
}

impl Root {
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let entropy = reader.byte_string("entropy", ENTROPY_BYTES_MAX)?;
        let not_words = DecodeError::NotCanonical { what: "entropy", at: reader.position() };
        let phrase = Mnemonic::from_entropy(entropy).map_err(|_| not_words)?;
        let seed = reader.take(64)?.try_into().expect("take returns as many bytes as asked");
        Ok(Self { phrase, seed: Seed::from_bytes(seed) })
    }
}

fn read_secret(reader: &mut Reader<'_>) -> Result<Secret<32>, DecodeError> {
    let bytes: &[u8; 32] = reader.take(32)?.try_into().expect("take returns as many bytes as asked");
    Ok(Secret::copied(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn secrets(words: usize, imported: &[[u8; 32]]) -> Secrets {
        let phrase = (words > 0).then(|| Mnemonic::from_entropy(&vec![5; words / 3 * 4]).unwrap());
        let root = phrase.map(|phrase| Root { seed: phrase.seed("").unwrap(), phrase });
        Secrets { root, imported: imported.iter().map(Secret::copied).collect() }
    }

    #[test]
    fn the_room_is_never_outgrown() {
        for words in [0, 12, 24] {
            let secrets = secrets(words, &[[7; 32]; 20]);
            let bytes = secrets.encode();
            assert!(bytes.len() <= HEAD_BYTES_MAX + 32 * 20, "{words}");
        }
    }

    #[test]
    fn entropy_of_no_phrase_is_refused() {
        let mut bytes = secrets(12, &[]).encode();
        bytes[1] = 15;
        bytes.remove(5);
        let refused = Secrets::decode(&bytes).unwrap_err();
        assert!(matches!(refused, DecodeError::NotCanonical { what: "entropy", .. }), "{refused:?}");
    }

    #[test]
    fn an_absurd_count_is_refused_before_anything_is_allocated() {
        let refused = Secrets::decode(&[0, 255, 255, 255, 255]).unwrap_err();
        assert!(matches!(refused, DecodeError::TooLong { limit: ACCOUNTS_MAX, .. }), "{refused:?}");
    }

    proptest! {
        #[test]
        fn secrets_are_read_as_they_are_written(words in 0usize..=5, imported: Vec<[u8; 32]>) {
            let words = [0, 12, 15, 18, 21, 24][words];
            let bytes = secrets(words, &imported).encode();
            let read = Secrets::decode(&bytes).unwrap();
            prop_assert_eq!(read.encode(), bytes);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            if let Ok(secrets) = Secrets::decode(&bytes) {
                prop_assert_eq!(&secrets.encode()[..], &bytes[..]);
            }
        }
    }
}
