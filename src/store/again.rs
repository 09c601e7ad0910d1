//! A run whose process died, taken up by another one: nobody else can have it meanwhile, and it stays as it was left
//! until it is gone on with or given up.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::live::{LiveFolder, present};
use super::record::{end_of, read_record, write_record};
use super::{LiveRun, RunRecord, RunState, Store, StoreError};
use crate::vocab::RunId;

/// What a later attempt of a run needs of the one that died.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Held {
    /// The engine's thread; its work folder stays as long as the run can be gone on with.
    pub thread: Option<String>,
    /// The host uid that owns what lies in the work folder, where that is the run's own.
    pub uid: Option<u32>,
    /// PID 1 of the engine's sandbox: its pid and when it started, clock ticks since boot.
    pub init: Option<(u32, u64)>,
}

impl Store {
    /// Host uids that own what runs left that can be gone on with: nobody else's work may have them. Only records of runs
    /// whose folders are there are read; unlike all that there ever were, they are few.
    pub fn kept_uids(&self) -> Result<Vec<u32>, StoreError> {
        let read = |dir: &PathBuf| read_record(&self.runs.join(dir.file_name()?)).transpose();
        let present = present(&self.state)?;
        let records: Vec<RunRecord> = present.iter().filter_map(read).collect::<Result<_, _>>()?;
        let kept = records.into_iter().filter(|record| record.run_state == RunState::Incomplete);
        Ok(kept.filter_map(|record| record.held.uid).collect())
    }

    /// Takes up the run of `record`, whose process died: its folder is this process's own when this returns, as it was
    /// left, or new where nothing was to be kept. `None` while somebody else has it.
    pub fn take_up(&self, run: &RunId) -> Result<Option<LiveRun>, StoreError> {
        let Some(mut folder) = LiveFolder::taken_up(&self.state, run.as_str())? else { return Ok(None) };
        // Whatever happens to this call, what can be gone on with is not lost with it.
        folder.keep();
        let dir = self.runs.join(run.as_str());
        let mut record = read_record(&dir)?.ok_or_else(|| StoreError::Unknown(run.to_string()))?;
        if record.run_state == RunState::Running {
            record.run_state = end_of(&record, RunState::Incomplete);
            write_record(&dir, &record)?;
        }
        if record.run_state != RunState::Incomplete {
            folder.let_go();
        }
        Ok(Some(LiveRun { dir, record, folder }))
    }
}

impl LiveRun {
    /// It is this process's run from here on, with its record and, at the end, its folder.
    pub fn go_on(&mut self) -> Result<(), StoreError> {
        self.folder.let_go();
        self.update(|record| {
            record.run_state = RunState::Running;
            record.pid = std::process::id();
        })
    }

    /// Nobody is to go on with it: the folder goes.
    pub fn give_up(mut self) -> Result<(), StoreError> {
        self.folder.let_go();
        self.update(|record| record.run_state = RunState::GivenUp)
    }
}
