//! Finding secrets in bytes.

use std::sync::{LazyLock, PoisonError, RwLock};

use regex::bytes::{Regex, RegexBuilder};

use super::checksum::looks_random;
use super::rules::{RULES, Rule};
use crate::vocab::Digest;

/// Name under which a value that was found before, or handed in, is reported.
const KNOWN: &str = "known-secret";

/// Shorter pieces are not remembered: they would blot out ordinary text.
const SHORTEST_KNOWN: usize = 16;

/// Pieces remembered at most, and their bytes, so that a patch full of keys does not slow every line after it.
const MOST_KNOWN: usize = 512;
const MOST_KNOWN_BYTES: usize = 64 << 10;
/// Of them those that were met in passing, so that chatter cannot take the place of what a patch holds.
const MOST_IN_PASSING: usize = MOST_KNOWN / 2;

/// The rules, and the secrets met so far.
pub struct Scanner {
    known: RwLock<Known>,
}

/// The secrets met so far.
#[derive(Default)]
struct Known {
    /// Longest first, so that a piece that begins another one does not hide it.
    pieces: Vec<Vec<u8>>,
    /// All of them as one pattern.
    any: Option<Regex>,
    /// What is never remembered, because it is no secret: the run's own names.
    public: Vec<Vec<u8>>,
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

/// Whether any rule is worth trying on some bytes.
static HINT: LazyLock<Regex> = LazyLock::new(|| {
    let hints: Vec<String> =
        RULES.iter().flat_map(|rule| rule.hints).map(|hint| regex::escape(hint)).collect();
    compile(&format!("(?i:{})", hints.join("|")))
});
/// The rules with their patterns, compiled when a first hint is met: what most runs print holds none.
static COMPILED: LazyLock<Vec<(&Rule, Regex)>> =
    LazyLock::new(|| RULES.iter().map(|rule| (rule, compile(rule.pattern))).collect());

impl Scanner {
    /// The embedded rule set, and no secret met yet.
    #[must_use]
    pub fn embedded() -> Self {
        Self { known: RwLock::default() }
    }

    /// Compiles the rules now, where there is time for it, and not at the first hint.
    pub fn warm_up() {
        LazyLock::force(&HINT);
        LazyLock::force(&COMPILED);
    }

    /// Names of the run itself, which everybody may read and which no engine's word makes secret.
    pub fn spare<T: AsRef<[u8]>>(&self, names: impl IntoIterator<Item = T>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.public.extend(names.into_iter().map(|name| name.as_ref().to_vec()));
    }

    /// Remembers `secret` (a key in use, or one that was found), so that it is also found without its
    /// surroundings. Of a private key each line of key material is remembered, of other texts each line; pieces
    /// under 16 bytes are not.
    pub fn learn(&self, secret: &[u8]) {
        self.learn_up_to(MOST_KNOWN, [secret]);
    }

    /// As [`Scanner::learn`], for many at once.
    pub fn learn_all<'a>(&self, secrets: impl IntoIterator<Item = &'a [u8]>) {
        self.learn_up_to(MOST_KNOWN, secrets);
    }

    /// Remembers secrets that were met where they are replaced anyway, for the sake of bare copies elsewhere.
    pub(super) fn learn_in_passing<'a>(&self, secrets: impl IntoIterator<Item = &'a [u8]>) {
        self.learn_up_to(MOST_IN_PASSING, secrets);
    }

    fn learn_up_to<'a>(&self, most: usize, secrets: impl IntoIterator<Item = &'a [u8]>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let before = known.pieces.len();
        for secret in secrets {
            let key_block = secret.starts_with(b"-----BEGIN ");
            let material = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
            let between = |byte: &u8| if key_block { !material(byte) } else { *byte == b'\n' };
            for piece in secret.split(between).map(<[u8]>::trim_ascii) {
                // Words of a key's headers, or of whatever stands between two markers, are no key material.
                if known.pieces.len() < most && (!key_block || looks_random(piece)) {
                    known.add(piece);
                }
            }
        }
        if known.pieces.len() > before {
            known.compile();
        }
    }

    /// How many pieces are remembered.
    pub(super) fn known_count(&self) -> usize {
        self.known.read().unwrap_or_else(PoisonError::into_inner).pieces.len()
    }

    /// Every secret in `bytes`, in order and without overlap.
    #[must_use]
    pub fn scan(&self, bytes: &[u8]) -> Vec<Secret> {
        let mut found = Vec::new();
        if HINT.is_match(bytes) {
            scan_rules(bytes, &mut found);
            // In a line of JSON a line break is two characters, the second of them a letter: a secret behind it
            // would look like the end of a longer word.
            if let Some(open) = without_escapes(bytes) {
                scan_rules(&open, &mut found);
            }
        }
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut from = 0;
        // Known ones may overlap: each is looked for from the second byte of the one before it.
        while let Some(piece) = known.any.as_ref().and_then(|any| any.find_at(bytes, from)) {
            found.push(at(KNOWN, piece.start(), piece.as_bytes()));
            from = piece.start() + 1;
        }
        without_overlap(found, bytes)
    }
}

fn scan_rules(bytes: &[u8], found: &mut Vec<Secret>) {
    for (rule, regex) in COMPILED.iter() {
        for captures in regex.captures_iter(bytes) {
            let Some(secret) = captures.get(1).or_else(|| captures.get(0)) else { continue };
            if (rule.believe)(secret.as_bytes()) {
                found.push(at(rule.id, secret.start(), secret.as_bytes()));
            }
        }
    }
}

impl Known {
    fn add(&mut self, piece: &[u8]) {
        let held: usize = self.pieces.iter().map(Vec::len).sum();
        let room = held + piece.len() <= MOST_KNOWN_BYTES;
        let public =
            self.public.iter().any(|name| name.windows(piece.len().max(1)).any(|part| part == piece));
        if piece.len() >= SHORTEST_KNOWN && room && !public && !self.pieces.iter().any(|known| known == piece)
        {
            self.pieces.push(piece.to_vec());
        }
    }

    fn compile(&mut self) {
        self.pieces.sort_by_key(|piece| std::cmp::Reverse(piece.len()));
        let mut any = String::new();
        for (number, piece) in self.pieces.iter().enumerate() {
            any.push_str(if number == 0 { "" } else { "|" });
            any.extend(piece.iter().flat_map(|byte| [r"\x".to_owned(), format!("{byte:02x}")]));
        }
        // INVARIANT: escaped bytes within the bounds above always compile.
        self.any = RegexBuilder::new(&any).unicode(false).size_limit(usize::MAX).build().ok();
    }
}

impl std::fmt::Debug for Scanner {
    /// Says nothing about remembered secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scanner").field("rules", &RULES.len()).finish_non_exhaustive()
    }
}

#[expect(
    clippy::expect_used,
    reason = "the patterns are part of the program, and every test of a rule compiles them"
)]
fn compile(pattern: &str) -> Regex {
    RegexBuilder::new(pattern).unicode(false).build().expect("the embedded rules are patterns")
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

/// Of overlapping ones the earliest stays (of two at one place the rule that stands first) and covers both.
fn without_overlap(mut found: Vec<Secret>, bytes: &[u8]) -> Vec<Secret> {
    found.sort_by_key(|secret| secret.start);
    let mut kept: Vec<Secret> = Vec::with_capacity(found.len());
    for secret in found {
        match kept.last_mut().filter(|last| secret.start < last.end) {
            None => kept.push(secret),
            Some(last) if secret.end > last.end => {
                last.end = secret.end;
                last.digest = Digest::of(last.of(bytes));
            }
            Some(_) => {}
        }
    }
    kept
}
