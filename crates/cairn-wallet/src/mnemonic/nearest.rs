//! The word that was meant: nearest in letters left out, added, changed or exchanged.

use bip39::Language;
use zeroize::Zeroizing;

/// The longest typed word that is compared; no word of the list has more than 8 letters.
const LETTERS_MAX: usize = 12;
/// More mistakes than this are another word.
const MISTAKES_MAX: usize = 2;

/// The word of the English list that is nearest to a typed one; none if none is near. Of equally
/// near words the one that shares more first letters is taken, then the first of the list.
pub(super) fn nearest_word(typed: &str) -> Option<&'static str> {
    let letters: Zeroizing<Vec<char>> = Zeroizing::new(typed.chars().take(LETTERS_MAX + 1).collect());
    if letters.len() > LETTERS_MAX {
        return None;
    }
    // The first four letters name a word of this list: with them alone nothing is mistyped.
    if letters.len() >= 4
        && let Some(word) = Language::English.words_by_prefix_iter(typed).next()
    {
        return Some(word);
    }
    let near = Language::English.word_list().iter().map(|word| {
        let spelled: Vec<char> = word.chars().collect();
        let shared = letters.iter().zip(&spelled).take_while(|(a, b)| a == b).count();
        (mistakes(&letters, &spelled), std::cmp::Reverse(shared), *word)
    });
    // A short word with most of its letters wrong is not near.
    let limit = MISTAKES_MAX.min(letters.len() / 2);
    near.min_by_key(|(mistakes, shared, _)| (*mistakes, *shared))
        .filter(|(mistakes, _, _)| *mistakes <= limit)
        .map(|(_, _, word)| word)
}

/// How many letters were left out, added, changed, or exchanged with the next one (the optimal
/// string alignment distance).
fn mistakes(typed: &[char], word: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=word.len()).collect();
    for (row, letter) in typed.iter().enumerate() {
        let mut here = vec![row + 1];
        for (column, other) in word.iter().enumerate() {
            let changed = above[column] + usize::from(letter != other);
            let mut least = changed.min(above[column + 1] + 1).min(here[column] + 1);
            if row > 0 && column > 0 && typed[row - 1] == *other && word[column - 1] == *letter {
                least = least.min(before[column - 1] + 1);
            }
            here.push(least);
        }
        before = std::mem::replace(&mut above, here);
    }
    above[word.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_slips_find_the_word() {
        let slips = [
            ("abandn", "abandon"),
            ("abbandon", "abandon"),
            ("abadnon", "abandon"),
            ("zooo", "zoo"),
            ("aband", "abandon"),
            ("recieve", "receive"),
            ("jugnle", "jungle"),
            ("lettr", "letter"),
        ];
        for (typed, meant) in slips {
            assert_eq!(nearest_word(typed), Some(meant), "{typed}");
        }
    }

    #[test]
    fn what_resembles_nothing_finds_nothing() {
        for typed in ["", "x", "qq", "blockchain", "pneumonoultramicroscopic", "ααα", "12345678"] {
            assert_eq!(nearest_word(typed), None, "{typed}");
        }
    }

    #[test]
    fn mistakes_are_counted_as_people_make_them() {
        let count = |typed: &str, word: &str| {
            mistakes(&typed.chars().collect::<Vec<_>>(), &word.chars().collect::<Vec<_>>())
        };
        assert_eq!(count("wheat", "wheat"), 0);
        assert_eq!(count("wehat", "wheat"), 1);
        assert_eq!(count("heat", "wheat"), 1);
        assert_eq!(count("wheats", "wheat"), 1);
        assert_eq!(count("what", "wheat"), 1);
        assert_eq!(count("", "wheat"), 5);
        assert_eq!(count("wheat", ""), 5);
    }
}
