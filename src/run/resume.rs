//! Going on with a run whose process died: what may be gone on with, and what it needs for that.
//!
//! Nothing is touched before it is sure that nobody works on the run, that everything of the dead attempt is dead, and
//! that contract, thread and work tree are those of the run. What is refused stays as it is, to be gone on with later or
//! given up by `cto cancel`.

use std::time::{Duration, Instant};

use super::execute::Tools;
use super::input::Asked;
use super::recording::{RecordError, Recording};
use super::{ContractInput, Observer, RunError, RunOutcome, RunRequest, Scene};
use crate::engine::EngineObservations;
use crate::evidence::EngineOutcome;
use crate::home::Home;
use crate::inspection::secrets::Scanner;
use crate::process::ProcessIdentity;
use crate::run::cutoff::CutOff;
use crate::store::{KeptInput, KeptRequest, LiveRun, RunRecord, RunState, Store, StoreError};
use crate::vocab::{Digest, RunId};
use crate::workspace::{RunUid, RunUidLease, UidError};

/// How long a process that just died may hold its run.
const DYING: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A run that is gone on with: nobody else's.
pub(super) struct Again {
    pub(super) live: LiveRun,
    pub(super) lease: Option<RunUidLease>,
    contract: Digest,
}

/// Goes on with the run that is named, or whose name begins, like `name`.
pub fn resume(home: &Home, name: &str, observer: &mut dyn Observer) -> Result<RunOutcome, RunError> {
    let store = Store::open(home.state()).map_err(RecordError::from)?;
    let record = store.find(name).map_err(|error| refusal(error.to_string(), "see `cto runs`"))?;
    let kept = store.kept(&record).map_err(RecordError::from)?;
    let Some(kept) = kept else {
        let why =
            "what it was asked with was not kept, because it came from before this version or held a secret";
        return Err(refused(&record, why, "run its contract again"));
    };
    let again = take_up(home, &store, &record, kept.contract)?;
    let input = match kept.input {
        KeptInput::Path(path) => ContractInput::Path(path),
        KeptInput::Text(text) => ContractInput::Stdin(text),
    };
    let (cwd, engine, out, learn) = (kept.cwd, kept.engine, kept.out, kept.learn);
    let request = RunRequest { input, cwd, engine, out, wait: false, learn };
    super::block_on(super::tell(home, &request, Some(again), observer))
}

/// The runs that can be gone on with, newest first.
pub fn resumable(home: &Home) -> Result<Vec<RunRecord>, RunError> {
    let store = Store::open(home.state()).map_err(RecordError::from)?;
    let mut found = store.list().map_err(RecordError::from)?;
    let mut failed = None;
    found.retain(|record| {
        store.can_go_on(record).unwrap_or_else(|error| failed.insert(error).to_string().is_empty())
    });
    failed.map_or(Ok(found), |error| Err(RecordError::from(error).into()))
}

/// Of these, those of this task.
pub(super) fn of_task(home: &Home, asked: &Asked) -> Result<Vec<RunId>, RunError> {
    let task = &asked.contract.task().task_id;
    let same = |record: RunRecord| (record.task_id == *task).then_some(record.run_id);
    Ok(resumable(home)?.into_iter().filter_map(same).collect())
}

/// Makes the dead run this process's own.
fn take_up(home: &Home, store: &Store, record: &RunRecord, contract: Digest) -> Result<Again, RunError> {
    let failed = RecordError::from;
    if let RunState::Sealed { verdict } = record.run_state {
        return Err(refused(record, &format!("it is over: {}", verdict.as_str()), "see `cto show`"));
    }
    let end = Instant::now() + DYING;
    let live = loop {
        match store.take_up(&record.run_id).map_err(failed)? {
            Some(live) => break live,
            None if Instant::now() < end && ProcessIdentity::of(record.pid).is_none() => {
                std::thread::sleep(LOOK_EVERY);
            }
            None => return Err(refused(record, "it is going on", "`cto cancel` ends it")),
        }
    };
    let record = live.record.clone();
    let again = "run its contract again";
    match record.run_state {
        RunState::Incomplete => {}
        RunState::Sealed { verdict } => {
            return Err(refused(&record, &format!("it is over: {}", verdict.as_str()), "see `cto show`"));
        }
        RunState::GivenUp => return Err(refused(&record, "it was given up", again)),
        RunState::Unrecorded | RunState::Running => {
            return Err(refused(&record, "it ended without a seal, by its own word", again));
        }
    }
    if !record.bundle.is_dir() {
        let why = format!("its bundle is no longer at {}", record.bundle.display());
        return Err(refused(&record, &why, "put it back there, or run its contract again"));
    }
    if let Some((pid, started)) = record.held.init {
        let gone = ProcessIdentity { pid, started }.end(DYING);
        if !gone.as_ref().is_ok_and(|gone| *gone) {
            let why = format!("process {pid} of its dead attempt is still there and could not be ended");
            return Err(refused(&record, &why, "end it, then try again"));
        }
    }
    if record.held.thread.is_some() && !live.work().join(crate::workspace::WORK_FOLDER).exists() {
        let why = "its thread is on record, and the work tree that belongs to it is gone";
        return Err(refused(&record, why, "`cto cancel` gives it up; then run its contract again"));
    }
    // Its own uid, where nobody has it now: then nothing has to be handed over.
    let lease = record.held.uid.and_then(|uid| RunUid::claim_for_run(home.state(), |slot| slot == uid).ok());
    Ok(Again { live, lease, contract })
}

