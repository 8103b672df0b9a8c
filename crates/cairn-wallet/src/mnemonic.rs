//! Words that stand for a key: BIP-39 phrases of the English list.
//!
//! A new phrase has 24 words; phrases of 12, 15, 18 and 21 words are read too. A mistyped word is
//! told by its place and the word that is nearest to it, a wrong order by the checksum.

mod nearest;

use crate::secret::{PASSWORD_BYTES_MAX, RandomError, Secret, fill_random, leave_no_trace, normal_form};
use bip39::Language;
use nearest::nearest_word;
use std::fmt;
use zeroize::{Zeroize as _, Zeroizing};

/// The longest text that is read as a phrase, in bytes: 24 words of 8 letters with room for blanks.
pub const PHRASE_BYTES_MAX: usize = 1024;
/// How many words a phrase can have.
pub const WORD_COUNTS: [usize; 5] = [12, 15, 18, 21, 24];
/// The entropy of a new phrase: 24 words.
const ENTROPY_BYTES: usize = 32;

/// A phrase with a correct checksum. There is no way of printing it but to ask for its words.
pub struct Mnemonic(Box<bip39::Mnemonic>);

/// What a phrase and its passphrase stand for: the 64 bytes that all keys are derived from.
pub struct Seed(Secret<64>);

/// Why a text is not a phrase. No variant holds a word of it as it was typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MnemonicError {
    /// A phrase has 12, 15, 18, 21 or 24 words.
    #[error("a phrase has 12, 15, 18, 21 or 24 words, this has {found}")]
    WordCount {
        /// How many words were found.
        found: usize,
    },
    /// A word is not one of the 2,048 English words of BIP-39.
    #[error("word {position} is not in the list{}", did_you_mean(*nearest))]
    UnknownWord {
        /// Which word, counted from 1.
        position: usize,
        /// The word of the list that is most like it; none if none is.
        nearest: Option<&'static str>,
    },
    /// The last word does not go with the others.
    #[error(
        "each word is in the list, but together they are no phrase: two are exchanged, or one is another"
    )]
    Checksum,
    /// The text is longer than any phrase.
    #[error("the text has {found} bytes, a phrase at most {PHRASE_BYTES_MAX}")]
    TooLong {
        /// Its bytes.
        found: usize,
    },
    /// Entropy has 16, 20, 24, 28 or 32 bytes.
    #[error("a phrase stands for 16, 20, 24, 28 or 32 bytes, not {found}")]
    Entropy {
        /// How many there were.
        found: usize,
    },
    /// The passphrase is longer than anybody types.
    #[error("the passphrase has {found} bytes, at most {PASSWORD_BYTES_MAX} are allowed")]
    PassphraseTooLong {
        /// Its bytes.
        found: usize,
    },
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |word| format!("; did you mean \"{word}\"?"))
}

impl Mnemonic {
    /// A new phrase of 24 words.
    ///
    /// # Errors
    ///
    /// [`RandomError`] if the operating system gives no random bytes.
    pub fn generate() -> Result<Self, RandomError> {
        let entropy = Secret::<ENTROPY_BYTES>::random()?;
        Ok(Self::from_entropy(entropy.expose()).expect("32 bytes are entropy of a phrase"))
    }

    /// The phrase that stands for `entropy`. The caller wipes it.
    ///
    /// # Errors
    ///
    /// [`MnemonicError::Entropy`] unless it has 16, 20, 24, 28 or 32 bytes.
    pub fn from_entropy(entropy: &[u8]) -> Result<Self, MnemonicError> {
        leave_no_trace(|| bip39::Mnemonic::from_entropy_in(Language::English, entropy).map(Self::boxed))
            .map_err(|_| MnemonicError::Entropy { found: entropy.len() })
    }

    /// Reads a phrase: words between blanks or line ends, in any case. The caller wipes the text.
    ///
    /// # Errors
    ///
    /// [`MnemonicError`]; the first unknown word is named before a wrong number of words.
    pub fn parse(text: &str) -> Result<Self, MnemonicError> {
        if text.len() > PHRASE_BYTES_MAX {
            return Err(MnemonicError::TooLong { found: text.len() });
        }
        let typed = Zeroizing::new(normal_form(text).to_lowercase());
        let mut phrase = Zeroizing::new(String::with_capacity(typed.len()));
        let mut found = 0;
        for (place, word) in typed.split_whitespace().enumerate() {
            if Language::English.find_word(word).is_none() {
                return Err(MnemonicError::UnknownWord { position: place + 1, nearest: nearest_word(word) });
            }
            if place > 0 {
                phrase.push(' ');
            }
            phrase.push_str(word);
            found = place + 1;
        }
        if !WORD_COUNTS.contains(&found) {
            return Err(MnemonicError::WordCount { found });
        }
        leave_no_trace(|| bip39::Mnemonic::parse_in_normalized(Language::English, &phrase).map(Self::boxed))
            .map_err(|_| MnemonicError::Checksum)
    }

