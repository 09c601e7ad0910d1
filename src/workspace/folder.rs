//! A person's own folder: what stood in it at a time, and a copy of it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::names::is_git_like;
use super::{RunUid, WorkspaceError};
use crate::beneath::{BeneathError, Dir, Entry, FileKind, Status, Visit, WalkLimits};

/// Bounds of a folder; each level of a walk holds a descriptor.
const LIMITS: WalkLimits = WalkLimits { entries: 5_000_000, levels: 200 };

/// What stood in a folder, by path. Of what has the same stamp later, nobody has changed anything: the time of
/// the last change is the kernel's, and no program can set it.
pub(super) type Stamps = HashMap<Vec<u8>, Stamp>;

/// See [`Stamps`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) kind: FileKind,
    /// `None` for a folder, whose own changes are those of its names.
    file: Option<(u64, u64, u32, (i64, u32))>,
}

impl Stamp {
    pub(super) fn of(status: &Status) -> Self {
        let file = (status.inode, status.size, status.mode, status.changed);
        Self { kind: status.kind, file: (status.kind != FileKind::Directory).then_some(file) }
    }
}

/// The stamps of everything that a patch could touch. What the caller may not look into is left out.
pub(super) fn stamps(dir: &Dir) -> Result<Stamps, WorkspaceError> {
    let mut found = Stamps::new();
    dir.walk(LIMITS, &mut |dir, path, entry| {
        if is_git_like(entry.name.as_bytes()) {
            return Ok(Visit::Skip);
        }
        found.insert(path.as_os_str().as_bytes().to_vec(), Stamp::of(&entry.status));
        next(dir, entry)
    })
    .map_err(too_many)?;
    Ok(found)
}

fn next(dir: &Dir, entry: &Entry) -> Result<Visit, WorkspaceError> {
    let goes_in = entry.status.kind == FileKind::Directory && dir.can_enter(&entry.name)?;
    Ok(if goes_in { Visit::Descend } else { Visit::Skip })
}

fn too_many(error: WorkspaceError) -> WorkspaceError {
    match error {
        WorkspaceError::Files { source: BeneathError::TooMany { path, max, what }, .. } => {
            WorkspaceError::ByHand {
                sentence: format!("the folder holds more than {max} {what}, at {}", path.display()),
                remedy: "name a folder further down",
            }
        }
        other => other,
    }
}

/// Copies folders, files and links of `from` into the empty `to`, for the payload: content, permission bits and
/// times. Sockets, pipes, devices and what the caller may not read are left out.
pub(super) fn copy(from: &Dir, to: &Dir, uid: RunUid) -> Result<(), WorkspaceError> {
    let files = || WorkspaceError::files("copy the folder");
    let mut folders: Vec<(PathBuf, Status)> = Vec::new();
    from.walk(LIMITS, &mut |dir, path, entry| {
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => to.open_dir(parent),
            _ => to.again(),
        };
        let parent = parent.map_err(files())?;
        let name = entry.name.as_os_str();
        match entry.status.kind {
            FileKind::Directory if dir.can_enter(name)? => {
                // Open until everything is in it.
                parent.create_dir(name, 0o700).map_err(files())?;
                folders.push((path.to_owned(), entry.status));
                return Ok(Visit::Descend);
            }
            FileKind::File if !copy_file(dir, &parent, entry)? => return Ok(Visit::Skip),
            FileKind::File => {}
            FileKind::Link => {
                parent.create_link(name, &dir.read_link(name).map_err(files())?).map_err(files())?;
            }
            _ => return Ok(Visit::Skip),
        }
        if uid.own {
            parent.give(name, uid.host_uid, uid.host_gid).map_err(files())?;
        }
        parent.set_times(name, entry.status.modified).map_err(files())?;
        Ok(Visit::Skip)
    })
    .map_err(too_many)?;
    for (path, status) in folders.iter().rev() {
        finish(&to.open_dir(path).map_err(files())?, status, uid)?;
    }
    finish(to, &from.own_status().map_err(files())?, uid)
}

fn finish(dir: &Dir, status: &Status, uid: RunUid) -> Result<(), WorkspaceError> {
    let files = || WorkspaceError::files("finish a copied folder");
    if uid.own {
        dir.give_itself(uid.host_uid, uid.host_gid).map_err(files())?;
    }
    dir.set_own_mode_and_times(status.mode, status.modified).map_err(files())
}

/// Whether there was a file to copy that the caller may read.
fn copy_file(from: &Dir, to: &Dir, entry: &Entry) -> Result<bool, WorkspaceError> {
    let name: &OsStr = &entry.name;
    let mut source = match from.open_file(name) {
        Ok(file) => file,
        Err(BeneathError::NotRegular { .. }) => return Ok(false),
        Err(error) if matches!(error.kind(), Some(ErrorKind::PermissionDenied | ErrorKind::NotFound)) => {
            return Ok(false);
        }
        Err(error) => return Err(WorkspaceError::files("copy a file")(error)),
    };
    let mut copy =
        to.create_file(name, entry.status.mode & 0o777).map_err(WorkspaceError::files("copy a file"))?;
    std::io::copy(&mut source, &mut copy)
        .map(|_| true)
        .map_err(WorkspaceError::place("copy", Path::new(name)))
}
