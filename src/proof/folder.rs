//! The folder of one engine's records, which an operator can carry in git: read by name, written whole.
//!
//! ```text
//! <engine>/gate.json admission.json licence.json enabling.json promotion-<stage>.json evidence/<root>/…
//! ```
//! Nothing else in it is looked at, so it may be the work tree of a repository. No link is followed.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::signed::{Record, RecordError, Signed};
use crate::beneath::Dir;
use crate::eligibility::Observed;
use crate::vocab::{Digest, EngineId, Stage};

/// Bytes of the largest record: an admission with tens of thousands of files.
const RECORD_BYTES: u64 = 32 * 1024 * 1024;

/// The records of one engine.
#[derive(Debug, Clone)]
pub struct ProofFolder {
    dir: PathBuf,
    engine: EngineId,
}

/// A record that was read, with the digest of its file.
#[derive(Debug, Clone)]
pub struct Kept<T> {
    /// Of the whole file.
    pub digest: Digest,
    /// What it says, and who.
    pub signed: Signed<T>,
}

/// Name of the proof gate record.
pub(super) const GATE: &str = "gate.json";
/// Name of the admission.
pub(super) const ADMISSION: &str = "admission.json";
/// Name of the licence note.
pub(super) const LICENCE: &str = "licence.json";
/// Name of the enabling.
pub(super) const ENABLING: &str = "enabling.json";
/// Name of the folder of evidence.
const EVIDENCE: &str = "evidence";

/// Name of the promotion to a stage.
pub(super) fn promotion_name(stage: Stage) -> String {
    format!("promotion-{stage}.json")
}

impl ProofFolder {
    /// Those of `engine` below `root`; nothing is made before the first record.
    #[must_use]
    pub fn of(root: &Path, engine: &EngineId) -> Self {
        Self { dir: root.join(engine.as_str()), engine: engine.clone() }
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// The engine.
    #[must_use]
    pub const fn engine(&self) -> &EngineId {
        &self.engine
    }

    /// Where the bundle with this root lies, when it is evidence of a promotion.
    #[must_use]
    pub fn evidence(&self, root: Digest) -> PathBuf {
        self.dir.join(EVIDENCE).join(root.hex())
    }

    /// The record of this name, as it lies there: not held against anything yet.
    pub(super) fn read<T: Record>(&self, name: &str) -> Observed<Kept<T>> {
        let absent = || Observed::Absent(format!("there is no {}", self.dir.join(name).display()));
        let failed = |why: String| Observed::Error(format!("{}: {why}", self.dir.join(name).display()));
        let dir = match Dir::open_root(&self.dir) {
            Ok(dir) => dir,
            Err(error) if error.is_absent() => return absent(),
            Err(error) => return failed(error.to_string()),
        };
        match dir.read_file(name, RECORD_BYTES) {
            Ok(bytes) => match Signed::parse(&bytes) {
                Ok(signed) => Observed::Seen(Kept { digest: Digest::of(&bytes), signed }),
                Err(why) => failed(why),
            },
            Err(error) if error.is_absent() => absent(),
            Err(error) => failed(error.to_string()),
        }
    }

    /// Keeps a record under its name, in one step, in place of an earlier one. Returns the digest of its file.
    pub fn keep<T: Record>(&self, signed: &Signed<T>) -> Result<Digest, RecordError> {
        let text = signed.render()?;
        if text.len() as u64 > RECORD_BYTES {
            return Err(RecordError::Refused(format!("the record is larger than {RECORD_BYTES} bytes")));
        }
        self.make()?;
        let path = self.dir.join(signed.record.file_name());
        let failed = |act| {
            let path = path.clone();
            move |source| RecordError::Io { path, act, source }
        };
        let draft = tempfile::Builder::new().prefix(".new-").tempfile_in(&self.dir);
        let mut draft = draft.map_err(failed("making it"))?;
        draft.write_all(&text).and_then(|()| draft.as_file().sync_all()).map_err(failed("writing it"))?;
        draft.persist(&path).map_err(|error| failed("publishing it")(error.error))?;
        let folder = fs::File::open(&self.dir).and_then(|folder| folder.sync_all());
        folder.map_err(failed("making it durable"))?;
        Ok(Digest::of(&text))
    }

    fn make(&self) -> Result<(), RecordError> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir);
        made.map_err(|source| RecordError::Io { path: self.dir.clone(), act: "making the folder", source })
    }

    /// Copies the bundle at `bundle` beside the records, file by file, and publishes it under the digest of its root.
    pub fn bring_in(&self, bundle: &Path, root: Digest) -> Result<PathBuf, RecordError> {
        let place = self.evidence(root);
        if fs::symlink_metadata(&place).is_ok() {
            return Ok(place);
        }
        self.make()?;
        let above = self.dir.join(EVIDENCE);
        let io = |act| {
            let path = place.clone();
            move |source| RecordError::Io { path, act, source }
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&above).map_err(io("making the folder"))?;
        let draft =
            tempfile::Builder::new().prefix(".new-").tempdir_in(&above).map_err(io("making the folder"))?;
        super::evidence::copy(bundle, draft.path()).map_err(RecordError::Refused)?;
        fs::rename(draft.keep(), &place).map_err(io("publishing the copy"))?;
        Ok(place)
    }
}
