//! Numbers that tell a key from text that merely looks like one: checksums and entropy.

/// Base 62 as GitHub and npm write it: digits, upper case, lower case.
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Length of the checksum at the end of a GitHub or npm token.
const CHECKSUM_CHARS: usize = 6;

/// CRC-32 as in IEEE 802.3 (reflected, polynomial 0xEDB88320).
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    })
}

/// Whether the last six characters of `body` (a token without its prefix) are the base 62 CRC-32 of the rest
/// (GitHub's token format, also npm's).
pub(super) fn token_checksum_holds(body: &[u8]) -> bool {
    let Some((random, sum)) = body.split_last_chunk::<CHECKSUM_CHARS>() else { return false };
    let mut rest = crc32(random) as usize;
    sum.iter().rev().all(|char| {
        let digit = BASE62.get(rest % 62);
        rest /= 62;
        digit == Some(char)
    })
}

/// Shannon entropy of `bytes` in thousandths of a bit for each byte, rounded down. In whole numbers: the same on every
/// machine that replays an inspection, and no mathematical library to start with.
pub(super) fn entropy_millibits(bytes: &[u8]) -> u32 {
    let mut counts = [0_u64; 256];
    for byte in bytes {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    let weighted = |count: u64| u128::from(count) * u128::from(log2(count));
    let total = bytes.len() as u64;
    // The sum of -p log p, with p = count / total.
    let known: u128 = counts.iter().copied().map(weighted).sum();
    let bits = weighted(total).saturating_sub(known);
    let millibits = (bits * 1000).checked_div(u128::from(total) << FRACTION);
    millibits.and_then(|millibits| u32::try_from(millibits).ok()).unwrap_or(0)
}

/// Bits after the point in what [`log2`] gives.
const FRACTION: u32 = 24;

/// Binary logarithm, 0 for 0: the bits after the point are what squaring the number doubles, one after the other.
fn log2(value: u64) -> u64 {
    let Some(whole) = value.checked_ilog2() else { return 0 };
    let one = 1_u128 << 62;
    let mut mantissa = (u128::from(value) << 62) >> whole;
    let mut result = u64::from(whole);
    for _ in 0..FRACTION {
        mantissa = (mantissa * mantissa) >> 62;
        let carry = mantissa >= 2 * one;
        mantissa >>= u32::from(carry);
        result = (result << 1) | u64::from(carry);
    }
    result
}

/// Whether `value` looks drawn by chance: some part of it between separators is long, mixes digits with letters,
/// and changes class often. Names, paths, versions and UUIDs do not.
pub(super) fn looks_random(value: &[u8]) -> bool {
    value.split(|byte| b"_-./:~".contains(byte)).any(|part| {
        let digits = part.iter().filter(|byte| byte.is_ascii_digit()).count();
        let letters = part.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
        let changes = part.windows(2).filter(|pair| matches!(pair, [a, b] if class(*a) != class(*b))).count();
        part.len() >= 16 && digits >= 2 && letters >= 2 && changes >= 4 && entropy_millibits(part) >= 3000
    })
}

fn class(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => 0,
        b'a'..=b'z' => 1,
        b'A'..=b'Z' => 2,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_of_the_check_string_is_the_published_one() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn the_published_token_format_holds_and_one_changed_byte_breaks_it() {
        // The random part of the example in GitHub's announcement, without its prefix.
        let body = ["zQWBuTSOoRi4A9sp", "HcVY5ncnsDkxkJ", "0mLq17"].concat();
        assert!(token_checksum_holds(body.as_bytes()));
        assert!(!token_checksum_holds(body.replacen('z', "y", 1).as_bytes()));
        assert!(!token_checksum_holds(b"short"));
    }

    #[test]
    fn entropy_is_shannons() {
        for (text, millibits) in [("", 0), ("aaaa", 0), ("abab", 1000), ("abcd", 2000), ("abc", 1584)] {
            assert_eq!(entropy_millibits(text.as_bytes()), millibits, "{text}");
        }
        for length in 1..400_u32 {
            let text: Vec<u8> = (0..length).map(|at| (at * at % 97).to_le_bytes()[0]).collect();
            let count = |byte: u8| text.iter().map(|other| f64::from(u8::from(*other == byte))).sum::<f64>();
            let present = (0..=255).map(|byte| count(byte) / f64::from(length)).filter(|share| *share > 0.0);
            let expected = present.map(|share| -share * share.log2() * 1000.0).sum::<f64>();
            let difference = f64::from(entropy_millibits(&text)) - expected;
            assert!((-1.001..0.001).contains(&difference), "{length}: {difference}");
        }
    }

    #[test]
    fn names_and_uuids_are_not_random() {
        for name in [
            "parse_next_token_from_stream_buffer",
            "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
            "registry.example.com/group/image:1.2.3",
            "aaaaaaaaaaaaaaaaaaaaaaaa",
            "version-1.2.3-rc.4+build5",
        ] {
            assert!(!looks_random(name.as_bytes()), "{name}");
        }
        assert!(looks_random(["x8Kq2LmP", "9vT4nR7wZ1cY"].concat().as_bytes()));
    }
}
