//! Single files of the base, read as data.

use std::path::{Component, Path};

use git2::ErrorCode;

use super::git::{Scratch, oid};
use super::{Base, WorkspaceError};
use crate::beneath::BeneathError;

/// The bytes of a regular file of the base tree, of at most `max` bytes; `None` when there is no such file.
/// Links are not followed.
pub fn read_base_file(base: &Base, path: &str, max: u64) -> Result<Option<Vec<u8>>, WorkspaceError> {
    let git = || WorkspaceError::git("read a file of the base tree");
    let scratch = Scratch::over(Some(&base.git_dir)).map_err(git())?;
    let tree = oid(&base.tree).and_then(|id| scratch.repo().find_tree(id)).map_err(git())?;
    let path = Path::new(path);
    if !path.components().all(|part| matches!(part, Component::Normal(_))) {
        return Ok(None);
    }
    let entry = match tree.get_path(path) {
        Ok(entry) => entry,
        Err(error) if error.code() == ErrorCode::NotFound => return Ok(None),
        Err(error) => return Err(git()(error)),
    };
    if entry.filemode_raw() & 0o170_000 != 0o100_000 {
        return Ok(None);
    }
    let odb = scratch.repo().odb().map_err(git())?;
    let (size, _) = odb.read_header(entry.id()).map_err(git())?;
    if u64::try_from(size).map_or(true, |size| size > max) {
        let source = BeneathError::TooLarge { path: path.into(), max };
        return Err(WorkspaceError::files("read a file of the base tree")(source));
    }
    Ok(Some(odb.read(entry.id()).map_err(git())?.data().to_vec()))
}

/// Whether the base tree has something at `path`, whatever it is.
pub fn base_holds(base: &Base, path: &str) -> Result<bool, WorkspaceError> {
    let git = || WorkspaceError::git("look into the base tree");
    let scratch = Scratch::over(Some(&base.git_dir)).map_err(git())?;
    let tree = oid(&base.tree).and_then(|id| scratch.repo().find_tree(id)).map_err(git())?;
    match tree.get_path(Path::new(path)) {
        Ok(_) => Ok(true),
        Err(error) if error.code() == ErrorCode::NotFound => Ok(false),
        Err(error) => Err(git()(error)),
    }
}
