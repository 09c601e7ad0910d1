//! What checks of engines showed: one signed record for each program and adapter, in the state folder.
//!
//! A record counts where this machine's sealing key signed exactly its bytes, and where every file that it names is
//! kept beside it as it was; anything else there is an error and never a pass. It is replaced by the next check of the
//! same two digests, and by nothing else. Files come before the record that names them and go after it, under a lock of
//! the folder: a keeping that is cut leaves the earlier record with its files, or the new one with its own.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::prepared::{self, DRAFT, Lost, PreparedRow};
use crate::beneath::{BeneathError, Dir};
use crate::engine::PreparedFile;
use crate::vocab::{Digest, EngineId, RunId, SealingKey, Signature, Timestamp};

/// Bytes of the largest record that is read.
const RECORD_BYTES: u64 = 64 * 1024;
/// Entries of the folder that are looked at; it has a record for each program and adapter that was checked.
const ENTRIES: usize = 100_000;
/// Keeps these signatures apart from every other one of this key.
const DOMAIN: &[u8] = b"cto-conformance-v2\0";

/// What one check showed, and of which bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConformanceRecord {
    /// The engine.
    pub engine: EngineId,
    /// Digest of the program.
    pub program: Digest,
    /// Digest of adapter and manifest.
    pub adapter: Digest,
    /// What the program says that its version is.
    pub version: Option<String>,
    /// Digest of the schema that the program wrote of its protocol.
    pub schema: Option<Digest>,
    /// Name and version of the harness that checked.
    pub harness: String,
    /// When.
    pub checked_at: Timestamp,
    /// The run that the check was.
    pub run_id: RunId,
    /// Digest of the root of its bundle.
    pub root: Digest,
    /// Whether every step came out as it has to.
    pub passed: bool,
    /// What the program made that its runs can have from the start; of a check that failed, nothing.
    pub prepared: Vec<PreparedRow>,
}

/// A record that counts, with everything that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conformance {
    /// Digest of the record's file.
    pub digest: Digest,
    /// What it says.
    pub record: ConformanceRecord,
    /// The files that it names, with their bytes.
    pub prepared: Vec<PreparedFile>,
}

/// As it lies in its file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signed {
    record: ConformanceRecord,
    signature: Signature,
}

/// Why a record could not be kept, or does not count.
#[derive(Debug, thiserror::Error)]
pub enum ConformanceError {
    /// The file system said no.
    #[error("the conformance record {} could not be {act}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What was tried.
        act: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// It is not a record that this machine made of these two digests.
    #[error("{} is not a conformance record of this machine's: {why}", path.display())]
    NotOurs {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A file that it names is not there as it was kept.
    #[error("the prepared file `{name}` of the conformance record {} does not count: {why}", path.display())]
    Lost {
        /// Which record.
        path: PathBuf,
        /// Which file.
        name: String,
        /// Why.
        why: String,
    },
}

/// The records of one state folder.
#[derive(Debug, Clone)]
pub struct ConformanceRecords {
    folder: PathBuf,
}

impl ConformanceRecords {
    /// Those of the state folder `state`; nothing is made before the first record.
    #[must_use]
    pub fn of(state: &Path) -> Self {
        Self { folder: state.join("conformance") }
    }

    fn place(&self, engine: &EngineId, program: Digest, adapter: Digest) -> PathBuf {
        // Both digests in the name, so that a record never stands for another pair.
        let pair = Digest::of(format!("{program} {adapter}").as_bytes());
        self.folder.join(format!("{engine}-{}.json", pair.hex()))
    }

