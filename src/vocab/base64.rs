//! Base 64 (RFC 4648 §4, padded), as DSSE envelopes, signed notes and SSH signatures want it.
//!
//! One text for one byte string: decoding refuses other alphabets, missing padding and left-over bits, so that a
//! changed character is never a different spelling of the same bytes.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The text of `bytes`.
#[must_use]
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group =
            chunk.iter().chain(&[0, 0]).take(3).fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        for place in 0..4_usize {
            let index = (group >> (18 - 6 * place)) & 63;
            let letter = ALPHABET.get(index as usize).copied().map_or('=', char::from);
            out.push(if place <= chunk.len() { letter } else { '=' });
        }
    }
    out
}

/// The bytes of `text`, or `None` when it is not exactly what [`encode`] writes.
#[must_use]
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let (groups, rest) = text.as_bytes().as_chunks::<4>();
    if !rest.is_empty() {
        return None;
    }
    let mut out = Vec::with_capacity(groups.len() * 3);
    for (index, group) in groups.iter().enumerate() {
        let pads = group.iter().rev().take_while(|c| **c == b'=').count();
        if pads > 2 || (pads > 0 && index + 1 != groups.len()) {
            return None;
        }
        let mut bits = 0_u32;
        for letter in group.iter().take(4 - pads) {
            bits = bits << 6 | value(*letter)?;
        }
        bits <<= 6 * pads;
        let [_, bytes @ ..] = bits.to_be_bytes();
        if bytes.iter().skip(3 - pads).any(|left_over| *left_over != 0) {
            return None;
        }
        out.extend(bytes.iter().take(3 - pads));
    }
    Some(out)
}

fn value(letter: u8) -> Option<u32> {
    Some(u32::from(match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_the_rfc() {
        let vectors = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
        ];
        for (plain, text) in vectors {
            assert_eq!(encode(plain.as_bytes()), text);
            assert_eq!(decode(text).unwrap(), plain.as_bytes());
        }
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(decode(&encode(&all)).unwrap(), all);
    }

    #[test]
    fn other_spellings_of_the_same_bytes_are_refused() {
        for text in ["Zg", "Zg=", "Zh==", "Zm9=", "Zg==Zg==", "====", "Zm-v", "Zm9v\n", "Z===", "=Zg="] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