impl Again {
    pub(super) fn run_id(&self) -> RunId {
        self.live.record.run_id.clone()
    }

    /// The contract has to be the one that the run began with.
    pub(super) fn refuse_other(&self, asked: &Asked) -> Result<(), RunError> {
        if asked.contract.digest() == self.contract {
            return Ok(());
        }
        let why = "its contract, or a file that belongs to it, is not what it was";
        Err(refused(&self.live.record, why, "put it back as it was, or `cto cancel` the run and run it anew"))
    }
}

/// What `scene`'s run was asked with, to be kept; `None` for what holds a secret or cannot be written down.
pub(super) fn kept(request: &RunRequest, scene: &Scene) -> Option<KeptRequest> {
    let input = match &request.input {
        ContractInput::Path(path) => {
            let path = request.cwd.join(path);
            path.to_str()?;
            KeptInput::Path(path)
        }
        ContractInput::Stdin(text) => {
            Scanner::embedded().scan(text.as_bytes()).is_empty().then(|| KeptInput::Text(text.clone()))?
        }
        // A check that was killed is made again.
        ContractInput::Conformance { .. } | ContractInput::Proof(_) => return None,
    };
    request.out.as_ref().is_none_or(|out| out.to_str().is_some()).then(|| KeptRequest {
        input,
        contract: scene.asked.contract.digest(),
        cwd: request.cwd.clone(),
        engine: request.engine.clone(),
        out: request.out.clone(),
        learn: request.learn,
    })
}

/// Why there is no uid for a run, or for the replay of one.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoUid {
    /// It is not known which ones are kept.
    #[error(transparent)]
    Kept(#[from] StoreError),
    /// None of the others can be had.
    #[error(transparent)]
    Claim(#[from] UidError),
}

impl From<NoUid> for CutOff {
    fn from(error: NoUid) -> Self {
        let host =
            "Run `cto doctor`: it shows what this host can enforce, with the remedy for what it cannot.";
        match error {
            NoUid::Kept(error) => RecordError::from(error).into(),
            NoUid::Claim(error) => Self::at("identity", error, host),
        }
    }
}

/// A uid that no run has that can be gone on with.
pub(super) fn free_uid(home: &Home) -> Result<RunUidLease, NoUid> {
    let kept = Store::open(home.state())?.kept_uids()?;
    Ok(RunUid::claim_for_run(home.state(), |slot| !kept.contains(&slot))?)
}

/// Whether the engine died by itself, for the first time in this run, and its thread can be gone on with.
pub(super) fn can_start_again(
    observed: &EngineObservations,
    recording: &Recording<'_>,
    tools: &Tools<'_>,
) -> bool {
    observed.outcome == EngineOutcome::Crashed
        && observed.exit.starts_with("signal:")
        && recording.has_thread()
        && !tools.earlier.engine_died()
        && tools.stop.said().is_none()
}

fn refused(record: &RunRecord, why: &str, remedy: &str) -> RunError {
    refusal(format!("{} cannot be gone on with: {why}", record.run_id), remedy)
}

fn refusal(sentence: String, remedy: &str) -> RunError {
    RunError::Usage { sentence, remedy: remedy.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::vocab::TaskId;

    /// Of root; everybody else has one uid only.
    #[test]
    fn a_uid_that_a_run_needs_that_can_be_gone_on_with_is_given_to_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path()).unwrap();
        let kept = free_uid(&home).unwrap();
        let store = Store::open(home.state()).unwrap();
        let mut live =
            store.begin(&RunId::new(), &TaskId::parse("t").unwrap(), Path::new("/nowhere")).unwrap();
        live.update(|record| {
            record.run_state = RunState::Incomplete;
            record.held.uid = Some(kept.uid().host_uid);
        })
        .unwrap();
        let was = kept.uid();
        drop(kept);
        let other = free_uid(&home).unwrap();
        assert!(!was.own || other.uid() != was, "{was:?}");
    }
}
