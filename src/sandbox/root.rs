//! The new root: what stands already (`standing`) and what the policy adds, put together with the payload's identity
//! out of opened sources, then pivoted into.
//!
//! Nothing of the host stays reachable: what is not attached here goes away with the old root. Mount points
//! are made and opened below the new root without following any link, because parts of a work tree may have
//! been written by an engine.

use std::collections::BTreeSet;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, mkdirat};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, OpenTreeFlags, UnmountFlags, mount_change, unmount};

use super::order::{Refusal, refused};
use super::places::{attach, attach_at, beneath, copy, dir, inner, place, tmpfs};
use super::policy::SandboxPolicy;
use super::sources::{NODEV, NOEXEC, NOSUID, Piece, RDONLY, Sources, TreeSource, filesystem};
use super::standing::{Covers, ROOT_BYTES, Standing};
use super::sys;
use crate::workspace::{TreeForm, Upper};

/// Files and directories on the private `/tmp`, for each 4 KiB of its size, within bounds.
const INODES: std::ops::RangeInclusive<u64> = 1024..=1_048_576;

/// A new root on its way: what every sandbox has stands, and `/proc`.
pub(super) struct Begun {
    /// Where layers of the work tree are attached; it goes away with the old root.
    scratch: OwnedFd,
    root: OwnedFd,
}

/// Begins with what needs no policy.
pub(super) fn begin(standing: Standing) -> Result<Begun, Refusal> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(refused("root", "make mounts private"))?;
    let scratch = tmpfs(ROOT_BYTES, "4096", "0700").map_err(refused("root", "make a tmpfs"))?;
    attach(&scratch, CWD, "/tmp").map_err(refused("root", "attach a tmpfs on /tmp"))?;
    dir(&scratch, "root")?;
    let root = standing.root;
    attach(&root, &scratch, "root").map_err(refused("root", "attach the new root"))?;
    proc_fs(&root, &standing.covers)?;
    Ok(Begun { scratch, root })
}

/// Adds what the policy names and makes the new root `/`; returns when nothing of the old one is left. The value is how
/// many read-only folders could not be laid behind an overlay, so that sockets in them can be reached.
pub(super) fn enter(begun: Begun, sources: Sources, policy: &SandboxPolicy) -> Result<usize, Refusal> {
    let Begun { scratch, root } = begun;
    let Sources { tree, writable, mut read_only, files } = sources;
    private_space(&root, policy)?;
    if let Some(source) = tree {
        let pieces = writable.iter().chain(&read_only).chain(&files);
        work_tree(&scratch, &root, source, policy, pieces)?;
    }
    let mut pins = Pins {
        root: &root,
        tree: policy.tree.as_ref().map(|tree| tree.at.as_path()),
        pinned: BTreeSet::new(),
    };
    let open = read_only.iter_mut().filter(|piece| piece.is_dir).enumerate();
    let open = open.map(|(index, piece)| shut_sockets(&scratch, index, piece)).filter(|shut| !shut).count();
    writable.iter().chain(&read_only).chain(&files).try_for_each(|piece| pins.lay(piece))?;
    let closed = (RDONLY | NOSUID | NODEV).bits();
    sys::mount_setattr(root.as_fd(), u64::from(closed), false)
        .map_err(refused("root", "make the root read-only"))?;
    pivot(&root).map_err(refused("root", "pivot into the new root"))?;
    Ok(open)
}