    /// Signs `record` with `key` and keeps it in one step (0600), in place of an earlier one of the same pair. `files`
    /// are kept with it, where it says that the check passed; it names them and no others.
    pub fn keep(
        &self,
        mut record: ConformanceRecord,
        files: &[PreparedFile],
        key: &SealingKey,
    ) -> Result<(), ConformanceError> {
        let path = self.place(&record.engine, record.program, record.adapter);
        let failed = |act| {
            let path = path.clone();
            move |source| ConformanceError::Io { path, act, source }
        };
        let files = if record.passed { files } else { &[] };
        record.prepared = files.iter().map(PreparedRow::of).collect();
        let message = message(&record).map_err(|error| failed("written")(error.into()))?;
        let signed = Signed { signature: key.sign(&message), record };
        let mut text = serde_json::to_vec_pretty(&signed).map_err(|error| failed("written")(error.into()))?;
        text.push(b'\n');
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder);
        made.map_err(failed("given a folder"))?;
        let lock = File::open(&self.folder).and_then(|folder| folder.lock().map(|()| folder));
        let folder = lock.map_err(failed("locked"))?;
        let below = |act| move |error| failed(act)(std::io::Error::other(error));
        let records = Dir::open_root(&self.folder).map_err(below("opened"))?;
        if !files.is_empty() {
            prepared::keep(&records, files).map_err(below("given its files"))?;
        }
        // A temporary file is 0600 from the start.
        let draft = tempfile::Builder::new().prefix(DRAFT).tempfile_in(&self.folder);
        let mut draft = draft.map_err(failed("made"))?;
        draft.write_all(&text).and_then(|()| draft.as_file().sync_all()).map_err(failed("written"))?;
        draft.persist(&path).map_err(|error| failed("published")(error.error))?;
        folder.sync_all().map_err(failed("made durable"))?;
        sweep(&records).map_err(below("swept up after"))
    }

    /// The record of a pair, with the files that it names; `None` where there is none. `key` gives the key that must
    /// have signed it, and is asked only where there is a file.
    pub fn find(
        &self,
        engine: &EngineId,
        program: Digest,
        adapter: Digest,
        key: impl FnOnce() -> Result<SealingKey, String>,
    ) -> Result<Option<Conformance>, ConformanceError> {
        let path = self.place(engine, program, adapter);
        let not_ours = |why: String| ConformanceError::NotOurs { path: path.clone(), why };
        let folder = match Dir::open_root(&self.folder) {
            Ok(folder) => folder,
            Err(error) if error.is_absent() => return Ok(None),
            Err(error) => return Err(not_ours(error.to_string())),
        };
        // A record and its files are read between two keepings, not in the middle of one.
        let lock = File::open(&self.folder).and_then(|folder| folder.lock_shared().map(|()| folder));
        let _lock =
            lock.map_err(|source| ConformanceError::Io { path: path.clone(), act: "locked", source })?;
        let name = path.file_name().unwrap_or_default();
        let bytes = match folder.read_file(Path::new(name), RECORD_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.is_absent() => return Ok(None),
            Err(error) => return Err(not_ours(error.to_string())),
        };
        let Signed { record, signature } = serde_json::from_slice(&bytes)
            .map_err(|error| not_ours(format!("it has not the form of this version's: {error}")))?;
        if (&record.engine, record.program, record.adapter) != (engine, program, adapter) {
            return Err(not_ours("it is of another engine, program or adapter".to_owned()));
        }
        let key = key().map_err(not_ours)?.public();
        let message = message(&record).map_err(|error| not_ours(error.to_string()))?;
        if !key.verifies(&message, &signature) {
            return Err(not_ours("this machine's sealing key did not sign it".to_owned()));
        }
        let prepared = prepared::read(&folder, &record.prepared)
            .map_err(|Lost { name, why }| ConformanceError::Lost { path: path.clone(), name, why })?;
        Ok(Some(Conformance { digest: Digest::of(&bytes), record, prepared }))
    }
}

/// Removes what no record of the folder names any more. One that says nothing sensible names nothing: it does not count.
fn sweep(records: &Dir) -> Result<(), BeneathError> {
    let mut named = BTreeSet::new();
    for entry in records.entries(ENTRIES)? {
        let name = entry.name.to_string_lossy();
        if name.starts_with(DRAFT) {
            records.remove_tree(&entry.name)?;
        } else if name.ends_with(".json") {
            let bytes = match records.read_file(&entry.name, RECORD_BYTES) {
                Ok(bytes) => bytes,
                // What cannot be read now may name something, and then nothing is removed.
                Err(error) if error.kind().is_some() && !error.is_absent() => return Err(error),
                Err(_) => continue,
            };
            if let Ok(Signed { record, .. }) = serde_json::from_slice(&bytes) {
                named.extend(record.prepared.iter().map(|row| row.digest));
            }
        }
    }
    prepared::sweep(records, &named)
}

fn message(record: &ConformanceRecord) -> Result<Vec<u8>, serde_json::Error> {
    Ok([DOMAIN, &serde_json::to_vec(record)?].concat())
}
