//! What a dead process left: found by its lock, removed by whoever comes next.

use super::RunError;
use super::recording::RecordError;
use crate::audit::{Act, Audit};
use crate::home::Home;
use crate::store::Store;
use crate::vocab::RunId;
use crate::workspace::remove_half_made_bases;

/// Removes what dead processes left and writes down how their runs ended. Returns the ids of those runs.
///
/// A bundle that a dead run began is evidence and stays: it verifies as incomplete. Where nobody died, this is one
/// look at one folder.
pub fn clean_up(home: &Home) -> Result<Vec<RunId>, RunError> {
    Ok(remove_all(home)?)
}

fn remove_all(home: &Home) -> Result<Vec<RunId>, RecordError> {
    let dead = Store::open(home.state())?.reap()?;
    if dead.is_empty() {
        return Ok(Vec::new());
    }
    let audit = Audit::new(home.state(), home.caller_account()?);
    let mut removed = Vec::new();
    for dead in dead {
        let run_id = dead.record.map(|record| record.run_id);
        audit.act(Act::CleanUp, run_id.as_ref(), dead.folder.path().display().to_string())?;
        dead.folder.remove()?;
        removed.extend(run_id);
    }
    // Who was killed may have been laying out a base.
    remove_half_made_bases(home.cache()).map_err(|error| RecordError::Program(error.to_string()))?;
    Ok(removed)
}
