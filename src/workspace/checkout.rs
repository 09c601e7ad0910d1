//! Laying a git tree out as files: raw blobs, no filters, no attributes, modes 644 and 755, links as text.
//!
//! Everything gets one fixed time, so that equal trees give equal checkouts and no index entry is ever racy.

use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;

use git2::{Blob, Oid, Repository, Tree};

use super::WorkspaceError;
use super::names::is_safe_component;
use super::tree::{EXECUTABLE, FOLDER, LINK, PLAIN};
use super::uid::RunUid;
use crate::beneath::{Dir, Status};
use crate::vocab::shown_bytes;

/// The time of every file of a base: 2020-01-01T00:00:00Z, long before any index that lists it.
pub(super) const BASE_TIME: i64 = 1_577_836_800;
/// The time of files that a patch brought: a day later, so that build tools see them as newer.
pub(super) const PATCHED_TIME: i64 = BASE_TIME + 86_400;

/// Lays trees out below a directory.
pub(super) struct Checkout<'a> {
    pub(super) repo: &'a Repository,
    pub(super) uid: RunUid,
    pub(super) time: i64,
}

impl Checkout<'_> {
    /// Lays `tree` out in `dir`; `path` is the path of `dir` in the whole, with a slash at its end or empty.
    pub(super) fn tree(&self, tree: &Tree<'_>, dir: &Dir, path: &mut Vec<u8>) -> Result<(), WorkspaceError> {
        for entry in tree {
            self.entry(entry.name_bytes(), entry.filemode_raw(), entry.id(), dir, path)?;
        }
        self.own(dir)
    }

    /// Lays one entry of a tree out in `dir`.
    pub(super) fn entry(
        &self,
        name: &[u8],
        mode: i32,
        id: Oid,
        dir: &Dir,
        path: &mut Vec<u8>,
    ) -> Result<(), WorkspaceError> {
        let length = path.len();
        path.extend_from_slice(checked(name, path)?);
        if mode == FOLDER {
            path.push(b'/');
            let tree = self.folder(id)?;
            let inner = dir
                .create_dir(OsStr::from_bytes(name), 0o755)
                .map_err(WorkspaceError::files("check out a folder"))?;
            self.tree(&tree, &inner, path)?;
        } else {
            form(mode, path)?;
            self.leaf(name, mode, &self.blob(id)?, dir, path)?;
        }
        path.truncate(length);
        Ok(())
    }

    /// A folder of the tree.
    pub(super) fn folder(&self, id: Oid) -> Result<Tree<'_>, WorkspaceError> {
        self.repo.find_tree(id).map_err(WorkspaceError::git("read a folder of the tree"))
    }

    /// What stands in a file or link.
    pub(super) fn blob(&self, id: Oid) -> Result<Blob<'_>, WorkspaceError> {
        self.repo.find_blob(id).map_err(WorkspaceError::git("read a file of the tree"))
    }

    /// Lays out what is no folder, with a name that was [`checked`] and a mode that has a [`form`]; what it then is, unless
    /// it is a link. All about a file is done through the descriptor that made it: no name is looked up again.
    pub(super) fn leaf(
        &self,
        name: &[u8],
        mode: i32,
        blob: &Blob<'_>,
        dir: &Dir,
        path: &[u8],
    ) -> Result<Option<Status>, WorkspaceError> {
        let files = || WorkspaceError::files("check out a file");
        let name = OsStr::from_bytes(name);
        let owner = self.uid.own.then_some((self.uid.host_uid, self.uid.host_gid));
        if mode == LINK {
            dir.create_link(name, blob.content()).map_err(files())?;
            if let Some((uid, gid)) = owner {
                dir.give(name, uid, gid).map_err(files())?;
            }
            dir.set_times(name, (self.time, 0)).map_err(files())?;
            return Ok(None);
        }
        let mut file =
            dir.create_file(name, if is_executable(mode) { 0o755 } else { 0o644 }).map_err(files())?;
        file.write_all(blob.content()).map_err(|source| WorkspaceError::Place {
            act: "check out",
            path: shown_bytes(path).into(),
            source,
        })?;
        Dir::finish_file(&file, name, owner, (self.time, 0)).map_err(files()).map(Some)
    }

    pub(super) fn own(&self, dir: &Dir) -> Result<(), WorkspaceError> {
        if self.uid.own {
            dir.give_itself(self.uid.host_uid, self.uid.host_gid)
                .map_err(WorkspaceError::files("hand a folder to the payload"))?;
        }
        Ok(())
    }
}

/// `name`, if a checkout may have it; `folder` is the path of where it stands.
pub(super) fn checked<'n>(name: &'n [u8], folder: &[u8]) -> Result<&'n [u8], WorkspaceError> {
    if is_safe_component(name) {
        return Ok(name);
    }
    Err(WorkspaceError::unsafe_name(&[folder, name].concat()))
}

/// The form that the index knows of a file or link with `mode`.
pub(super) fn form(mode: i32, path: &[u8]) -> Result<i32, WorkspaceError> {
    match mode {
        LINK => Ok(LINK),
        // Git itself checks every other regular mode (664 in old repositories) out as 644.
        mode if mode & 0o170_000 == 0o100_000 => Ok(if is_executable(mode) { EXECUTABLE } else { PLAIN }),
        mode => Err(WorkspaceError::UnreadableForm { path: shown_bytes(path), mode }),
    }
}

const fn is_executable(mode: i32) -> bool {
    mode & 0o100 != 0
}
