//! Whose stub it is, and what follows from that.
//!
//! Root makes a sandbox out of what is his. An ordinary user first becomes root of a namespace of his own: there he may
//! clone mounts, make a devpts and write the inner map, and from there on both paths are one.

use nix::sched::CloneFlags;
use nix::unistd::{Uid, getegid, geteuid};
use rustix::mount::{MountPropagationFlags, mount_change};

use super::birth::write_maps;
use super::order::{Refusal, refused};
use crate::workspace::RunUid;

/// Who started the harness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    /// Root: of the host, or of a container.
    Root,
    /// Anybody else.
    Ordinary,
}

impl Caller {
    /// Of this process, which is settled as that from here on.
    pub(super) fn settle() -> Result<Self, Refusal> {
        if Uid::effective().is_root() {
            return Ok(Self::Root);
        }
        become_root_of_a_namespace().map(|()| Self::Ordinary)
    }

    /// Whether a sandbox of `uid` can be made of what he has. A root without a second uid makes everything anew in a
    /// namespace of his own: there it is his to clone.
    pub(super) fn suits(self, uid: RunUid) -> bool {
        uid.own == (self == Self::Root)
    }

    /// Gives up what a payload of `uid` must not have of him.
    pub(super) fn give_up(self, uid: RunUid) -> Result<(), Refusal> {
        // An ordinary user may not, and keeps his own groups; he can have nobody else's uid. Of a root without a second uid
        // it is tried only: there the payload is the caller, and the evidence says so.
        let groups = nix::unistd::setgroups(&[]).map_err(refused("identity", "give up supplementary groups"));
        match self {
            _ if uid.own => groups,
            Self::Root => become_root_of_a_namespace(),
            Self::Ordinary => Ok(()),
        }
    }
}

fn become_root_of_a_namespace() -> Result<(), Refusal> {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    nix::sched::unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)
        .map_err(refused("namespaces", "unshare user and mount namespace"))?;
    let own = RunUid { inside: 0, host_uid: uid, host_gid: gid, own: false };
    write_maps("/proc/self", 0, uid, own)?;
    // The ids did not change, only their names; the kernel's parent-death signal still stands. What the caller mounts and
    // takes down while a stub waits is seen by it where his mounts are shared; nothing goes the other way.
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .map_err(refused("namespaces", "take mounts from the caller only"))
}