    /// The words, in order. They are the wallet: show them once, to its owner.
    pub fn words(&self) -> impl Iterator<Item = &'static str> {
        self.0.words()
    }

    /// How many words there are.
    pub fn word_count(&self) -> usize {
        self.0.word_count()
    }

    /// The seed under a passphrase (BIP-39: PBKDF2-HMAC-SHA512, 2,048 rounds); empty for none.
    /// Every passphrase gives a seed, another one another: none is wrong.
    ///
    /// # Errors
    ///
    /// [`MnemonicError::PassphraseTooLong`].
    pub fn seed(&self, passphrase: &str) -> Result<Seed, MnemonicError> {
        let found = passphrase.len();
        if found > PASSWORD_BYTES_MAX {
            return Err(MnemonicError::PassphraseTooLong { found });
        }
        Ok(Seed(leave_no_trace(|| {
            let mut bytes = self.0.to_seed_normalized(&normal_form(passphrase));
            let seed = Secret::copied(&bytes);
            bytes.zeroize();
            seed
        })))
    }

    /// Distinct places of words, ascending and counted from 1, that nobody can foresee: whoever
    /// can name the words there has written the phrase down.
    ///
    /// # Errors
    ///
    /// [`RandomError`] if the operating system gives no random bytes.
    pub fn draw_places(&self, count: usize) -> Result<Vec<usize>, RandomError> {
        let mut places: Vec<usize> = (1..=self.word_count()).collect();
        let mut drawn = Vec::new();
        while drawn.len() < count && !places.is_empty() {
            let mut chance = [0; 8];
            fill_random(&mut chance)?;
            // What 2⁶⁴ leaves over favours no place by more than one part in 10¹⁷.
            let left = places.len() as u64;
            let at = usize::try_from(u64::from_le_bytes(chance) % left).expect("below a length");
            drawn.push(places.swap_remove(at));
        }
        drawn.sort_unstable();
        Ok(drawn)
    }

    /// Whether `word`, as it was typed, is the one at a place, counted from 1.
    pub fn has_word(&self, place: usize, word: &str) -> bool {
        let expected = place.checked_sub(1).and_then(|skipped| self.words().nth(skipped));
        expected.is_some_and(|expected| expected.eq_ignore_ascii_case(word.trim()))
    }

    /// What the words stand for.
    pub(crate) fn entropy(&self) -> Zeroizing<Vec<u8>> {
        leave_no_trace(|| {
            let (mut bytes, length) = self.0.to_entropy_array();
            let entropy = Zeroizing::new(bytes.iter().copied().take(length).collect::<Vec<u8>>());
            bytes.zeroize();
            entropy
        })
    }

    fn boxed(mnemonic: bip39::Mnemonic) -> Self {
        Self(Box::new(mnemonic))
    }
}

impl Seed {
    /// A copy of the bytes of a seed. The caller wipes its own.
    pub(crate) fn from_bytes(bytes: &[u8; 64]) -> Self {
        Self(Secret::copied(bytes))
    }

    /// The bytes.
    pub(crate) const fn expose(&self) -> &[u8; 64] {
        self.0.expose()
    }
}

