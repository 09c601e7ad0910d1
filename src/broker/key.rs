//! The endpoint's key: held on this side, never printed, taken out of anything that echoes it.

use hyper::header::{HeaderValue, InvalidHeaderValue};
use zeroize::Zeroizing;

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

/// Replaces the key in a stream of chunks, also where it is split between two; holds back no more than what could
/// be the beginning of a key, so that events of a stream are not delayed.
pub(super) struct KeyFilter {
    key: Option<ModelKey>,
    held: Zeroizing<Vec<u8>>,
}

impl KeyFilter {
    pub(super) fn new(key: Option<ModelKey>) -> Self {
        Self { key: key.filter(|key| !key.bytes().is_empty()), held: Zeroizing::new(Vec::new()) }
    }

    /// What can go out now.
    pub(super) fn pass(&mut self, chunk: &[u8]) -> Vec<u8> {
        let Some(key) = &self.key else { return chunk.to_vec() };
        let key = key.bytes();
        let whole = Zeroizing::new([self.held.as_slice(), chunk].concat());
        let mut out = Vec::with_capacity(whole.len());
        let mut rest: &[u8] = &whole;
        while let Some(at) = rest.windows(key.len()).position(|window| window == key) {
            let (before, from) = rest.split_at(at);
            out.extend_from_slice(before);
            out.extend_from_slice(MASK);
            rest = from.split_at(key.len()).1;
        }
        let longest = rest.len().min(key.len() - 1);
        let keep = (1..=longest).rev().find(|count| rest.ends_with(key.split_at(*count).0)).unwrap_or(0);
        let (go, stay) = rest.split_at(rest.len() - keep);
        out.extend_from_slice(go);
        self.held = Zeroizing::new(stay.to_vec());
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
            let mut filter = KeyFilter::new(Some(key.clone()));
            let (head, tail) = body.as_bytes().split_at(cut);
            let out = [filter.pass(head), filter.pass(tail), filter.finish()].concat();
            assert_eq!(String::from_utf8(out).unwrap(), "data: a1a1 [key][key] key- [key]", "cut at {cut}");
        }
    }

    #[test]
    fn nothing_else_is_held_back_and_nothing_prints_it() {
        let (text, key) = key();
        let mut filter = KeyFilter::new(Some(key.clone()));
        assert_eq!(filter.pass(b"data: x\n\n"), b"data: x\n\n");
        assert!(!format!("{key:?}{:?}", key.header("Bearer ").unwrap()).contains(&text));
    }
}
