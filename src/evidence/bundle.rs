//! A bundle while it is written: new files in a folder of its own, closed to others, redacted before written.
//!
//! Digests are taken from the bytes that were handed to the kernel, never read back. Sealing is in `seal`.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::chain::Chain;
use super::folder::{MAX_FILE, check_name};
use super::redaction::{RawLogs, Redactor};
use super::report::Withheld;
use crate::beneath::{BeneathError, Dir};
use crate::event::SinkError;
use crate::vocab::{Digest, RunId, SealingKey};

/// Name of the event log.
pub const EVENTS: &str = "events.normalized.jsonl";
/// Name of the signed heads.
pub const CHECKPOINTS: &str = "checkpoints";
/// Name of the list of digests.
pub const SUMS: &str = "SHA256SUMS";
/// Name of the signed root; a folder without it is not sealed.
pub const ROOT: &str = "root.dsse.json";
/// Name of the report.
pub const REPORT: &str = "report.json";
/// Name of the report for people.
pub const SUMMARY: &str = "report.md";
/// Name of the trace.
pub const TRACE: &str = "trace.jsonl";
/// Name of the findings.
pub const SARIF: &str = "checks.sarif";
/// Name of the test results.
pub const CTRF: &str = "tests.ctrf.json";
/// Name of the contract.
pub const CONTRACT: &str = "contract.json";
/// Name of the decision.
pub const DECISION: &str = "decision.json";
/// Where signed approvals are.
pub const APPROVALS_DIR: &str = "approvals/";
/// Where what the contract brought along is.
pub const INPUTS_DIR: &str = "inputs/";
/// Name of the change.
pub const PATCH: &str = "patch.diff";
/// Name of what a run that learns needed, as a part of a contract.
pub const LEARNED: &str = "learned.toml";

/// Files that only sealing and the chain write.
const OWN: [&str; 9] = [EVENTS, CHECKPOINTS, SUMS, ROOT, REPORT, SUMMARY, TRACE, SARIF, CTRF];
/// Files kept open for one sync at the end; what comes after them is synced when written.
pub(super) const KEPT_OPEN: usize = 64;