/// Puts an overlay over a read-only folder: seen through one, a socket is another object than the one that somebody
/// outside listens on, so that nobody can connect to it. A read-only mount alone does not hinder that. False where
/// this host has no overlay; the folder is then laid as it is.
fn shut_sockets(scratch: &OwnedFd, index: usize, piece: &mut Piece) -> bool {
    let (folder, empty) = (format!("r{index}"), format!("e{index}"));
    let covered = || -> rustix::io::Result<OwnedFd> {
        for name in [&folder, &empty] {
            mkdirat(scratch, name.as_str(), Mode::from_raw_mode(0o755))?;
        }
        // Where the overlay is refused, it is moved on from there to its place.
        attach(&piece.mount, scratch, &folder)?;
        // Without an upper layer there have to be two lower ones.
        rustix::process::fchdir(scratch)?;
        let layers = format!("{folder}:{empty}");
        filesystem("overlay", &[("lowerdir", &layers)], &["userxattr"], RDONLY | NOSUID | NODEV)
    };
    covered().map(|overlay| piece.mount = overlay).is_ok()
}

fn pivot(root: &OwnedFd) -> rustix::io::Result<()> {
    rustix::process::fchdir(root)?;
    // Both on one place: the old root ends up on top of the new one, and is taken off again.
    rustix::process::pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")
}

fn sized(bytes: u64, mode: &str) -> rustix::io::Result<OwnedFd> {
    let inodes = (bytes / 4096).clamp(*INODES.start(), *INODES.end());
    tmpfs(&bytes.to_string(), &inodes.to_string(), mode)
}

/// Lays what the policy hands in over everything else. Inside the work tree each folder above it becomes a mount
/// point of itself, so that it cannot be renamed away from under what was laid.
struct Pins<'a> {
    root: &'a OwnedFd,
    tree: Option<&'a Path>,
    pinned: BTreeSet<PathBuf>,
}

impl Pins<'_> {
    fn lay(&mut self, piece: &Piece) -> Result<(), Refusal> {
        let on = place(self.root, inner(&piece.to), piece.is_dir)?;
        let tree = self.tree;
        let below = |folder: &&Path| tree.is_some_and(|tree| folder.starts_with(tree) && *folder != tree);
        let mut folders: Vec<&Path> = piece.to.ancestors().skip(1).take_while(below).collect();
        folders.reverse();
        let mut moved = false;
        for folder in folders {
            if !self.pinned.insert(folder.to_path_buf()) {
                continue;
            }
            let fail = || refused("root", format!("pin {}", folder.display()));
            let at = beneath(self.root.as_fd(), inner(folder), OFlags::PATH).map_err(fail())?;
            // With what was laid below it before.
            attach_at(&copy(&at, OpenTreeFlags::AT_RECURSIVE).map_err(fail())?, &at).map_err(fail())?;
            moved = true;
        }
        // The place must be looked up again where its folder is now another mount.
        let on = if moved { place(self.root, inner(&piece.to), piece.is_dir)? } else { on };
        attach_at(&piece.mount, &on).map_err(refused("root", format!("attach {}", piece.to.display())))
    }
}

/// A fresh `/proc` of the new pid namespace, read-only, with what concerns the host covered.
fn proc_fs(root: &OwnedFd, covers: &Covers) -> Result<(), Refusal> {
    let proc = filesystem("proc", &[], &[], RDONLY | NOSUID | NODEV | NOEXEC)
        .map_err(refused("root", "mount a fresh /proc"))?;
    attach(&proc, root, "proc").map_err(refused("root", "attach /proc"))?;
    for (name, cover) in &covers.known {
        match attach(cover, &proc, *name) {
            // Not in this one.
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(refused("root", format!("cover /proc/{name}"))(errno)),
        }
    }
    // Where the caller's own `/proc` shows less than a fresh one.
    for name in &covers.unknown {
        let fail = || refused("root", format!("cover /proc/{name}"));
        let Ok(on) = beneath(proc.as_fd(), Path::new(*name), OFlags::PATH) else { continue };
        let cover = covers.over(&on).map_err(fail())?;
        attach_at(&cover, &on).map_err(fail())?;
    }
    Ok(())
}

