//! A secret in the encodings in which it is most easily carried past a search for its plain text.
//!
//! Base 64 (RFC 4648 §4 and §5) depends on where in the encoded bytes the secret begins: there are three texts, each
//! without the characters at its ends that depend on what stands beside the secret. Not covered: what is encoded twice,
//! compressed, cut or turned round.

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// `key` in base 64, base 64 for URLs, hexadecimal and percent-encoding, each in every way in which it may stand.
#[must_use]
pub fn encodings(key: &[u8]) -> Vec<Vec<u8>> {
    let each = |byte: fn(&u8) -> String| key.iter().map(byte).collect::<String>().into_bytes();
    let mut all = vec![
        each(|byte| format!("{byte:02x}")),
        each(|byte| format!("{byte:02X}")),
        each(|byte| format!("%{byte:02x}")),
        each(|byte| format!("%{byte:02X}")),
        each(|byte| if plain(*byte) { char::from(*byte).into() } else { format!("%{byte:02x}") }),
        each(|byte| if plain(*byte) { char::from(*byte).into() } else { format!("%{byte:02X}") }),
    ];
    for before in 0..3 {
        let text = base64(key, before);
        let for_urls = text.iter().map(|letter| match letter {
            b'+' => b'-',
            b'/' => b'_',
            same => *same,
        });
        all.push(for_urls.collect());
        all.push(text);
    }
    all.sort_unstable();
    all.dedup();
    all
}

/// Unreserved in URLs (RFC 3986 §2.3).
const fn plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// The characters that `key` alone decides, when `before` bytes stand in front of it in the first group of three.
fn base64(key: &[u8], before: usize) -> Vec<u8> {
    let bytes = [vec![0; before], key.to_vec()].concat();
    let at = |index: usize| u16::from(bytes.get(index).copied().unwrap_or(0));
    let letter = |sextet: usize| {
        let (byte, bit) = (sextet * 6 / 8, sextet * 6 % 8);
        let value = ((at(byte) << 8 | at(byte + 1)) >> (10 - bit)) & 63;
        STANDARD.get(usize::from(value)).copied()
    };
    ((before * 8).div_ceil(6)..bytes.len() * 8 / 6).filter_map(letter).collect()
}
