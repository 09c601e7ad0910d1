//! `audit.jsonl`: one fsynced line before each act.
//!
//! Guarantees: [`Audit::act`] returns only after the line is on disk, so an act whose line could not be
//! written does not happen; lines of concurrent processes never mix (an exclusive lock); every line names the
//! digest of the whole line before it, so a changed or missing line shows. A torn last line, left by a crash,
//! is closed with a newline and chained like any other. It does not guarantee that the file was not replaced
//! as a whole by its owner: bundles carry their own proof.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::vocab::{Digest, RunId, Timestamp};

/// The longest line that is written or read back, bytes.
const LINE_MAX: u64 = 64 * 1024;

/// What is about to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// A decision is about to be recorded.
    Decide,
    /// A run is about to get its folder.
    OpenRun,
    /// An approval is about to be spent.
    SpendApproval,
    /// An approval or denial is about to be recorded.
    RecordApproval,
    /// An engine is about to be launched.
    LaunchEngine,
    /// Verification is about to start.
    Verify,
    /// A bundle is about to be sealed.
    Seal,
    /// A branch is about to be made in the target.
    PublishBranch,
    /// A run is about to be asked to stop, or given up.
    Cancel,
    /// What a dead run left is about to be removed.
    CleanUp,
    /// Configuration is about to change (repositories, principals, keys).
    Configure,
    /// A signed record of a gated engine is about to be kept.
    KeepRecord,
    /// The gates of a gated engine are about to be gone through; no process is started.
    ProveGates,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// When.
    pub time: Timestamp,
    /// What.
    pub act: Act,
    /// OS account, `uid:name`.
    pub account: String,
    /// For which run, if any.
    pub run_id: Option<RunId>,
    /// The object of the act: a digest, a path, an id. Never a secret.
    pub object: String,
    /// Digest of the line before, without its newline; of nothing for the first.
    pub previous: Digest,
}

/// Why an act could not be announced; the act must not happen.
#[derive(Debug, thiserror::Error)]
#[error("the audit log {path} could not be {act}, so nothing was done: {source}")]
pub struct AuditError {
    path: PathBuf,
    act: &'static str,
    source: std::io::Error,
}

/// The log of one state folder.
#[derive(Debug, Clone)]
pub struct Audit {
    path: PathBuf,
    account: String,
}

impl Audit {
    /// The log in `state`, written on behalf of `account` (`uid:name`).
    #[must_use]
    pub fn new(state: &Path, account: impl Into<String>) -> Self {
        Self { path: state.join("audit.jsonl"), account: account.into() }
    }

    /// Announces an act. Returns after the line is on disk.
    pub fn act(&self, act: Act, run_id: Option<&RunId>, object: impl Into<String>) -> Result<(), AuditError> {
        let mut file = self.open()?;
        file.lock().map_err(|e| self.error("locked", e))?;
        let previous = last_line(&mut file).map_err(|e| self.error("read", e))?;
        let entry = Entry {
            time: Timestamp::now(),
            act,
            account: self.account.clone(),
            run_id: run_id.cloned(),
            object: crate::vocab::shown(&object.into()).chars().take(1024).collect(),
            previous: previous.digest,
        };
        let mut line = serde_json::to_vec(&entry).map_err(|e| self.error("written", e.into()))?;
        line.push(b'\n');
        if previous.torn {
            line.insert(0, b'\n');
        }
        file.write_all(&line).and_then(|()| file.sync_data()).map_err(|e| self.error("written", e))
    }

    fn open(&self) -> Result<File, AuditError> {
        OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.path)
            .map_err(|e| self.error("opened", e))
    }

    fn error(&self, act: &'static str, source: std::io::Error) -> AuditError {
        AuditError { path: self.path.clone(), act, source }
    }
}

struct LastLine {
    digest: Digest,
    torn: bool,
}

fn last_line(file: &mut File) -> std::io::Result<LastLine> {
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(length.saturating_sub(LINE_MAX)))?;
    let mut tail = Vec::new();
    file.take(LINE_MAX).read_to_end(&mut tail)?;
    let torn = tail.last().is_some_and(|last| *last != b'\n');
    let body = tail.strip_suffix(b"\n").unwrap_or(&tail);
    let line = body.rsplit(|b| *b == b'\n').next().unwrap_or(body);
    Ok(LastLine { digest: Digest::of(line), torn })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_names_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let audit = Audit::new(dir.path(), "1:a");
        for object in ["one", "two", "three"] {
            audit.act(Act::Decide, None, object).unwrap();
        }
        let text = std::fs::read_to_string(dir.path().join("audit.jsonl")).unwrap();
        let mut previous = Digest::of(b"");
        for line in text.lines() {
            assert_eq!(serde_json::from_str::<Entry>(line).unwrap().previous, previous);
            previous = Digest::of(line.as_bytes());
        }
        assert_eq!(text.lines().count(), 3);
    }

    #[test]
    fn a_torn_line_is_closed_and_chained() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("audit.jsonl"), b"{\"torn").unwrap();
        Audit::new(dir.path(), "1:a").act(Act::Seal, None, "x").unwrap();
        let text = std::fs::read_to_string(dir.path().join("audit.jsonl")).unwrap();
        let entry: Entry = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
        assert_eq!(entry.previous, Digest::of(b"{\"torn"));
    }

    #[test]
    fn a_log_that_cannot_be_written_refuses_the_act() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("audit.jsonl")).unwrap();
        let refused = Audit::new(dir.path(), "1:a").act(Act::LaunchEngine, None, "x").unwrap_err();
        assert!(refused.to_string().contains("nothing was done"), "{refused}");
    }
}