/// `/tmp` with the home in it, and `/dev/shm`: the only writable places besides the policy's.
fn private_space(root: &OwnedFd, policy: &SandboxPolicy) -> Result<(), Refusal> {
    let tmp = sized(policy.limits.tmp_bytes, "1777").map_err(refused("root", "make /tmp"))?;
    attach(&tmp, root, "tmp").map_err(refused("root", "attach /tmp"))?;
    mkdirat(&tmp, "home", Mode::from_raw_mode(0o700)).map_err(refused("root", "make the home directory"))?;
    let shm = sized(policy.limits.shm_bytes, "1777").map_err(refused("root", "make /dev/shm"))?;
    attach(&shm, root, "dev/shm").map_err(refused("root", "attach /dev/shm"))
}

fn work_tree<'a>(
    scratch: &OwnedFd,
    root: &OwnedFd,
    source: TreeSource,
    policy: &SandboxPolicy,
    pieces: impl Iterator<Item = &'a Piece>,
) -> Result<(), Refusal> {
    let Some(tree) = &policy.tree else { return Ok(()) };
    let on = place(root, inner(&tree.at), true)?;
    let read_only = matches!(tree.form, TreeForm::ReadOnly { .. });
    // Nothing can be made in a read-only tree, so what is laid into it has its places in a layer above.
    let mut above = Vec::new();
    for piece in pieces.filter(|piece| read_only && piece.to.starts_with(&tree.at)) {
        if above.is_empty() {
            above.push(tmpfs(ROOT_BYTES, "8192", "0755").map_err(refused("tree", "make a layer of places"))?);
        }
        let within = piece.to.strip_prefix(&tree.at).unwrap_or(&piece.to);
        above.iter().try_for_each(|layer| place(layer, within, piece.is_dir).map(drop))?;
    }
    let (lowers, upper) = match source {
        TreeSource::Plain(mount) if above.is_empty() => {
            return attach_at(&mount, &on).map_err(refused("tree", "attach the work tree"));
        }
        TreeSource::Plain(mount) => (above.into_iter().chain([mount]).collect(), None),
        TreeSource::Layers(lowers) => (above.into_iter().chain(lowers).collect(), None),
        TreeSource::Overlay { lowers, upper: Some(disk) } => (lowers, Some(disk)),
        TreeSource::Overlay { lowers, upper: None } => {
            let TreeForm::Overlay { upper: Upper::Tmpfs { bytes, inodes }, .. } = &tree.form else {
                return Err(Refusal::new("tree", "find the upper layer"));
            };
            let upper = tmpfs(&bytes.to_string(), &inodes.to_string(), "0755")
                .map_err(refused("tree", "make a tmpfs for the upper layer"))?;
            dir(&upper, "upper")?;
            dir(&upper, "work")?;
            (lowers, Some(upper))
        }
    };
    let overlay = overlay(scratch, &lowers, upper.as_ref())?;
    attach_at(&overlay, &on).map_err(refused("tree", "attach the overlay"))
}

/// Stacks layers with the payload's identity, which must own the upper one.
fn overlay(scratch: &OwnedFd, lowers: &[OwnedFd], upper: Option<&OwnedFd>) -> Result<OwnedFd, Refusal> {
    let mut names = Vec::new();
    for (index, lower) in lowers.iter().enumerate() {
        let name = format!("l{index}");
        dir(scratch, &name)?;
        attach(lower, scratch, &name).map_err(refused("tree", format!("attach layer {index}")))?;
        names.push(name);
    }
    let below = names.join(":");
    let mut options = vec![("lowerdir", below.as_str())];
    if let Some(upper) = upper {
        dir(scratch, "u")?;
        attach(upper, scratch, "u").map_err(refused("tree", "attach the upper layer"))?;
        options.extend([("upperdir", "u/upper"), ("workdir", "u/work")]);
    }
    // Layer paths are relative: an option is at most 255 bytes long.
    rustix::process::fchdir(scratch).map_err(refused("tree", "enter the scratch"))?;
    let flags = if upper.is_some() { NOSUID | NODEV } else { RDONLY | NOSUID | NODEV };
    filesystem("overlay", &options, &["userxattr"], flags).map_err(refused("tree", "mount an overlay"))
}
