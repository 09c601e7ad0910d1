//! `test.log`: what every command printed, bounded, redacted, and not to be mistaken for our own words.
//!
//! Every line of output stands behind `| ` (standard output) or `! ` (standard error), so that no output can
//! look like one of the headers, which start with `==`.

use std::collections::VecDeque;

use crate::event::{OpenBlock, Redact};
use crate::process::Stream;

/// Bytes kept from the beginning of one execution's output.
const HEAD_BYTES: usize = 4 * 1024 * 1024;
/// Bytes kept from its end.
const TAIL_BYTES: usize = 1024 * 1024;

/// The log of one verification.
#[derive(Debug, Default)]
pub(super) struct TestLog {
    done: Vec<u8>,
    head: usize,
    tail: VecDeque<Vec<u8>>,
    tail_bytes: usize,
    dropped: u64,
    rules: Vec<String>,
    /// What the lines of standard output and standard error left open.
    open: [OpenBlock; 2],
}

impl TestLog {
    /// Starts the part of one execution.
    pub(super) fn header(&mut self, text: &str) {
        self.flush();
        self.open = <[OpenBlock; 2]>::default();
        self.done.extend_from_slice(format!("== {text}\n").as_bytes());
    }

    /// Adds one line of output.
    pub(super) fn line(&mut self, stream: Stream, bytes: &[u8], truncated: bool, redact: &dyn Redact) {
        let [out, err] = &mut self.open;
        let (mark, open) = match stream {
            Stream::Stdout => (b"| ", out),
            Stream::Stderr => (b"! ", err),
        };
        let mut line = mark.to_vec();
        match redact.redact_line(bytes, open) {
            Some((clean, rules)) => {
                // A redacted key block is one line of ours, whatever it was before.
                line.extend(clean.into_iter().map(|byte| if byte == b'\n' { b' ' } else { byte }));
                self.rules
                    .extend(rules.into_iter().filter(|rule| !self.rules.contains(rule)).collect::<Vec<_>>());
            }
            None => line.extend_from_slice(bytes),
        }
        line.extend_from_slice(if truncated { b" [line cut]\n" } else { b"\n" });
        if self.head + line.len() <= HEAD_BYTES && self.tail.is_empty() {
            self.head += line.len();
            self.done.extend_from_slice(&line);
            return;
        }
        self.tail_bytes += line.len();
        self.tail.push_back(line);
        while self.tail_bytes > TAIL_BYTES
            && let Some(first) = self.tail.pop_front()
        {
            self.tail_bytes -= first.len();
            self.dropped += first.len() as u64;
        }
    }

    /// Ends the part of one execution.
    pub(super) fn footer(&mut self, text: &str) {
        self.flush();
        self.done.extend_from_slice(format!("== {text}\n\n").as_bytes());
    }

    fn flush(&mut self) {
        if self.dropped > 0 {
            self.done.extend_from_slice(format!("== {} bytes left out here\n", self.dropped).as_bytes());
        }
        self.done.extend(self.tail.drain(..).flatten());
        (self.head, self.tail_bytes, self.dropped) = (0, 0, 0);
    }

    /// The whole log, and the rules of the secrets that were replaced in it.
    pub(super) fn finish(mut self) -> (Vec<u8>, Vec<String>) {
        self.flush();
        (self.done, self.rules)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Plain;

    impl Redact for Plain {
        fn redact(&self, bytes: &[u8]) -> Option<(Vec<u8>, Vec<String>)> {
            (bytes == b"secret").then(|| (b"[redacted]".to_vec(), vec!["rule".to_owned()]))
        }
    }

    #[test]
    fn output_cannot_look_like_a_header_and_secrets_are_replaced() {
        let mut log = TestLog::default();
        log.header("1/1 on result: sh t");
        log.line(Stream::Stdout, b"== exited:0 after 1 ms", false, &Plain);
        log.line(Stream::Stderr, b"secret", false, &Plain);
        log.footer("exited:1");
        let (text, rules) = log.finish();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(text, "== 1/1 on result: sh t\n| == exited:0 after 1 ms\n! [redacted]\n== exited:1\n\n");
        assert_eq!(rules, ["rule"]);
    }

    #[test]
    fn beginning_and_end_of_a_flood_are_kept() {
        let mut log = TestLog::default();
        log.header("h");
        for n in 0..800_000_u32 {
            log.line(Stream::Stdout, format!("line {n}").as_bytes(), false, &Plain);
        }
        log.footer("f");
        let (text, _) = log.finish();
        assert!(text.len() < HEAD_BYTES + TAIL_BYTES + 1000);
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("| line 0\n") && text.contains("| line 799999\n"));
        assert!(text.contains(" bytes left out here\n") && !text.contains("line 500000\n"));
    }
}
