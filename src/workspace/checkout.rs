//! Laying a git tree out as files: raw blobs, no filters, no attributes, modes 644 and 755, links as text.
//!
//! Everything gets one fixed time, so that equal trees give equal checkouts and no index entry is ever racy.

use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;

use git2::{IndexEntry, IndexTime, Oid, Repository, Tree};

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
    /// Whether somebody wants `index`, which costs a look at each file.
    pub(super) listing: bool,
    /// Index entries of what was laid out.
    pub(super) index: Vec<IndexEntry>,
}

impl Checkout<'_> {
    /// Lays `tree` out in `dir`; `path` is the path of `dir` in the whole, with a slash at its end or empty.
    pub(super) fn tree(
        &mut self,
        tree: &Tree<'_>,
        dir: &Dir,
        path: &mut Vec<u8>,
    ) -> Result<(), WorkspaceError> {
        for entry in tree {
            self.entry(entry.name_bytes(), entry.filemode_raw(), entry.id(), dir, path)?;
        }
        self.own(dir)
    }

    /// Lays one entry of a tree out in `dir`.
    pub(super) fn entry(
        &mut self,
        name: &[u8],
        mode: i32,
        id: Oid,
        dir: &Dir,
        path: &mut Vec<u8>,
    ) -> Result<(), WorkspaceError> {
        let length = path.len();
        path.extend_from_slice(name);
        if !is_safe_component(name) {
            return Err(WorkspaceError::unsafe_name(path));
        }
        let name = OsStr::from_bytes(name);
        match mode {
            FOLDER => {
                path.push(b'/');
                let tree =
                    self.repo.find_tree(id).map_err(WorkspaceError::git("read a folder of the tree"))?;
                let inner =
                    dir.create_dir(name, 0o755).map_err(WorkspaceError::files("check out a folder"))?;
                self.tree(&tree, &inner, path)?;
            }
            LINK => self.link(name, id, dir, path)?,
            // Git itself checks every other regular mode (664 in old repositories) out as 644.
            mode if mode & 0o170_000 == 0o100_000 => self.file(name, mode, id, dir, path)?,
            mode => return Err(WorkspaceError::UnreadableForm { path: shown_bytes(path), mode }),
        }
        path.truncate(length);
        Ok(())
    }

    fn file(
        &mut self,
        name: &OsStr,
        mode: i32,
        id: Oid,
        dir: &Dir,
        path: &[u8],
    ) -> Result<(), WorkspaceError> {
        let blob = self.repo.find_blob(id).map_err(WorkspaceError::git("read a file of the tree"))?;
        let executable = mode & 0o100 != 0;
        let files = || WorkspaceError::files("check out a file");
        let mut file = dir.create_file(name, if executable { 0o755 } else { 0o644 }).map_err(files())?;
        file.write_all(blob.content()).map_err(|source| WorkspaceError::Place {
            act: "check out",
            path: shown_bytes(path).into(),
            source,
        })?;
        drop(file);
        self.finish(name, if executable { EXECUTABLE } else { PLAIN }, id, dir, path)
    }

    fn link(&mut self, name: &OsStr, id: Oid, dir: &Dir, path: &[u8]) -> Result<(), WorkspaceError> {
        let blob = self.repo.find_blob(id).map_err(WorkspaceError::git("read a link of the tree"))?;
        dir.create_link(name, blob.content()).map_err(WorkspaceError::files("check out a link"))?;
        self.finish(name, LINK, id, dir, path)
    }

    fn finish(
        &mut self,
        name: &OsStr,
        mode: i32,
        id: Oid,
        dir: &Dir,
        path: &[u8],
    ) -> Result<(), WorkspaceError> {
        let files = || WorkspaceError::files("finish a checked out file");
        if self.uid.own {
            dir.give(name, self.uid.host_uid, self.uid.host_gid).map_err(files())?;
        }
        dir.set_times(name, (self.time, 0)).map_err(files())?;
        if self.listing
            && let Some(status) = dir.status(name).map_err(files())?
        {
            self.index.push(index_entry(&status, mode, id, path, self.uid.inside));
        }
        Ok(())
    }

    pub(super) fn own(&self, dir: &Dir) -> Result<(), WorkspaceError> {
        if self.uid.own {
            dir.give_itself(self.uid.host_uid, self.uid.host_gid)
                .map_err(WorkspaceError::files("hand a folder to the payload"))?;
        }
        Ok(())
    }
}

/// As git inside the sandbox will see the file: overlayfs keeps inode, times and size of a lower file, git does
/// not compare devices, and the owner is the inside uid. The index format cuts each number to 32 bits.
fn index_entry(status: &Status, mode: i32, id: Oid, path: &[u8], inside: u32) -> IndexEntry {
    let cut = |number: u64| u32::try_from(number & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    let time =
        |(seconds, nanos): (i64, u32)| IndexTime::new(i32::try_from(seconds).unwrap_or(i32::MAX), nanos);
    IndexEntry {
        ctime: time(status.changed),
        mtime: time(status.modified),
        dev: cut(status.device),
        ino: cut(status.inode),
        mode: mode.unsigned_abs(),
        uid: inside,
        gid: inside,
        file_size: cut(status.size),
        id,
        flags: 0,
        flags_extended: 0,
        path: path.to_vec(),
    }
}
