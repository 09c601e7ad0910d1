//! What checks of engines showed: one signed record for each program and adapter, in the state folder.
//!
//! A record counts where this machine's sealing key signed exactly its bytes; anything else there is an error and
//! never a pass. It is replaced by the next check of the same two digests, and by nothing else.

use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::beneath::Dir;
use crate::vocab::{Digest, EngineId, RunId, SealingKey, Signature, Timestamp};

/// Bytes of the largest record that is read.
const RECORD_BYTES: u64 = 64 * 1024;
/// Keeps these signatures apart from every other one of this key.
const DOMAIN: &[u8] = b"cto-conformance-v1\0";

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

    /// Signs `record` with `key` and keeps it in one step (0600), in place of an earlier one of the same pair.
    pub fn keep(&self, record: ConformanceRecord, key: &SealingKey) -> Result<(), ConformanceError> {
        let path = self.place(&record.engine, record.program, record.adapter);
        let failed = |act| {
            let path = path.clone();
            move |source| ConformanceError::Io { path, act, source }
        };
        let message = message(&record).map_err(|error| failed("written")(error.into()))?;
        let signed = Signed { signature: key.sign(&message), record };
        let mut text = serde_json::to_vec_pretty(&signed).map_err(|error| failed("written")(error.into()))?;
        text.push(b'\n');
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder);
        made.map_err(failed("given a folder"))?;
        // A temporary file is 0600 from the start.
        let mut draft = tempfile::NamedTempFile::new_in(&self.folder).map_err(failed("made"))?;
        draft.write_all(&text).and_then(|()| draft.as_file().sync_all()).map_err(failed("written"))?;
        draft.persist(&path).map_err(|error| failed("published")(error.error))?;
        let folder = std::fs::File::open(&self.folder).and_then(|folder| folder.sync_all());
        folder.map_err(failed("made durable"))
    }

    /// The record of a pair with the digest of its file; `None` where there is none. `key` gives the key that must
    /// have signed it, and is asked only where there is a file.
    pub fn find(
        &self,
        engine: &EngineId,
        program: Digest,
        adapter: Digest,
        key: impl FnOnce() -> Result<SealingKey, String>,
    ) -> Result<Option<(Digest, ConformanceRecord)>, ConformanceError> {
        let path = self.place(engine, program, adapter);
        let not_ours = |why: String| ConformanceError::NotOurs { path: path.clone(), why };
        let folder = match Dir::open_root(&self.folder) {
            Ok(folder) => folder,
            Err(error) if error.is_absent() => return Ok(None),
            Err(error) => return Err(not_ours(error.to_string())),
        };
        let name = path.file_name().unwrap_or_default();
        let bytes = match folder.read_file(Path::new(name), RECORD_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.is_absent() => return Ok(None),
            Err(error) => return Err(not_ours(error.to_string())),
        };
        let Signed { record, signature } =
            serde_json::from_slice(&bytes).map_err(|error| not_ours(error.to_string()))?;
        if (&record.engine, record.program, record.adapter) != (engine, program, adapter) {
            return Err(not_ours("it is of another engine, program or adapter".to_owned()));
        }
        let key = key().map_err(not_ours)?.public();
        let message = message(&record).map_err(|error| not_ours(error.to_string()))?;
        if !key.verifies(&message, &signature) {
            return Err(not_ours("this machine's sealing key did not sign it".to_owned()));
        }
        Ok(Some((Digest::of(&bytes), record)))
    }
}

fn message(record: &ConformanceRecord) -> Result<Vec<u8>, serde_json::Error> {
    Ok([DOMAIN, &serde_json::to_vec(record)?].concat())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn record() -> ConformanceRecord {
        ConformanceRecord {
            engine: EngineId::codex(),
            program: Digest::of(b"program"),
            adapter: Digest::of(b"adapter"),
            version: Some("0.169.0".to_owned()),
            schema: None,
            harness: "cto-harness 0".to_owned(),
            checked_at: Timestamp::from_unix_micros(0).unwrap(),
            run_id: RunId::new(),
            root: Digest::of(b"root"),
            passed: true,
        }
    }

    fn find(
        records: &ConformanceRecords,
        key: &SealingKey,
    ) -> Result<Option<(Digest, ConformanceRecord)>, ConformanceError> {
        let pem = key.to_pem().unwrap();
        let record = record();
        let key = || SealingKey::from_pem(&pem).map_err(|error| error.to_string());
        records.find(&record.engine, record.program, record.adapter, key)
    }

    #[test]
    fn only_the_bytes_that_this_machine_signed_count() {
        let (state, key) = (tempfile::tempdir().unwrap(), SealingKey::generate().unwrap());
        let records = ConformanceRecords::of(state.path());
        assert!(find(&records, &key).unwrap().is_none());
        let failed = ConformanceRecord { passed: false, ..record() };
        records.keep(failed.clone(), &key).unwrap();
        assert_eq!(find(&records, &key).unwrap().unwrap().1, failed);

        let path = records.place(&failed.engine, failed.program, failed.adapter);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        let text = std::fs::read_to_string(&path).unwrap();
        for (from, to) in
            [("\"passed\": false", "\"passed\": true"), ("0.169.0", "0.169.1"), ("\"record\"", "\"x\"")]
        {
            std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
            assert!(matches!(find(&records, &key), Err(ConformanceError::NotOurs { .. })), "{to}");
        }
        std::fs::write(&path, &text).unwrap();
        assert!(find(&records, &SealingKey::generate().unwrap()).is_err(), "another machine's");
        // The record of another pair in this one's place.
        let other = ConformanceRecord { program: Digest::of(b"other"), ..record() };
        records.keep(other.clone(), &key).unwrap();
        std::fs::copy(records.place(&other.engine, other.program, other.adapter), &path).unwrap();
        assert!(find(&records, &key).unwrap_err().to_string().contains("another"));
        records.keep(record(), &key).unwrap();
        assert!(find(&records, &key).unwrap().unwrap().1.passed, "a later check replaces it");
    }
}
