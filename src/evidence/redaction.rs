//! Secrets are replaced before anything is written: in JSON text by text, in raw logs line by line.
//!
//! Raw logs are redacted in blocks of whole lines, and a private key in PEM form is never cut in two, so that a
//! secret of several lines is seen whole. A log is bounded; what is beyond the bound is counted, not kept.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Arc;

use serde_json::Value;

use crate::event::Redact;
use crate::vocab::{Digest, Hasher};

/// What replaces secrets, shared by everything that writes.
pub type Redactor = Arc<dyn Redact + Send + Sync>;

/// Bytes of a raw log that are held back until they are redacted together.
const BLOCK: usize = 64 << 10;
/// Most bytes held back while a private key has begun and not ended.
const MAX_HELD: usize = 256 << 10;
/// Most bytes of one raw log: above the ceiling of `output_bytes`, so that only a broken caller meets it.
pub const MAX_RAW_LOG: u64 = 640 << 20;

/// Redacts every text in `value`, keys included. Returns the rules that matched.
pub fn redact_value(value: &mut Value, redact: &dyn Redact) -> BTreeSet<String> {
    let mut rules = BTreeSet::new();
    redact_into(value, redact, &mut rules);
    rules
}

fn redact_into(value: &mut Value, redact: &dyn Redact, rules: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            if let Some(clean) = redact_text(text, redact, rules) {
                *text = clean;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| redact_into(item, redact, rules)),
        Value::Object(map) => {
            map.values_mut().for_each(|item| redact_into(item, redact, rules));
            let named: Vec<(String, String)> = map
                .keys()
                .filter_map(|key| redact_text(key, redact, rules).map(|clean| (key.clone(), clean)))
                .collect();
            for (key, clean) in named {
                if let Some(item) = map.remove(&key) {
                    map.insert(clean, item);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn redact_text(text: &str, redact: &dyn Redact, rules: &mut BTreeSet<String>) -> Option<String> {
    let (clean, matched) = redact.redact(text.as_bytes())?;
    rules.extend(matched);
    Some(String::from_utf8_lossy(&clean).into_owned())
}

/// Raw engine output under `backend/`.
pub struct RawLogs {
    pub(super) logs: BTreeMap<String, RawLog>,
    redact: Redactor,
}

pub(super) struct RawLog {
    file: File,
    held: Vec<u8>,
    /// Bytes taken so far.
    taken: u64,
    written: Hasher,
    original: Hasher,
    rules: BTreeSet<String>,
    /// How many secrets were known when it was begun or last gone over.
    pub(super) known: usize,
}

impl RawLogs {
    pub(super) fn new(redact: Redactor) -> Self {
        Self { logs: BTreeMap::new(), redact }
    }

    pub(super) fn open(&mut self, name: &str, file: File) {
        let log = RawLog {
            file,
            held: Vec::new(),
            taken: 0,
            written: Hasher::new(),
            original: Hasher::new(),
            rules: BTreeSet::new(),
            known: self.redact.learned(),
        };
        self.logs.insert(name.to_owned(), log);
    }

    /// Takes bytes for a log opened by `BundleWriter::open_raw`; they are on disk when a block of whole lines is
    /// full, or at the next [`RawLogs::flush`].
    pub fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let Some(log) = self.logs.get_mut(name) else {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("the log {name} was never opened")));
        };
        log.original.update(bytes);
        let room = usize::try_from(MAX_RAW_LOG.saturating_sub(log.taken)).unwrap_or(usize::MAX);
        log.taken = log.taken.saturating_add(bytes.len() as u64);
        log.held.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or(bytes));
        while log.held.len() >= BLOCK && log.write_block(&*self.redact, false)? {}
        Ok(())
    }

    /// Writes everything held back.
    pub fn flush(&mut self) -> io::Result<()> {
        for log in self.logs.values_mut() {
            log.write_block(&*self.redact, true)?;
        }
        Ok(())
    }

    /// Ends all logs: name, file, digest of what was written.
    pub(super) fn finish(&mut self) -> io::Result<Vec<(String, File, Digest)>> {
        self.flush()?;
        let mut done = Vec::new();
        for (name, mut log) in std::mem::take(&mut self.logs) {
            if log.taken > MAX_RAW_LOG {
                let note = format!("\n[cut: {} bytes more]\n", log.taken - MAX_RAW_LOG);
                log.write(note.as_bytes())?;
            }
            done.push((name, log.file, log.written.finish()));
        }
        Ok(done)
    }
}

