//! Numbers in as few bytes as they need (unsigned LEB128), for what is stored and never hashed.

use crate::codec::{DecodeError, Reader};

/// The most bytes a number of 64 bits takes.
const VARINT_BYTES_MAX: u32 = 10;

/// Appends a number: seven bits a byte, lowest first, the top bit set in all bytes but the last.
pub(super) fn append_varint(mut number: u64, out: &mut Vec<u8>) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Reads a number.
///
/// # Errors
///
/// BYT-1 if it is cut off, BYT-5 if it has a shorter form or more than 64 bits.
pub(super) fn read_varint(reader: &mut Reader<'_>) -> Result<u64, DecodeError> {
    let mut number = 0;
    for place in 0..VARINT_BYTES_MAX {
        let byte = reader.byte()?;
        let bits = u64::from(byte & 0x7f);
        let shifted = bits << (7 * place);
        if shifted >> (7 * place) != bits || (byte == 0 && place > 0) {
            break;
        }
        number |= shifted;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(DecodeError::NotCanonical { what: "varint", at: reader.position() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> Result<u64, DecodeError> {
        read_varint(&mut Reader::new(bytes))
    }

    #[test]
    fn the_bytes_are_those_of_leb128() {
        let mut out = Vec::new();
        append_varint(624_485, &mut out);
        assert_eq!(out, [0xe5, 0x8e, 0x26]);
    }

    #[test]
    fn byt_5_a_longer_form_than_needed_is_refused() {
        assert_eq!(read(&[0]), Ok(0));
        assert_eq!(read(&[0x80, 0]), Err(DecodeError::NotCanonical { what: "varint", at: 2 }));
        assert_eq!(read(&[0x81, 0x80, 0]), Err(DecodeError::NotCanonical { what: "varint", at: 3 }));
    }

    #[test]
    fn byt_5_more_than_64_bits_are_refused() {
        let most = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(read(&most), Ok(u64::MAX));
        let above = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert_eq!(read(&above), Err(DecodeError::NotCanonical { what: "varint", at: 10 }));
        assert_eq!(read(&[0xff; 11]), Err(DecodeError::NotCanonical { what: "varint", at: 10 }));
    }

    proptest! {
        #[test]
        fn a_number_reads_back(number: u64, shift in 0u32..64) {
            let number = number >> shift;
            let mut out = Vec::new();
            append_varint(number, &mut out);
            prop_assert_eq!(read(&out), Ok(number));
        }
    }
}
