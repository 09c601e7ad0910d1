//! Ending another process's run: a living one is asked to stop and seals; a dead one is given up.

use std::time::{Duration, Instant};

use super::RunError;
use super::recording::RecordError;
use crate::audit::{Act, Audit};
use crate::home::Home;
use crate::process::ask_to_stop;
use crate::store::{RunRecord, RunState, Store};
use crate::vocab::{RunId, Verdict};

/// How long a run that was asked to stop may take to seal: its grace period (at most 40 s), and the writing.
const SEALING: Duration = Duration::from_mins(2);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What became of a run that was to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cancelled {
    /// It sealed, having been asked to stop (or at the same moment, by itself).
    Sealed(Verdict),
    /// It was over before.
    Over(RunState),
    /// Its process was dead: it is given up, and its bundle stays a prefix.
    GivenUp,
    /// It was asked to stop and has not sealed so far.
    NotYet,
}

/// Ends the run that is named, or whose name begins, like `name`.
pub fn cancel(home: &Home, name: &str) -> Result<(RunId, Cancelled), RunError> {
    let store = Store::open(home.state()).map_err(RecordError::from)?;
    let record = store.find(name).map_err(|error| RunError::Usage {
        sentence: error.to_string(),
        remedy: "see `cto runs`".to_owned(),
    })?;
    let audit = Audit::new(home.state(), home.caller_account()?);
    audit.act(Act::Cancel, Some(&record.run_id), "").map_err(RecordError::from)?;
    Ok((record.run_id.clone(), end(&store, record)?))
}

fn end(store: &Store, mut record: RunRecord) -> Result<Cancelled, RecordError> {
    let until = Instant::now() + SEALING;
    let mut asked = false;
    loop {
        match record.run_state {
            RunState::Running | RunState::Incomplete => {}
            RunState::Sealed { verdict } if asked => return Ok(Cancelled::Sealed(verdict)),
            over => return Ok(Cancelled::Over(over)),
        }
        // Nobody holds it: nobody can take it up while it is given up here.
        if let Some(live) = store.take_up(&record.run_id)? {
            return match live.record.run_state.clone() {
                RunState::Incomplete => {
                    live.give_up().map(|()| Cancelled::GivenUp).map_err(RecordError::from)
                }
                RunState::Sealed { verdict } => Ok(Cancelled::Sealed(verdict)),
                over => Ok(Cancelled::Over(over)),
            };
        }
        if !asked {
            let lock = store.lock_of(&record.run_id);
            asked = ask_to_stop(record.pid, &lock)
                .map_err(|source| RecordError::Folder { path: lock.clone(), source })?;
        }
        if Instant::now() >= until {
            return Ok(Cancelled::NotYet);
        }
        std::thread::sleep(LOOK_EVERY);
        record = store.find(record.run_id.as_str())?;
    }
}
