//! One record a run in the state folder, and beside it, while the run lives, its [`LiveFolder`].
//!
//! Guarantees: a record is replaced as a whole (write, then rename); a run is alive exactly while its folder's lock
//! is held; however it ends, its record tells: by its own process where that can still speak, else by
//! [`Store::reap`]. A bundle that has its root is sealed, whatever the record said last. The daemon will put its
//! database behind these types.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Publication;
use super::again::Held;
use super::live::{self, LiveFolder, io, make_dir};
use crate::beneath::Dir;
use crate::evidence::{Envelope, ROOT, RootStatement};
use crate::vocab::{ApprovalId, Digest, IdError, RunId, TaskId, Timestamp, Verdict};

/// Why a record could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file operation failed.
    #[error("the record of a run could not be {act} at {path}: {source}")]
    Io {
        /// What was tried.
        act: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A record is not readable as one.
    #[error("the record {path} is damaged: {source}; move it away to go on")]
    Damaged {
        /// Where.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// No run of that name.
    #[error("no run `{0}` is recorded here; `cto runs` lists them")]
    Unknown(String),
    /// More than one run begins like that.
    #[error("`{0}` is the beginning of more than one run; write more of it")]
    Ambiguous(String),
    /// Not a run id.
    #[error(transparent)]
    Id(#[from] IdError),
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum RunState {
    /// A process works on it (or died doing so: see the lock).
    Running,
    /// Sealed, with this verdict.
    Sealed {
        /// The answer.
        verdict: Verdict,
    },
    /// Its process died; the bundle is a prefix, and the run can be gone on with (see [`Store::kept`]).
    Incomplete,
    /// Its process died, and somebody gave it up: the bundle stays a prefix.
    GivenUp,
    /// The evidence could not be recorded.
    Unrecorded,
}

/// What is remembered of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRecord {
    /// Which run.
    pub run_id: RunId,
    /// Which task.
    pub task_id: TaskId,
    /// Where its bundle is.
    pub bundle: PathBuf,
    /// The process that works, or worked, on it.
    pub pid: u32,
    /// When it began.
    pub started: Timestamp,
    /// How far it is.
    pub run_state: RunState,
    /// The approval it asked for.
    pub pending: Option<ApprovalId>,
    /// What a later attempt needs of this one.
    #[serde(default)]
    pub held: Held,
    /// Its contract permits a branch in the target, should it pass.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_commit: bool,
    /// Digest of the sealed root, as this process sealed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<Digest>,
    /// What became of that branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publication: Option<Publication>,
}

/// The records of one state folder.
#[derive(Debug, Clone)]
pub struct Store {
    pub(super) state: PathBuf,
    pub(super) runs: PathBuf,
}

/// A run of this process: its record, and the folder that says that it lives. Dropped before it is sealed, its
/// record says that it could not be recorded.
#[derive(Debug)]
pub struct LiveRun {
    pub(super) dir: PathBuf,
    /// What is remembered.
    pub record: RunRecord,
    pub(super) folder: LiveFolder,
}

/// What a dead process left.
#[derive(Debug)]
pub struct Dead {
    /// The record of the run, with its end; `None` for a folder of another kind (a replay, a sandbox by hand).
    pub record: Option<RunRecord>,
    /// Its folder, to be removed.
    pub folder: LiveFolder,
}

impl Store {
    /// The records in `state`.
    pub fn open(state: &Path) -> Result<Self, StoreError> {
        let runs = state.join("runs");
        make_dir(&runs)?;
        Ok(Self { state: state.to_owned(), runs })
    }

    /// Begins a run: its folder, lock and record are durable when this returns.
    pub fn begin(&self, run_id: &RunId, task_id: &TaskId, bundle: &Path) -> Result<LiveRun, StoreError> {
        let folder = LiveFolder::named(&self.state, run_id.as_str())?;
        let dir = self.runs.join(run_id.as_str());
        make_dir(&dir)?;
        let record = RunRecord {
            run_id: run_id.clone(),
            task_id: task_id.clone(),
            bundle: bundle.to_owned(),
            pid: std::process::id(),
            started: Timestamp::now(),
            run_state: RunState::Running,
            pending: None,
            held: Held::default(),
            may_commit: false,
            root: None,
            publication: None,
        };
        write_record(&dir, &record)?;
        Ok(LiveRun { dir, record, folder })
    }

    /// Every record, newest first. Damaged ones are errors: nothing is silently left out.
    pub fn list(&self) -> Result<Vec<RunRecord>, StoreError> {
        let mut records = Vec::new();
        for entry in std::fs::read_dir(&self.runs).map_err(|e| io("listed", &self.runs, e))? {
            let path = entry.map_err(|e| io("listed", &self.runs, e))?.path();
            if let Some(record) = read_record(&path)? {
                records.push(record);
            }
        }
        records.sort_by(|a, b| b.run_id.cmp(&a.run_id));
        Ok(records)
    }

    /// The run that is named, or whose name begins, like `text` (with or without `run-`).
    pub fn find(&self, text: &str) -> Result<RunRecord, StoreError> {
        let mut found = self.list()?.into_iter().filter(|record| {
            let id = record.run_id.as_str();
            !text.is_empty() && (id.starts_with(text) || id.trim_start_matches("run-").starts_with(text))
        });
        match (found.next(), found.next()) {
            (Some(record), None) => Ok(record),
            (Some(_), Some(_)) => Err(StoreError::Ambiguous(text.to_owned())),
            (None, _) => Err(StoreError::Unknown(text.to_owned())),
        }
    }

    /// The file that whoever works on the run holds open and locked.
    #[must_use]
    pub fn lock_of(&self, run: &RunId) -> PathBuf {
        live::lock_of(&self.state, run.as_str())
    }

    /// Whether a process works on that run now.
    pub fn lives(&self, run: &RunId) -> Result<bool, StoreError> {
        live::lives(&self.state, run.as_str())
    }

    /// Finds what dead processes left, and writes down how their runs ended. What a later attempt needs stays.
    pub fn reap(&self) -> Result<Vec<Dead>, StoreError> {
        let mut dead = Vec::new();
        for mut folder in live::abandoned(&self.state)? {
            let dir = self.runs.join(folder.name());
            let mut record = read_record(&dir)?;
            match &mut record {
                Some(record) if record.run_state == RunState::Running => {
                    record.run_state = end_of(record, RunState::Incomplete);
                    write_record(&dir, record)?;
                }
                Some(_) => {}
                // The process died before the record was written: nothing was begun.
                None => match std::fs::remove_dir_all(&dir) {
                    Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(io("removed", &dir, e)),
                    _ => {}
                },
            }
            if record.as_ref().is_some_and(RunRecord::keeps_its_work) {
                folder.keep();
                continue;
            }
            dead.push(Dead { record, folder });
        }
        Ok(dead)
    }
}

/// How a run without a word about its end ended: sealed, where its bundle has a root, else `otherwise`. This shows;
/// `cto verify` proves.
pub(super) fn end_of(record: &RunRecord, otherwise: RunState) -> RunState {
    /// Bytes of the largest root.
    const ROOT_BYTES: u64 = 8 << 20;
    let root = Dir::open_root(&record.bundle).and_then(|dir| dir.read_file(ROOT, ROOT_BYTES)).ok();
    let envelope = root.as_deref().and_then(|root| Envelope::parse(str::from_utf8(root).ok()?).ok());
    let statement =
        envelope.and_then(|envelope| serde_json::from_slice::<RootStatement>(&envelope.payload).ok());
    match statement {
        Some(statement) if statement.predicate.run_id == record.run_id => {
            RunState::Sealed { verdict: statement.predicate.verdict }
        }
        _ => otherwise,
    }
}

impl RunRecord {
    /// Whether a later attempt needs what lies in the run's folder.
    fn keeps_its_work(&self) -> bool {
        self.run_state == RunState::Incomplete && self.held.thread.is_some()
    }
}

impl LiveRun {
    /// The folder for everything that must not outlive the run.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.folder.path()
    }

    /// Replaces the record.
    pub fn update(&mut self, change: impl FnOnce(&mut RunRecord)) -> Result<(), StoreError> {
        change(&mut self.record);
        write_record(&self.dir, &self.record)
    }
}

impl Drop for LiveRun {
    fn drop(&mut self) {
        if self.folder.is_kept() {
            return;
        }
        // Room first: what ends a run may be a full disk. Where either fails, whoever comes next finds the folder.
        let emptied = self.folder.empty();
        if self.record.run_state == RunState::Running {
            let end = end_of(&self.record, RunState::Unrecorded);
            let told = emptied.and_then(|()| self.update(|record| record.run_state = end));
            if told.is_err() {
                self.folder.keep();
            }
        }
    }
}

pub(super) fn read_record(dir: &Path) -> Result<Option<RunRecord>, StoreError> {
    let path = dir.join("record.json");
    match std::fs::read(&path) {
        Ok(bytes) => {
            serde_json::from_slice(&bytes).map(Some).map_err(|source| StoreError::Damaged { path, source })
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(io("read", &path, e)),
    }
}

pub(super) fn write_record(dir: &Path, record: &RunRecord) -> Result<(), StoreError> {
    let path = dir.join("record.json");
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        serde_json::to_writer(&mut file, record)?;
        file.write_all(b"\n")?;
        file.as_file().sync_data()?;
        file.persist(&path)?;
        Ok(())
    };
    write().map_err(|e| io("written", &path, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(store: &Store) -> LiveRun {
        store.begin(&RunId::new(), &TaskId::parse("t").unwrap(), Path::new("/nowhere")).unwrap()
    }

    #[test]
    fn a_dead_run_with_a_thread_keeps_its_work_until_it_is_gone_on_with_or_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let mut live = begin(&store);
        live.update(|record| {
            (record.held.thread, record.held.uid) = (Some("th-1".to_owned()), Some(2_000_000_007));
        })
        .unwrap();
        assert!(store.kept_uids().unwrap().is_empty(), "one that is at work has a lease");
        let (id, work) = (live.record.run_id.clone(), live.work());
        assert!(store.take_up(&id).unwrap().is_none(), "it lives");
        killed(live);
        std::fs::write(work.join("half"), "").unwrap();
        for _ in 0..2 {
            assert!(store.reap().unwrap().is_empty() && work.join("half").exists());
            assert_eq!(store.kept_uids().unwrap(), [2_000_000_007], "it is still taken");
        }
        let mut again = store.take_up(&id).unwrap().unwrap();
        assert!(store.take_up(&id).unwrap().is_none(), "one has it");
        again.go_on().unwrap();
        assert!(
            work.join("half").exists() && store.find(id.as_str()).unwrap().run_state == RunState::Running
        );
        killed(again);
        store.take_up(&id).unwrap().unwrap().give_up().unwrap();
        assert!(!work.exists() && store.reap().unwrap().is_empty());
        assert!(store.kept_uids().unwrap().is_empty() && store.list().unwrap().len() == 1);
        assert_eq!(store.find(id.as_str()).unwrap().run_state, RunState::GivenUp);
    }

    /// Ends a run as a kill does: the lock goes, everything else stays.
    fn killed(live: LiveRun) {
        let (copy, path) = (tempfile::tempdir().unwrap(), live.dir.join("record.json"));
        std::fs::copy(&path, copy.path().join("record")).unwrap();
        let work = live.work();
        drop(live);
        std::fs::copy(copy.path().join("record"), path).unwrap();
        std::fs::create_dir_all(work).unwrap();
    }

    #[test]
    fn a_living_run_is_not_reaped_and_a_dead_one_is() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let live = begin(&store);
        assert!(store.reap().unwrap().is_empty());
        let id = live.record.run_id.clone();
        killed(live);
        let dead = store.reap().unwrap();
        assert_eq!(dead.len(), 1);
        assert_eq!(store.find(id.as_str()).unwrap().run_state, RunState::Incomplete);
        drop(dead);
        assert!(store.reap().unwrap().is_empty());
    }

    #[test]
    fn a_run_that_ends_without_its_seal_is_unrecorded_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let live = begin(&store);
        let (id, work) = (live.record.run_id.clone(), live.work());
        drop(live);
        assert!(!work.exists() && store.reap().unwrap().is_empty());
        assert_eq!(store.find(id.as_str()).unwrap().run_state, RunState::Unrecorded);
    }

    #[test]
    fn a_run_is_found_by_the_beginning_of_its_name_when_that_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let (a, _b) = (begin(&store), begin(&store));
        assert_eq!(store.find(a.record.run_id.as_str()).unwrap(), a.record);
        assert!(matches!(store.find("run-"), Err(StoreError::Ambiguous(_))));
        assert!(matches!(store.find("run-zz"), Err(StoreError::Unknown(_))));
        assert!(matches!(store.find(""), Err(StoreError::Unknown(_))));
    }

    #[test]
    fn a_sealed_run_keeps_its_state_when_leftovers_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let mut live = begin(&store);
        live.update(|r| r.run_state = RunState::Sealed { verdict: Verdict::Pass }).unwrap();
        let id = live.record.run_id.clone();
        killed(live);
        assert_eq!(store.reap().unwrap().len(), 1);
        assert_eq!(store.find(id.as_str()).unwrap().run_state, RunState::Sealed { verdict: Verdict::Pass });
    }
}
