//! One folder a run in the state folder: `record.json`, a lock held by the living process, and `work/` for
//! everything that must not outlive the run (overlay uppers, private homes).
//!
//! Guarantees: a record is replaced as a whole (write, then rename); a run is alive exactly while its lock is
//! held, which the kernel ends with the process however it dies; [`Store::reap`] touches only folders whose
//! lock it got. The daemon will put its database behind these types.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::vocab::{ApprovalId, IdError, RunId, TaskId, Timestamp, Verdict};

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
    /// Its process died; the bundle is a prefix.
    Incomplete,
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
}

/// The records of one state folder.
#[derive(Debug, Clone)]
pub struct Store {
    runs: PathBuf,
    // Held while a run begins and while dead ones are looked for, so that a run without a record yet is not
    // taken for a dead one.
    gate: PathBuf,
}

/// A run of this process: its record, and the lock that says that it lives.
#[derive(Debug)]
pub struct LiveRun {
    dir: PathBuf,
    /// What is remembered.
    pub record: RunRecord,
    // Held, never read: the kernel frees it with the process.
    _lock: File,
}

/// A run whose process died before it was sealed.
#[derive(Debug)]
pub struct Dead {
    /// The record, now marked incomplete.
    pub record: RunRecord,
    /// Its folder of leftovers, for the workspace to remove.
    pub work: PathBuf,
}

impl Store {
    /// The records in `state`.
    pub fn open(state: &Path) -> Result<Self, StoreError> {
        let runs = state.join("runs");
        make_dir(&runs)?;
        Ok(Self { runs, gate: state.join("runs.lock") })
    }

    /// Begins a run: its folder, lock and record are durable when this returns.
    pub fn begin(&self, run_id: &RunId, task_id: &TaskId, bundle: &Path) -> Result<LiveRun, StoreError> {
        let gate = open_lock(&self.gate)?;
        gate.lock().map_err(|e| io("locked", &self.gate, e))?;
        let dir = self.runs.join(run_id.as_str());
        make_dir(&dir)?;
        make_dir(&dir.join("work"))?;
        let lock = open_lock(&dir.join("lock"))?;
        lock.lock().map_err(|e| io("locked", &dir, e))?;
        let record = RunRecord {
            run_id: run_id.clone(),
            task_id: task_id.clone(),
            bundle: bundle.to_owned(),
            pid: std::process::id(),
            started: Timestamp::now(),
            run_state: RunState::Running,
            pending: None,
        };
        write_record(&dir, &record)?;
        Ok(LiveRun { dir, record, _lock: lock })
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

    /// Finds runs whose process died, marks them incomplete and returns them with what they left.
    pub fn reap(&self) -> Result<Vec<Dead>, StoreError> {
        let gate = open_lock(&self.gate)?;
        gate.lock().map_err(|e| io("locked", &self.gate, e))?;
        let mut dead = Vec::new();
        for entry in std::fs::read_dir(&self.runs).map_err(|e| io("listed", &self.runs, e))? {
            let dir = entry.map_err(|e| io("listed", &self.runs, e))?.path();
            let work = dir.join("work");
            if !work.exists() {
                continue;
            }
            let lock = open_lock(&dir.join("lock"))?;
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(e)) => return Err(io("locked", &dir, e)),
            }
            let Some(mut record) = read_record(&dir)? else {
                // The process died before the record was written: nothing was begun.
                std::fs::remove_dir_all(&dir).map_err(|e| io("removed", &dir, e))?;
                continue;
            };
            if record.run_state == RunState::Running {
                record.run_state = RunState::Incomplete;
                write_record(&dir, &record)?;
            }
            dead.push(Dead { record, work });
        }
        Ok(dead)
    }
}

impl LiveRun {
    /// The folder for everything that must not outlive the run.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.dir.join("work")
    }

    /// Replaces the record.
    pub fn update(&mut self, change: impl FnOnce(&mut RunRecord)) -> Result<(), StoreError> {
        change(&mut self.record);
        write_record(&self.dir, &self.record)
    }
}

fn make_dir(path: &Path) -> Result<(), StoreError> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| io("made", path, e))
}

fn open_lock(path: &Path) -> Result<File, StoreError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(path).map_err(|e| io("locked", path, e))
}

fn read_record(dir: &Path) -> Result<Option<RunRecord>, StoreError> {
    let path = dir.join("record.json");
    match std::fs::read(&path) {
        Ok(bytes) => {
            serde_json::from_slice(&bytes).map(Some).map_err(|source| StoreError::Damaged { path, source })
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(io("read", &path, e)),
    }
}

fn write_record(dir: &Path, record: &RunRecord) -> Result<(), StoreError> {
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

fn io(act: &'static str, path: &Path, source: std::io::Error) -> StoreError {
    StoreError::Io { act, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(store: &Store) -> LiveRun {
        store.begin(&RunId::new(), &TaskId::parse("t").unwrap(), Path::new("/nowhere")).unwrap()
    }

    #[test]
    fn a_living_run_is_not_reaped_and_a_dead_one_is() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let live = begin(&store);
        assert!(store.reap().unwrap().is_empty());
        let id = live.record.run_id.clone();
        drop(live);
        let dead = store.reap().unwrap();
        assert_eq!(dead.len(), 1);
        assert_eq!(store.find(id.as_str()).unwrap().run_state, RunState::Incomplete);
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
        drop(live);
        assert_eq!(store.reap().unwrap().len(), 1);
        assert_eq!(store.find(id.as_str()).unwrap().run_state, RunState::Sealed { verdict: Verdict::Pass });
    }
}
