//! Finding secrets in bytes.

use std::sync::RwLock;
use std::sync::atomic::AtomicUsize;

use regex::bytes::{Regex, RegexBuilder};

use super::rules::{RULES, Rule};
use crate::vocab::Digest;

/// Name under which a value that was found before, or handed in, is reported.
const KNOWN: &str = "known-secret";

/// Shorter pieces are not remembered: they would blot out ordinary text.
const SHORTEST_KNOWN: usize = 16;

/// Pieces remembered at most, so that a patch full of keys does not slow every line after it.
const MOST_KNOWN: usize = 512;

/// The rules, compiled, and the secrets met so far.
pub struct Scanner {
    /// Whether any rule is worth trying.
    hint: Regex,
    rules: Vec<(&'static Rule, Regex)>,
    known: RwLock<Vec<Vec<u8>>>,
    /// Lines of a private key that may still come, when one comes line by line.
    pub(super) key_lines: AtomicUsize,
}

/// Where a secret lies in the scanned bytes. It never holds the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// The rule that found it.
    pub rule: &'static str,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// Digest of the bytes between.
    pub digest: Digest,
}

impl Secret {
    /// The secret's bytes within the bytes that were scanned.
    #[must_use]
    pub fn of<'a>(&self, scanned: &'a [u8]) -> &'a [u8] {
        scanned.get(self.start..self.end).unwrap_or_default()
    }

    /// The first eight hex digits of the digest, as reports show it: enough to see that two are the same.
    #[must_use]
    pub fn mark(&self) -> String {
        format!("sha256:{}", self.digest.hex().chars().take(8).collect::<String>())
    }
}

/// A rule of the embedded set does not compile: a defect of this program.
#[derive(Debug, thiserror::Error)]
#[error("the embedded secret rule `{rule}` could not be compiled: {source}")]
pub struct SecretRuleError {
    /// Which rule.
    pub rule: &'static str,
    /// What the pattern compiler says.
    pub source: regex::Error,
}

impl Scanner {
    /// The embedded rule set.
    pub fn embedded() -> Result<Self, SecretRuleError> {
        let hints: Vec<String> =
            RULES.iter().flat_map(|rule| rule.hints).map(|hint| regex::escape(hint)).collect();
        let hint = compile("hints", &format!("(?i:{})", hints.join("|")))?;
        let rules =
            RULES.iter().map(|rule| Ok((rule, compile(rule.id, rule.pattern)?))).collect::<Result<_, _>>()?;
        Ok(Self { hint, rules, known: RwLock::new(Vec::new()), key_lines: AtomicUsize::new(0) })
    }

    /// Remembers `secret` (a key in use, or one that was found), so that it is also found without its
    /// surroundings. Of several lines each is remembered; pieces under 16 bytes are not.
    pub fn learn(&self, secret: &[u8]) {
        let mut known = self.known.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        for line in secret.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
            let marker = line.starts_with(b"-----");
            if line.len() >= SHORTEST_KNOWN
                && !marker
                && known.len() < MOST_KNOWN
                && !known.iter().any(|k| k == line)
            {
                known.push(line.to_vec());
            }
        }
    }

    /// Every secret in `bytes`, in order and without overlap.
    #[must_use]
    pub fn scan(&self, bytes: &[u8]) -> Vec<Secret> {
        let mut found = Vec::new();
        if self.hint.is_match(bytes) {
            self.scan_rules(bytes, &mut found);
            // In a line of JSON a line break is two characters, the second of them a letter: a secret behind it
            // would look like the end of a longer word.
            if let Some(open) = without_escapes(bytes) {
                self.scan_rules(&open, &mut found);
            }
        }
        self.scan_known(bytes, &mut found);
        without_overlap(found)
    }

    fn scan_rules(&self, bytes: &[u8], found: &mut Vec<Secret>) {
        for (rule, regex) in &self.rules {
            for captures in regex.captures_iter(bytes) {
                let Some(secret) = captures.get(1).or_else(|| captures.get(0)) else { continue };
                if (rule.believe)(secret.as_bytes()) {
                    found.push(at(rule.id, secret.start(), secret.as_bytes()));
                }
            }
        }
    }

    fn scan_known(&self, bytes: &[u8], found: &mut Vec<Secret>) {
        let known = self.known.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        for secret in known.iter() {
            let mut from = 0;
            while let Some(rest) = bytes.get(from..)
                && let Some(offset) = find(rest, secret)
            {
                found.push(at(KNOWN, from + offset, secret));
                from += offset + secret.len();
            }
        }
    }
}

impl std::fmt::Debug for Scanner {
    /// Says nothing about remembered secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scanner").field("rules", &self.rules.len()).finish_non_exhaustive()
    }
}

fn compile(rule: &'static str, pattern: &str) -> Result<Regex, SecretRuleError> {
    RegexBuilder::new(pattern).unicode(false).build().map_err(|source| SecretRuleError { rule, source })
}

fn at(rule: &'static str, start: usize, bytes: &[u8]) -> Secret {
    Secret { rule, start, end: start + bytes.len(), digest: Digest::of(bytes) }
}

/// The same bytes with every short escape of JSON (RFC 8259 §7) as two blanks, so that offsets stay; `None` when
/// there is none.
fn without_escapes(bytes: &[u8]) -> Option<Vec<u8>> {
    if !bytes.contains(&b'\\') {
        return None;
    }
    let mut open = bytes.to_vec();
    let mut at = 0;
    while let Some(pair) = open.get_mut(at..at + 2) {
        if let [b'\\', b'n' | b'r' | b't' | b'b' | b'f' | b'"' | b'/' | b'\\'] = pair {
            pair.fill(b' ');
            at += 2;
        } else {
            at += 1;
        }
    }
    Some(open)
}

/// First occurrence of `needle` (not empty) in `hay`.
fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut from = 0;
    loop {
        let rest = hay.get(from..)?;
        let offset = rest.iter().position(|byte| *byte == first)?;
        if rest.get(offset..)?.starts_with(needle) {
            return Some(from + offset);
        }
        from += offset + 1;
    }
}

/// Keeps the earliest, and of two at one place the rule that stands first.
fn without_overlap(mut found: Vec<Secret>) -> Vec<Secret> {
    found.sort_by_key(|secret| secret.start);
    let mut kept: Vec<Secret> = Vec::with_capacity(found.len());
    for secret in found {
        if kept.last().is_none_or(|last| last.end <= secret.start) {
            kept.push(secret);
        }
    }
    kept
}
