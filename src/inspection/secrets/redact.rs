//! Replacing secrets in text on its way to a file or a screen.
//!
//! A text is judged as a whole and by itself. A stream comes line by line, and a private key is many lines: there
//! the lines that follow one's first are replaced too, by what the stream's own [`OpenBlock`] remembers.

use super::rules::PRIVATE_KEY;
use super::scan::Scanner;
use crate::event::{OpenBlock, Redact};
use crate::vocab::Digest;

/// Lines without key material after which an open key block is given up: its headers are fewer.
const LINES_BETWEEN: usize = 8;
/// A line of a key is longer than this in every encoding, but for its last.
const SHORTEST_KEY_LINE: usize = 40;

impl Scanner {
    /// `text` with every secret replaced.
    #[must_use]
    pub fn redacted_text(&self, text: &str) -> String {
        match self.redact(text.as_bytes()) {
            Some((bytes, _)) => String::from_utf8_lossy(&bytes).into_owned(),
            None => text.to_owned(),
        }
    }

    /// A line of a key block that earlier lines opened. `None`: it is no part of one.
    fn key_line(line: &[u8], open: &mut OpenBlock) -> Option<(Vec<u8>, Vec<String>)> {
        let text = line.trim_ascii();
        let (begins, ends) = (last(text, b"-----BEGIN "), last(text, b"-----END "));
        if begins.is_some() || ends.is_some() {
            let marker = begins.filter(|at| ends.is_none_or(|end| end < *at)).and_then(|at| text.get(at..));
            let opened = marker.is_some_and(|marker| last(marker, b"PRIVATE KEY").is_some());
            *open = OpenBlock { lines_left: if opened { LINES_BETWEEN } else { 0 }, inside: false };
            return None;
        }
        if open.lines_left == 0 {
            return None;
        }
        let text = text.strip_prefix(b"+").unwrap_or(text);
        let base64 = text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(byte));
        let tail = open.inside && !text.is_empty() && text.len().is_multiple_of(4);
        open.inside = base64 && (text.len() >= SHORTEST_KEY_LINE || tail);
        if !open.inside {
            open.lines_left -= 1;
            return None;
        }
        open.lines_left = LINES_BETWEEN;
        let mark: String = Digest::of(text).hex().chars().take(8).collect();
        let newline = if line.ends_with(b"\n") { "\n" } else { "" };
        let out = format!("[redacted:{PRIVATE_KEY} sha256:{mark}]{newline}");
        Some((out.into_bytes(), vec![PRIVATE_KEY.to_owned()]))
    }
}

/// Where `wanted` begins for the last time.
fn last(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).rposition(|window| window == wanted)
}

impl Redact for Scanner {
    /// Every secret becomes `[redacted:<rule> sha256:<8 digits>]`.
    fn redact(&self, bytes: &[u8]) -> Option<(Vec<u8>, Vec<String>)> {
        let found = self.scan(bytes);
        if found.is_empty() {
            return None;
        }
        let mut out = Vec::with_capacity(bytes.len());
        let mut rules: Vec<String> = Vec::new();
        let mut from = 0;
        self.learn_in_passing(found.iter().map(|secret| secret.of(bytes)));
        for secret in &found {
            out.extend_from_slice(bytes.get(from..secret.start).unwrap_or_default());
            out.extend_from_slice(format!("[redacted:{} {}]", secret.rule, secret.mark()).as_bytes());
            from = secret.end;
            if !rules.iter().any(|rule| rule == secret.rule) {
                rules.push(secret.rule.to_owned());
            }
        }
        out.extend_from_slice(bytes.get(from..).unwrap_or_default());
        Some((out, rules))
    }

    fn redact_line(&self, line: &[u8], open: &mut OpenBlock) -> Option<(Vec<u8>, Vec<String>)> {
        let part = Self::key_line(line, open);
        self.redact(line).or(part)
    }

    fn learned(&self) -> usize {
        self.known_count()
    }
}