/// Why a bundle could not be written. A run whose evidence cannot be written ends unrecorded (exit 4).
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The folder could not be made.
    #[error("the evidence folder {} could not be made: {source}", path.display())]
    Create {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A name in the folder could not be made.
    #[error("the evidence folder refused a file: {0}")]
    Place(#[from] BeneathError),
    /// A file could not be written.
    #[error("evidence `{name}` could not be written: {source}")]
    Write {
        /// Which.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// The event log could not be written.
    #[error(transparent)]
    Events(#[from] SinkError),
    /// A document could not be put into JSON.
    #[error("evidence `{name}` could not be put into JSON: {source}")]
    Render {
        /// Which.
        name: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// A file that no verifier would read.
    #[error("evidence `{name}` has {size} bytes, and a bundle's file at most {MAX_FILE}")]
    TooLarge {
        /// Which.
        name: String,
        /// Bytes.
        size: u64,
    },
    /// A name that is not the harness's own, or that another part writes.
    #[error("`{0}` is not a name for a file of evidence")]
    Name(String),
    /// The report says something that the bundle contradicts.
    #[error("the bundle was not sealed, because {0}")]
    Inconsistent(&'static str),
}

/// A bundle that is not sealed yet.
pub struct BundleWriter {
    pub(super) dir: Dir,
    pub(super) path: PathBuf,
    pub(super) run: RunId,
    pub(super) key: Arc<SealingKey>,
    pub(super) redact: Redactor,
    pub(super) chain: Chain,
    pub(super) raw: RawLogs,
    pub(super) sums: BTreeMap<String, Digest>,
    pub(super) withheld: Vec<Withheld>,
    /// Whole files that stages wrote → how many secrets were known when they were last gone over.
    pub(super) gone_over: BTreeMap<String, usize>,
    pub(super) unsynced: Vec<File>,
}

impl BundleWriter {
    /// Makes the folder `path`, which must not exist and whose parent must.
    pub fn create(
        path: &Path,
        run: RunId,
        redact: Redactor,
        key: Arc<SealingKey>,
    ) -> Result<Self, BundleError> {
        let failed = |source| BundleError::Create { path: path.to_owned(), source };
        let name = path.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let dir = Dir::open_root(parent)?.create_dir(name, 0o700)?;
        let events = dir.create_file(EVENTS, 0o600)?;
        let notes = dir.create_file(CHECKPOINTS, 0o600)?;
        Ok(Self {
            dir,
            path: path.to_owned(),
            chain: Chain::new(run.clone(), Arc::clone(&key), Arc::clone(&redact), events, notes),
            raw: RawLogs::new(Arc::clone(&redact)),
            run,
            key,
            redact,
            sums: BTreeMap::new(),
            withheld: Vec::new(),
            gone_over: BTreeMap::new(),
            unsynced: Vec::new(),
        })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The run.
    #[must_use]
    pub const fn run_id(&self) -> &RunId {
        &self.run
    }

    /// The event log.
    pub const fn chain(&mut self) -> &mut Chain {
        &mut self.chain
    }

    /// The event log and the raw logs, for a stage that writes both.
    pub const fn sinks(&mut self) -> (&mut Chain, &mut RawLogs) {
        (&mut self.chain, &mut self.raw)
    }

    /// Writes a whole file, redacted; what was redacted is listed as withheld. Returns the digest of what is in
    /// the folder.
    pub fn write(&mut self, name: &str, bytes: &[u8]) -> Result<Digest, BundleError> {
        Self::allow(name)?;
        let known = self.redact.learned();
        let written = match self.redact.redact(bytes) {
            None => self.put(name, bytes)?,
            Some((clean, rules)) => self.withhold(name, Digest::of(bytes), &clean, rules)?,
        };
        self.gone_over.insert(name.to_owned(), known);
        Ok(written)
    }

    /// Writes a redacted copy in place of a file with digest `original`. `rules` say which secrets were found.
    pub fn withhold(
        &mut self,
        name: &str,
        original: Digest,
        redacted: &[u8],
        rules: Vec<String>,
    ) -> Result<Digest, BundleError> {
        Self::allow(name)?;
        let written = self.put(name, redacted)?;
        self.gone_over.insert(name.to_owned(), 0);
        self.note_withheld(name, original, rules);
        Ok(written)
    }

    /// Starts a raw log below `backend/`; [`RawLogs::append`] fills it.
    pub fn open_raw(&mut self, name: &str) -> Result<(), BundleError> {
        Self::allow(name)?;
        if !name.starts_with("backend/") {
            return Err(BundleError::Name(name.to_owned()));
        }
        let file = self.new_file(name)?;
        self.raw.open(name, file);
        Ok(())
    }

    /// Appends to a raw log, which is started when it is not there yet.
    pub fn append_raw(&mut self, name: &str, bytes: &[u8]) -> Result<(), BundleError> {
        if !self.raw.logs.contains_key(name) {
            self.open_raw(name)?;
        }
        let failed = |source| BundleError::Write { name: name.to_owned(), source };
        self.raw.append(name, bytes).map_err(failed)
    }

    /// Names and digests of whole files written so far.
    #[must_use]
    pub const fn files(&self) -> &BTreeMap<String, Digest> {
        &self.sums
    }

    fn allow(name: &str) -> Result<(), BundleError> {
        if check_name(name) && !OWN.contains(&name) {
            Ok(())
        } else {
            Err(BundleError::Name(name.to_owned()))
        }
    }

    pub(super) fn put(&mut self, name: &str, bytes: &[u8]) -> Result<Digest, BundleError> {
        let failed = |source| BundleError::Write { name: name.to_owned(), source };
        let size = bytes.len() as u64;
        if size > MAX_FILE {
            return Err(BundleError::TooLarge { name: name.to_owned(), size });
        }
        let mut file = self.new_file(name)?;
        file.write_all(bytes).map_err(failed)?;
        self.keep(name, file)?;
        let digest = Digest::of(bytes);
        self.sums.insert(name.to_owned(), digest);
        Ok(digest)
    }

    pub(super) fn new_file(&self, name: &str) -> Result<File, BundleError> {
        Ok(match name.rsplit_once('/') {
            Some((folder, own)) => {
                self.dir.create_dir_all(folder, 0o700)?.create_file(OsStr::new(own), 0o600)?
            }
            None => self.dir.create_file(name, 0o600)?,
        })
    }
}
