//! Replacing secrets in text on its way to a file or a screen.
//!
//! Output comes line by line, and a private key is many lines: after a line that opens one, lines that hold
//! nothing but base 64 are replaced until the line that closes it.

use std::sync::atomic::Ordering;

use super::rules::PRIVATE_KEY;
use super::scan::Scanner;
use crate::event::Redact;
use crate::vocab::Digest;

/// An open key block is given up after so many lines: a 16,384 bit RSA key has fewer.
const LONGEST_KEY_LINES: usize = 256;

impl Scanner {
    /// `text` with every secret replaced.
    #[must_use]
    pub fn redacted_text(&self, text: &str) -> String {
        match self.replaced(text.as_bytes()) {
            Some((bytes, _)) => String::from_utf8_lossy(&bytes).into_owned(),
            None => text.to_owned(),
        }
    }

    /// `bytes` with every secret replaced by `[redacted:<rule> sha256:<8 digits>]`, and the rules that matched.
    /// Keeps no memory between calls.
    fn replaced(&self, bytes: &[u8]) -> Option<(Vec<u8>, Vec<String>)> {
        let found = self.scan(bytes);
        if found.is_empty() {
            return None;
        }
        let mut out = Vec::with_capacity(bytes.len());
        let mut rules: Vec<String> = Vec::new();
        let mut from = 0;
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

    /// Follows a key block that comes line by line. `None`: these bytes are no part of one.
    fn key_line(&self, bytes: &[u8]) -> Option<(Vec<u8>, Vec<String>)> {
        let line = bytes.trim_ascii();
        if line.ends_with(b"PRIVATE KEY-----") && holds(line, b"-----BEGIN ") {
            self.key_lines.store(LONGEST_KEY_LINES, Ordering::Relaxed);
            return None;
        }
        let left = self.key_lines.load(Ordering::Relaxed);
        if left == 0 {
            return None;
        }
        if holds(line, b"-----END ") {
            self.key_lines.store(0, Ordering::Relaxed);
            return None;
        }
        self.key_lines.store(left - 1, Ordering::Relaxed);
        let text = line.strip_prefix(b"+").unwrap_or(line);
        let base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
        if text.is_empty() || !text.len().is_multiple_of(4) || !text.iter().all(base64) {
            return None;
        }
        let mark: String = Digest::of(text).hex().chars().take(8).collect();
        let newline = if bytes.ends_with(b"\n") { "\n" } else { "" };
        let out = format!("[redacted:{PRIVATE_KEY} sha256:{mark}]{newline}");
        Some((out.into_bytes(), vec![PRIVATE_KEY.to_owned()]))
    }
}

fn holds(hay: &[u8], needle: &[u8]) -> bool {
    hay.windows(needle.len()).any(|window| window == needle)
}

impl Redact for Scanner {
    fn redact(&self, bytes: &[u8]) -> Option<(Vec<u8>, Vec<String>)> {
        // A whole text first: a block that opens and closes within it is one match.
        self.replaced(bytes).or_else(|| self.key_line(bytes))
    }
}
