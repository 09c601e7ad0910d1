//! Event logs that an operator recorded from an installation of his own, handed to the check of its engine.
//!
//! What is known of one is its cleaned name, its digest and its text; the text goes to the adapter and nowhere else. It
//! does not show who wrote it: a log is whatever somebody says that the engine left.

use super::case;
use super::codex::check::StepRow;
use crate::vocab::Digest;

/// Characters of a name.
const NAME: usize = 64;

/// One such log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedLog {
    name: String,
    text: String,
    digest: Digest,
}

impl OfferedLog {
    /// Logs of one check.
    pub const MOST: usize = 16;
    /// Bytes of one.
    pub const BYTES: u64 = 4 << 20;

    /// The log `text` from a file with this name, of which letters, digits and `._-` are kept.
    #[must_use]
    pub fn of(file_name: &str, text: String) -> Self {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
        let name = file_name.chars().take(NAME).map(plain).collect();
        Self { name, digest: Digest::of(text.as_bytes()), text }
    }

    /// Its cleaned name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The digest of its bytes.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// How many bytes it has.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.text.len()
    }

    /// The step of the check that is about it: the digest and counts, and no word of the log.
    pub(super) fn held(&self) -> StepRow {
        let (ok, told) = match case::log_holds(&self.text) {
            Ok(counts) => (true, counts),
            Err(why) => (false, why),
        };
        StepRow { step: format!("log:{}", self.name), ok, detail: format!("{}: {told}", self.digest) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_names_the_file_cleaned_and_the_digest() {
        let log = OfferedLog::of("run a/\u{202e}\u{1b}ü.jsonl", "nothing\n".to_owned());
        let step = log.held();
        assert_eq!((step.step.as_str(), step.ok), ("log:run_a____.jsonl", false));
        let digest = Digest::of(b"nothing\n").to_string();
        assert!(step.detail.starts_with(&digest) && step.detail.contains("no event log"), "{}", step.detail);
        assert_eq!(OfferedLog::of(&"x".repeat(1_000), String::new()).name().len(), NAME);
        let happy = include_str!("../../engines/case/transcripts/happy/events.jsonl");
        assert!(OfferedLog::of("happy", happy.to_owned()).held().ok);
    }
}
