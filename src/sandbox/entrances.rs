//! The ways into the control group that the harness made: descriptors, so that nothing inside has to see its files.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use nix::sched::CloneFlags;

use super::order::{Refusal, refused};

/// What the order brought along; nothing where there is no group.
#[derive(Debug)]
pub(super) enum Entrances {
    /// Version 2: PID 1 is cloned into it.
    Folder(OwnedFd),
    /// Version 2, in PID 1: it was.
    Born,
    /// Version 1: one file a hierarchy, which PID 1 writes itself into.
    Files(Vec<OwnedFd>),
}

impl Entrances {
    pub(super) fn of(mut fds: Vec<OwnedFd>, clone_into: bool) -> Self {
        match fds.pop() {
            Some(folder) if clone_into => Self::Folder(folder),
            Some(last) => {
                fds.push(last);
                Self::Files(fds)
            }
            None => Self::Files(Vec::new()),
        }
    }

    /// The folder that PID 1 is cloned into.
    pub(super) fn folder(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Folder(folder) => Some(folder.as_fd()),
            Self::Files(_) | Self::Born => None,
        }
    }

    /// Whether there is a group.
    pub(super) fn is_none(&self) -> bool {
        matches!(self, Self::Files(files) if files.is_empty())
    }

    /// In PID 1, before anything of the policy: from here on it is counted, with everything that it starts. The stub,
    /// the harness and the companion are not in the group, so that it is empty when PID 1 is dead.
    pub(super) fn enter(self) -> Result<(), Refusal> {
        if self.is_none() {
            return Ok(());
        }
        if let Self::Files(files) = self {
            for file in files {
                // Itself, whatever its pid is on either side.
                File::from(file).write_all(b"0").map_err(refused("cgroup", "enter the control group"))?;
            }
        }
        // The group is the root of what is seen inside; its name, which holds the harness's pid, is not.
        nix::sched::unshare(CloneFlags::CLONE_NEWCGROUP)
            .map_err(refused("cgroup", "hide the control group's name"))
    }
}
