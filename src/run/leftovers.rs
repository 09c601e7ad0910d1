//! What a dead process left: found by its lock, removed by whoever comes next.

use super::RunError;
use super::recording::RecordError;
use crate::audit::{Act, Audit};
use crate::broker::spend::{Ask, Book, Statement};
use crate::home::Home;
use crate::store::Store;
use crate::vocab::{RunId, Timestamp};
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
        if let Some(run_id) = &run_id {
            close_account(home, run_id);
        }
        dead.folder.remove()?;
        removed.extend(run_id);
    }
    // Who was killed may have been laying out a base.
    remove_half_made_bases(home.cache()).map_err(|error| RecordError::Program(error.to_string()))?;
    Ok(removed)
}

/// What a dead run holds open in the spend ledger is unsettled from now on. Done before its folder goes, so that it is
/// done again where this process dies, too. A ledger that cannot be written keeps counting it as reserved, which is as
/// much, and says so itself to whoever wants to spend.
fn close_account(home: &Home, run: &RunId) {
    if Statement::read(home.state()).is_ok_and(|ledger| ledger.holds(run)) {
        let abandoned = Book::open(home.state(), Timestamp::now)
            .and_then(|mut book| book.commit(&[Ask::Abandon(run.clone())]));
        drop(abandoned);
    }
}
