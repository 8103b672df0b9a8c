//! Texts of people, shown to people: labels, notes, what a payment is for.

/// The longest label or note, in bytes.
pub const TEXT_BYTES_MAX: usize = 200;

/// Why a text is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// It is longer than a line.
    #[error("the text has {found} bytes, at most {TEXT_BYTES_MAX} are allowed")]
    TooLong {
        /// Its bytes.
        found: usize,
    },
    /// It holds a character that is not seen but changes what is: a terminal would obey it.
    #[error("the text holds a control character, U+{:04X}", *found as u32)]
    Control {
        /// The character.
        found: char,
    },
}

/// A line of text that no terminal obeys: without control characters, and without those that turn
/// the direction of writing or end a line (Unicode Technical Report #36).
///
/// # Errors
///
/// [`TextError`].
pub fn check_text(text: &str) -> Result<(), TextError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(TextError::TooLong { found: text.len() });
    }
    match text.chars().find(|character| is_control(*character)) {
        Some(found) => Err(TextError::Control { found }),
        None => Ok(()),
    }
}

/// Whether a character is obeyed rather than shown.
fn is_control(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_all_languages_are_shown() {
        for text in ["", "rent", "Miete für März", "家賃", "إيجار", "🍕 for lunch"] {
            assert_eq!(check_text(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_a_terminal_obeys_is_refused() {
        for found in
            ['\0', '\n', '\r', '\t', '\u{1b}', '\u{7f}', '\u{9b}', '\u{202e}', '\u{2066}', '\u{2028}']
        {
            assert_eq!(check_text(&format!("rent{found}")), Err(TextError::Control { found }));
        }
        let found = TEXT_BYTES_MAX + 1;
        assert_eq!(check_text(&"a".repeat(found)), Err(TextError::TooLong { found }));
    }
}