impl fmt::Debug for Mnemonic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mnemonic(…)")
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    const BIP_39: &str = include_str!("../../../docs/spec/vectors/external/bip39/english.json");
    const WORDS: &str = include_str!("../../../docs/spec/vectors/external/bip39/english.txt");
    const LAST_IS_ART: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon \
                               abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon \
                               abandon abandon abandon art";

    fn refused(text: &str) -> MnemonicError {
        Mnemonic::parse(text).unwrap_err()
    }

    fn text(mnemonic: &Mnemonic) -> String {
        mnemonic.words().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn mnemonic_vectors_hold() {
        let file: Value = serde_json::from_str(BIP_39).unwrap();
        let cases = file["english"].as_array().unwrap();
        assert_eq!(cases.len(), 24);
        for case in cases {
            let bytes = |name: &str| const_hex::decode(case[name].as_str().unwrap()).unwrap();
            let phrase = Mnemonic::from_entropy(&bytes("entropy")).unwrap();
            assert_eq!(text(&phrase), case["words"]);
            let read = Mnemonic::parse(case["words"].as_str().unwrap()).unwrap();
            assert_eq!(*read.entropy(), bytes("entropy"));
            assert_eq!(read.seed("TREZOR").unwrap().expose().as_slice(), bytes("seed"));
        }
    }

    #[test]
    fn mnemonic_wordlist_is_that_of_bip_39() {
        let words: Vec<&str> = WORDS.lines().collect();
        assert_eq!(words, Language::English.word_list());
        let beginnings: std::collections::BTreeSet<&str> =
            words.iter().map(|word| word.get(..4).unwrap_or(word)).collect();
        assert_eq!(beginnings.len(), 2048, "four letters are enough to name a word");
    }

    #[test]
    fn a_passphrase_is_the_same_however_it_is_composed() {
        let phrase = Mnemonic::parse(LAST_IS_ART).unwrap();
        let seed = |passphrase| *phrase.seed(passphrase).unwrap().expose();
        assert_eq!(seed("s\u{e9}same"), seed("se\u{301}same"));
        assert_ne!(seed("s\u{e9}same"), seed("sesame"));
    }

    #[test]
    fn a_new_phrase_has_24_words_and_is_never_the_same() {
        let (one, other) = (Mnemonic::generate().unwrap(), Mnemonic::generate().unwrap());
        assert_eq!(one.word_count(), 24);
        assert_ne!(text(&one), text(&other));
    }

    #[test]
    fn blanks_lines_and_capitals_do_not_matter() {
        let untidy = format!("  {}\n\t", LAST_IS_ART.to_uppercase().replace(' ', " \n "));
        assert_eq!(text(&Mnemonic::parse(&untidy).unwrap()), LAST_IS_ART);
    }

    #[test]
    fn a_mistyped_word_is_told_by_its_place_and_its_neighbour() {
        let typed = LAST_IS_ART.replacen("abandon", "abandom", 1);
        assert_eq!(refused(&typed), MnemonicError::UnknownWord { position: 1, nearest: Some("abandon") });
        let message = refused(&LAST_IS_ART.replace("art", "xqzzvkw")).to_string();
        assert_eq!(message, "word 24 is not in the list");
    }

    #[test]
    fn exchanged_words_break_the_checksum() {
        let exchanged = LAST_IS_ART.replace("abandon art", "art abandon");
        assert_eq!(refused(&exchanged), MnemonicError::Checksum);
    }

    #[test]
    fn other_numbers_of_words_are_refused() {
        for found in [0, 1, 11, 13, 23, 25, 48] {
            let text = vec!["abandon"; found].join(" ");
            assert_eq!(refused(&text), MnemonicError::WordCount { found }, "{found}");
        }
        let found = PHRASE_BYTES_MAX + 1;
        assert_eq!(refused(&" ".repeat(found)), MnemonicError::TooLong { found });
    }

    #[test]
    fn whoever_wrote_the_phrase_down_can_name_its_words() {
        let phrase = Mnemonic::parse(LAST_IS_ART).unwrap();
        let places = phrase.draw_places(4).unwrap();
        assert_eq!(places.len(), 4);
        assert!(places.windows(2).all(|pair| pair[0] < pair[1]), "{places:?}");
        assert!(places.iter().all(|place| (1..=24).contains(place)), "{places:?}");
        assert_eq!(phrase.draw_places(99).unwrap().len(), 24);
        assert!(phrase.has_word(24, " Art\n"));
        assert!(!phrase.has_word(23, "art"));
        assert!(!phrase.has_word(0, "abandon"));
        assert!(!phrase.has_word(25, ""));
    }

    #[test]
    fn an_endless_passphrase_is_refused() {
        let phrase = Mnemonic::parse(LAST_IS_ART).unwrap();
        let found = PASSWORD_BYTES_MAX + 1;
        let error = phrase.seed(&"p".repeat(found)).unwrap_err();
        assert_eq!(error, MnemonicError::PassphraseTooLong { found });
    }

    proptest! {
        #[test]
        fn a_phrase_is_read_as_it_is_shown(entropy: [u8; 32], count in 4usize..=8) {
            let entropy = &entropy[..count * 4];
            let phrase = Mnemonic::from_entropy(entropy).unwrap();
            prop_assert_eq!(phrase.word_count(), count * 3);
            let read = Mnemonic::parse(&text(&phrase)).unwrap();
            prop_assert_eq!(&read.entropy()[..], entropy);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,300}") {
            let _ = Mnemonic::parse(&text);
        }
    }
}
