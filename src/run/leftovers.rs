//! What a dead harness left: found by its lock, removed by whoever comes next.

use std::path::Path;

use super::RunError;
use super::recording::RecordError;
use crate::audit::{Act, Audit};
use crate::beneath::Dir;
use crate::home::Home;
use crate::store::Store;
use crate::vocab::RunId;

/// Removes what dead runs left in the state folder and marks them incomplete. Returns their ids.
///
/// A bundle that a dead run began is evidence and stays: it verifies as incomplete.
pub fn clean_up(home: &Home) -> Result<Vec<RunId>, RunError> {
    Ok(remove_all(home)?)
}

fn remove_all(home: &Home) -> Result<Vec<RunId>, RecordError> {
    let audit = Audit::new(home.state(), home.caller_account()?);
    let mut removed = Vec::new();
    for dead in Store::open(home.state())?.reap()? {
        audit.act(Act::CleanUp, Some(&dead.record.run_id), dead.work.display().to_string())?;
        remove_tree(&dead.work)?;
        removed.push(dead.record.run_id);
    }
    Ok(removed)
}

/// Removes a folder of leftovers with everything in it, unreadable folders and odd objects included.
pub(super) fn remove_tree(work: &Path) -> Result<(), RecordError> {
    let failed =
        |why: String| RecordError::Folder { path: work.to_owned(), source: std::io::Error::other(why) };
    let (Some(parent), Some(name)) = (work.parent(), work.file_name()) else { return Ok(()) };
    let parent = Dir::open_root(parent).map_err(|error| failed(error.to_string()))?;
    match parent.remove_tree(name) {
        Ok(()) => Ok(()),
        Err(error) if error.is_absent() => Ok(()),
        Err(error) => Err(failed(error.to_string())),
    }
}
