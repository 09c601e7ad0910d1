//! Everything that a sandbox's root is made of, opened by the stub.
//!
//! Each source becomes a detached copy of its mount tree, already read-only, nosuid and nodev where it has to
//! be. This is done with the caller's identity, because the payload's may not reach the places (a state folder
//! is 0700), and as root of the namespace that owns the mounts: a path in another mount namespace cannot be
//! cloned, but a detached tree can be attached anywhere.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, open_tree,
};
use serde::{Deserialize, Serialize};

use super::order::{Refusal, refused};
use super::policy::{Bind, SandboxPolicy};
use super::sys;
use crate::workspace::{TreeForm, Upper};

pub(super) const RDONLY: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_RDONLY;
pub(super) const NOSUID: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID;
pub(super) const NODEV: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NODEV;
pub(super) const NOEXEC: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOEXEC;

/// A detached mount, and where it belongs.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) mount: OwnedFd,
    pub(super) to: PathBuf,
    pub(super) is_dir: bool,
}

/// The layers of the work tree.
#[derive(Debug)]
pub(super) enum TreeSource {
    /// Lowers, uppermost first, and the directory with `upper` and `work` (`None`: a tmpfs is made for it).
    Overlay { lowers: Vec<OwnedFd>, upper: Option<OwnedFd> },
    /// Layers without an upper.
    Layers(Vec<OwnedFd>),
    /// One mount as it is.
    Plain(OwnedFd),
}

/// What tells the descriptors of sources apart, where they travel.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Shape {
    tree: Option<TreeShape>,
    /// For each bind of the policy, in its order, whether it is a directory.
    directories: Vec<bool>,
}

#[derive(Debug, Serialize, Deserialize)]
enum TreeShape {
    Overlay { lowers: usize, upper: bool },
    Layers(usize),
    Plain,
}

/// Everything that a policy names, in the order in which it is laid.
#[derive(Debug)]
pub(super) struct Sources {
    /// The work tree.
    pub(super) tree: Option<TreeSource>,
    /// Writable binds by policy.
    pub(super) writable: Vec<Piece>,
    /// Read-only binds by policy.
    pub(super) read_only: Vec<Piece>,
    /// Single files, laid last.
    pub(super) files: Vec<Piece>,
}

impl Sources {
    /// Opens everything that `policy` names.
    pub(super) fn open(policy: &SandboxPolicy) -> Result<Self, Refusal> {
        let open = |list: &[Bind], flags| -> Result<Vec<Piece>, Refusal> {
            list.iter().map(|bind| piece(&bind.from, &bind.to, flags)).collect()
        };
        let writable = open(&policy.writable, NOSUID | NODEV)?;
        let read_only = open(&policy.read_only, RDONLY | NOSUID | NODEV)?;
        let files = open(&policy.files, RDONLY | NOSUID | NODEV)?;
        Ok(Self { tree: tree(policy)?, writable, read_only, files })
    }

    /// As descriptors, and what tells them apart.
    pub(super) fn into_parts(self) -> (Shape, Vec<OwnedFd>) {
        let mut fds = Vec::new();
        let tree = self.tree.map(|tree| match tree {
            TreeSource::Overlay { lowers, upper } => {
                let shape = TreeShape::Overlay { lowers: lowers.len(), upper: upper.is_some() };
                fds.extend(lowers.into_iter().chain(upper));
                shape
            }
            TreeSource::Layers(layers) => {
                let shape = TreeShape::Layers(layers.len());
                fds.extend(layers);
                shape
            }
            TreeSource::Plain(mount) => {
                fds.push(mount);
                TreeShape::Plain
            }
        });
        let pieces = self.writable.into_iter().chain(self.read_only).chain(self.files);
        let (directories, mounts): (Vec<bool>, Vec<OwnedFd>) =
            pieces.map(|piece| (piece.is_dir, piece.mount)).unzip();
        fds.extend(mounts);
        (Shape { tree, directories }, fds)
    }

