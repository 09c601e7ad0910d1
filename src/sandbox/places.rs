//! Places below a new root: made and opened without following any link, and mounts attached there.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{Mode, OFlags, ResolveFlags, mkdirat, openat, openat2};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use super::order::{Refusal, refused};
use super::sources::{NODEV, NOSUID, filesystem};

pub(super) fn tmpfs(bytes: &str, inodes: &str, mode: &str) -> rustix::io::Result<OwnedFd> {
    filesystem("tmpfs", &[("size", bytes), ("nr_inodes", inodes), ("mode", mode)], &[], NOSUID | NODEV)
}

/// Attaches a detached mount on an existing path; a link at its end is not followed.
pub(super) fn attach(mount: &OwnedFd, on: impl AsFd, path: impl rustix::path::Arg) -> rustix::io::Result<()> {
    move_mount(mount, "", on, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

/// Attaches on an opened place.
pub(super) fn attach_at(mount: &OwnedFd, place: &OwnedFd) -> rustix::io::Result<()> {
    let empty = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, "", place, "", empty)
}

/// A detached copy of one mount; what is mounted on it comes along only with `AT_RECURSIVE`.
pub(super) fn copy(of: &OwnedFd, also: OpenTreeFlags) -> rustix::io::Result<OwnedFd> {
    let how =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    open_tree(of, "", how | also)
}

/// The path as seen from the root's descriptor.
pub(super) fn inner(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

/// Opens the place of a mount, making what is missing of it. No component may be a link.
pub(super) fn place(root: &OwnedFd, path: &Path, is_dir: bool) -> Result<OwnedFd, Refusal> {
    let fail = || refused("root", format!("make a place for /{}", path.display()));
    match beneath(root.as_fd(), path, OFlags::PATH) {
        Err(Errno::NOENT) => {}
        other => return other.map_err(fail()),
    }
    let mut at = root.try_clone().map_err(refused("root", "keep the root open"))?;
    let mut parts = path.components().peekable();
    while let Some(part) = parts.next() {
        let Component::Normal(name) = part else {
            return Err(Refusal::new("root", format!("/{} is not a plain path", path.display())));
        };
        let name = Path::new(name);
        let made = if parts.peek().is_some() || is_dir {
            mkdirat(&at, name, Mode::from_raw_mode(0o755))
        } else {
            let new = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
            openat(&at, name, new, Mode::from_raw_mode(0o644)).map(drop)
        };
        match made {
            // A read-only place may still be there already; if it is not, opening it says so.
            Ok(()) | Err(Errno::EXIST | Errno::ROFS) => {}
            Err(errno) => return Err(fail()(errno)),
        }
        at = beneath(at.as_fd(), name, OFlags::PATH).map_err(fail())?;
    }
    Ok(at)
}

pub(super) fn beneath(at: BorrowedFd<'_>, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let strict = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    openat2(at, path, flags | OFlags::CLOEXEC, Mode::empty(), strict)
}

pub(super) fn dir(at: &OwnedFd, name: &str) -> Result<(), Refusal> {
    mkdirat(at, name, Mode::from_raw_mode(0o755))
        .map_err(refused("root", format!("make the directory {name}")))
}
