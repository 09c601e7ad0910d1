//! The endpoint's key: held on this side, never printed, taken out of anything that echoes it.

use hyper::header::{HeaderValue, InvalidHeaderValue};
use zeroize::Zeroizing;

use crate::vocab::encodings;

/// What stands where the key was echoed.
const MASK: &[u8] = b"[key]";

/// The key of a model endpoint. Its memory is wiped when it is dropped; it has no `Debug` that shows it.
#[derive(Clone)]
pub struct ModelKey(Zeroizing<String>);

impl std::fmt::Debug for ModelKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ModelKey")
    }
}

impl From<Zeroizing<String>> for ModelKey {
    fn from(text: Zeroizing<String>) -> Self {
        Self(text)
    }
}

impl ModelKey {
    /// The key's bytes, for the scanner that looks for it in everything that is written.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The value of the header that carries it, behind `before`.
    pub(super) fn header(&self, before: &str) -> Result<HeaderValue, InvalidHeaderValue> {
        let text = Zeroizing::new(format!("{before}{}", self.0.as_str()));
        let mut value = HeaderValue::from_str(&text)?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// Shortest encoding that is looked for: a shorter one would be found in any text.
const ENCODED_MIN: usize = 8;

/// Replaces the key in a stream of chunks, plainly and in its common encodings, also where it is split between two;
/// holds back no more than what could be the beginning of it, so that events of a stream are not delayed.
pub(super) struct KeyFilter {
    /// What is looked for, longest first.
    needles: Vec<Zeroizing<Vec<u8>>>,
    /// The bytes with which one of them begins.
    begins: [bool; 256],
    held: Zeroizing<Vec<u8>>,
}

impl KeyFilter {
    pub(super) fn new(key: Option<&ModelKey>) -> Self {
        let key = key.map(ModelKey::bytes).filter(|key| !key.is_empty());
        let encoded = key.map(encodings).unwrap_or_default();
        let encoded = encoded.into_iter().filter(|text| text.len() >= ENCODED_MIN);
        let mut needles: Vec<Zeroizing<Vec<u8>>> =
            key.map(<[u8]>::to_vec).into_iter().chain(encoded).map(Zeroizing::new).collect();
        needles.sort_by_key(|needle| std::cmp::Reverse(needle.len()));
        let mut begins = [false; 256];
        for first in needles.iter().filter_map(|needle| needle.first()) {
            if let Some(begins) = begins.get_mut(usize::from(*first)) {
                *begins = true;
            }
        }
        Self { needles, begins, held: Zeroizing::new(Vec::new()) }
    }

    /// What can go out now.
    pub(super) fn pass(&mut self, chunk: &[u8]) -> Vec<u8> {
        if self.needles.is_empty() {
            return chunk.to_vec();
        }
        let whole = Zeroizing::new([self.held.as_slice(), chunk].concat());
        let mut out = Vec::with_capacity(whole.len());
        let mut rest: &[u8] = &whole;
        while let Some((first, after)) = rest.split_first() {
            if !self.begins.get(usize::from(*first)).copied().unwrap_or(true) {
                out.push(*first);
                rest = after;
            } else if let Some(found) = self.needles.iter().find(|needle| rest.starts_with(needle)) {
                out.extend_from_slice(MASK);
                rest = rest.split_at(found.len()).1;
            } else if self.needles.iter().any(|needle| needle.starts_with(rest)) {
                break;
            } else {
                out.push(*first);
                rest = after;
            }
        }
        self.held = Zeroizing::new(rest.to_vec());
        out
    }

    /// What was held back, when no more comes.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut *self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> (String, ModelKey) {
        let text = ["k", "ey-", "a1", "a1b2"].concat();
        (text.clone(), ModelKey::from(Zeroizing::new(text)))
    }

    #[test]
    fn the_key_is_masked_wherever_the_stream_is_cut() {
        let (text, key) = key();
        let body = format!("data: a1a1 {text}{text} key- {text}");
        for cut in 1..body.len() {
            let mut filter = KeyFilter::new(Some(&key));
            let (head, tail) = body.as_bytes().split_at(cut);
            let out = [filter.pass(head), filter.pass(tail), filter.finish()].concat();
            assert_eq!(String::from_utf8(out).unwrap(), "data: a1a1 [key][key] key- [key]", "cut at {cut}");
        }
    }

    #[test]
    fn the_key_is_masked_in_its_encodings_too_wherever_the_stream_is_cut() {
        let (text, key) = key();
        let in_hex = text.bytes().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().concat();
        for encoded in encodings(text.as_bytes()).into_iter().chain([in_hex.into_bytes()]) {
            if encoded.len() < ENCODED_MIN {
                continue;
            }
            let body = [b"data: ", encoded.as_slice(), b"!\n"].concat();
            for cut in 1..body.len() {
                let mut filter = KeyFilter::new(Some(&key));
                let (head, tail) = body.split_at(cut);
                let out = [filter.pass(head), filter.pass(tail), filter.finish()].concat();
                assert_eq!(String::from_utf8(out).unwrap(), "data: [key]!\n", "cut at {cut}");
            }
        }
    }

    #[test]
    fn nothing_else_is_held_back_and_nothing_prints_it() {
        let (text, key) = key();
        let mut filter = KeyFilter::new(Some(&key));
        assert_eq!(filter.pass(b"data: x\n\n"), b"data: x\n\n");
        assert!(!format!("{key:?}{:?}", key.header("Bearer ").unwrap()).contains(&text));
    }
}