    /// What [`Sources::into_parts`] took apart; `None` where the descriptors are not those of `policy`.
    pub(super) fn from_parts(
        policy: &SandboxPolicy,
        shape: &Shape,
        mut fds: impl Iterator<Item = OwnedFd>,
    ) -> Option<Self> {
        let mut some = |count: usize| -> Option<Vec<OwnedFd>> {
            let taken: Vec<OwnedFd> = fds.by_ref().take(count).collect();
            Some(taken).filter(|taken| taken.len() == count)
        };
        let tree = match &shape.tree {
            None => None,
            Some(TreeShape::Overlay { lowers, upper }) => Some(TreeSource::Overlay {
                lowers: some(*lowers)?,
                upper: if *upper { Some(some(1)?.pop()?) } else { None },
            }),
            Some(TreeShape::Layers(count)) => Some(TreeSource::Layers(some(*count)?)),
            Some(TreeShape::Plain) => Some(TreeSource::Plain(some(1)?.pop()?)),
        };
        let mut directories = shape.directories.iter();
        let mut pieces = |binds: &[Bind]| -> Option<Vec<Piece>> {
            let mounts = some(binds.len())?.into_iter().zip(binds);
            let piece = |(mount, bind): (OwnedFd, &Bind)| {
                Some(Piece { mount, to: bind.to.clone(), is_dir: *directories.next()? })
            };
            mounts.map(piece).collect()
        };
        let writable = pieces(&policy.writable)?;
        let read_only = pieces(&policy.read_only)?;
        let files = pieces(&policy.files)?;
        fds.next().is_none().then_some(Self { tree, writable, read_only, files })
    }
}

fn tree(policy: &SandboxPolicy) -> Result<Option<TreeSource>, Refusal> {
    let Some(tree) = &policy.tree else { return Ok(None) };
    let layer = |path: &PathBuf, flags| {
        clone_mount(path, flags).map_err(refused("tree", format!("open {}", path.display())))
    };
    let lowers = |lowers: &[PathBuf]| -> Result<Vec<OwnedFd>, Refusal> {
        lowers.iter().map(|path| layer(path, RDONLY | NOSUID | NODEV)).collect()
    };
    Ok(Some(match &tree.form {
        TreeForm::Overlay { lowers: below, upper } => TreeSource::Overlay {
            lowers: lowers(below)?,
            upper: match upper {
                Upper::Disk { dir } => Some(layer(dir, NOSUID | NODEV)?),
                Upper::Tmpfs { .. } => None,
            },
        },
        TreeForm::ReadOnly { lowers: below } => match below.as_slice() {
            [one] => TreeSource::Plain(layer(one, RDONLY | NOSUID | NODEV)?),
            several => TreeSource::Layers(lowers(several)?),
        },
        TreeForm::Private { dir } => TreeSource::Plain(layer(dir, NOSUID | NODEV)?),
    }))
}

/// A detached copy of what is mounted at `from`.
pub(super) fn piece(from: &Path, to: &Path, flags: MountAttrFlags) -> Result<Piece, Refusal> {
    let act = || format!("open {}", from.display());
    let mount = clone_mount(from, flags).map_err(refused("root", act()))?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&mount).map_err(refused("root", act()))?.st_mode);
    if kind == FileType::Symlink {
        return Err(Refusal::new("root", format!("{}: is a symbolic link", act())));
    }
    Ok(Piece { mount, to: to.to_owned(), is_dir: kind == FileType::Directory })
}

/// A detached, private copy of the mounts at `path`, with `flags` on all of them.
fn clone_mount(path: &Path, flags: MountAttrFlags) -> io::Result<OwnedFd> {
    let how = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE
        | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
    let mount = open_tree(CWD, path, how)?;
    sys::mount_setattr(mount.as_fd(), u64::from(flags.bits()), true)?;
    Ok(mount)
}

/// A new, detached file system.
pub(super) fn filesystem(
    kind: &str,
    options: &[(&str, &str)],
    switches: &[&str],
    flags: MountAttrFlags,
) -> rustix::io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (name, value) in options {
        fsconfig_set_string(context.as_fd(), *name, *value)?;
    }
    for name in switches {
        fsconfig_set_flag(context.as_fd(), *name)?;
    }
    fsconfig_create(context.as_fd())?;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, flags)
}