impl RawLog {
    /// The rules that matched and the digest of what came in, when any matched.
    pub(super) fn withheld(&self) -> Option<(Digest, Vec<String>)> {
        (!self.rules.is_empty())
            .then(|| (self.original.clone().finish(), self.rules.iter().cloned().collect()))
    }

    /// Redacts what was written once more, from `old` into `copy`. Whether the copy is another one: it is then the
    /// log. Nothing may be held back.
    pub(super) fn again(&mut self, mut old: impl Read, copy: File, redact: &dyn Redact) -> io::Result<bool> {
        self.known = redact.learned();
        let mut fresh = Self {
            file: copy,
            held: Vec::new(),
            taken: self.taken,
            written: Hasher::new(),
            original: self.original.clone(),
            rules: self.rules.clone(),
            known: self.known,
        };
        let mut read = Hasher::new();
        loop {
            let length = fresh.held.len();
            if old.by_ref().take(BLOCK as u64).read_to_end(&mut fresh.held)? == 0 {
                break;
            }
            read.update(fresh.held.get(length..).unwrap_or_default());
            while fresh.held.len() >= BLOCK && fresh.write_block(redact, false)? {}
        }
        fresh.write_block(redact, true)?;
        let before = self.written.clone().finish();
        if read.finish() != before {
            return Err(io::Error::other("somebody else changed the log while it was written"));
        }
        let other = fresh.written.clone().finish() != before;
        if other {
            *self = fresh;
        }
        Ok(other)
    }

    /// Writes the whole lines held back, or everything. Whether anything was written.
    fn write_block(&mut self, redact: &dyn Redact, everything: bool) -> io::Result<bool> {
        let end = if everything { self.held.len() } else { block_end(&self.held) };
        if end == 0 {
            return Ok(false);
        }
        let rest = self.held.split_off(end);
        let block = std::mem::replace(&mut self.held, rest);
        match redact.redact(&block) {
            None => self.write(&block)?,
            Some((clean, rules)) => {
                self.rules.extend(rules);
                self.write(&clean)?;
            }
        }
        Ok(true)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.written.update(bytes);
        Ok(())
    }
}

/// Where a block may end: after the last newline, before a private key that has not ended.
fn block_end(held: &[u8]) -> usize {
    let lines = held.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let key_start = find_last(held, b"-----BEGIN ");
    let key_end = find_last(held, b"-----END ");
    let end = match (key_start, key_end) {
        (Some(start), None) => start.min(lines),
        (Some(start), Some(end)) if start > end => start.min(lines),
        _ => lines,
    };
    if end == 0 && held.len() >= MAX_HELD { held.len() } else { end }
}

fn find_last(held: &[u8], wanted: &[u8]) -> Option<usize> {
    held.windows(wanted.len()).rposition(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Word(Vec<u8>);
    impl Redact for Word {
        fn redact(&self, bytes: &[u8]) -> Option<(Vec<u8>, Vec<String>)> {
            let at = bytes.windows(self.0.len()).position(|w| w == self.0)?;
            let clean = [&bytes[..at], b"[gone]", &bytes[at + self.0.len()..]].concat();
            Some((clean, vec!["test.word".into()]))
        }
    }

    #[test]
    fn texts_and_keys_are_redacted_wherever_they_stand() {
        let mut value = serde_json::json!({"a": ["x secret y", 1], "secret": {"b": "fine"}});
        let rules = redact_value(&mut value, &Word(b"secret".to_vec()));
        assert_eq!(value, serde_json::json!({"a": ["x [gone] y", 1], "[gone]": {"b": "fine"}}));
        assert_eq!(rules.into_iter().collect::<Vec<_>>(), ["test.word"]);
    }

    #[test]
    fn a_secret_over_two_calls_and_lines_is_seen_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut logs = RawLogs::new(Arc::new(Word(b"-----BEGIN K\nabc\n-----END K".to_vec())));
        logs.open("log", File::create(&path).unwrap());
        let filler = vec![b'.'; BLOCK];
        for piece in [
            filler.as_slice(),
            b"\n-----BEGIN K\na",
            filler.get(..0).unwrap(),
            b"bc\n-----",
            b"END K\nafter\n",
        ] {
            logs.append("log", piece).unwrap();
        }
        assert!(logs.append("other", b"x").is_err());
        let (_, _, digest) = logs.finish().unwrap().pop().unwrap();
        let written = std::fs::read(&path).unwrap();
        assert!(written.ends_with(b".\n[gone]\nafter\n"));
        assert_eq!(digest, Digest::of(&written));
    }
}
