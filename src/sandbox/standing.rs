//! What every sandbox's root has, whatever its policy: put together by the stub, so that it can be done before there
//! is a policy, and handed to PID 1 as one detached tree of mounts.
//!
//! Mounts can only be put together where they are attached, which happens in a mount namespace of its own; the stub
//! goes back to where the sources that a policy names are looked up: the caller's namespace, or the copy that an ordinary
//! user is root of. Guarantees: nothing of it is ever seen by the caller; what lies in the tree is read-only, nosuid and
//! nodev where it has to be.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, setns, unshare};
use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Uid, chownat, mkdirat, openat, symlinkat};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, OpenTreeFlags, mount_change};

use super::order::{Refusal, refused};
use super::places::{attach, attach_at, copy, dir, inner, place, tmpfs};
use super::sources::{NODEV, NOEXEC, NOSUID, Piece, RDONLY, filesystem, piece};
use crate::home::SYSTEM_FOLDERS;
use crate::workspace::RunUid;

/// Size of the tmpfs that holds mount points and the few files of `/etc`.
pub(super) const ROOT_BYTES: &str = "4m";
/// What of `/etc` programs need and anybody may know.
const ETC: [&str; 11] = [
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/alternatives",
    "/etc/localtime",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/ssl/cert.pem",
    "/etc/pki/tls/certs",
    "/etc/pki/ca-trust/extracted",
    "/etc/services",
];
/// The devices that every sandbox has.
const DEVICES: [&str; 6] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];
/// Entries of `/proc` that tell about the host or reach it; those that exist are covered.
const MASKED: [&str; 16] = [
    "acpi",
    "asound",
    "bus",
    "driver",
    "fs",
    "irq",
    "scsi",
    "interrupts",
    "kallsyms",
    "kcore",
    "key-users",
    "keys",
    "kmsg",
    "sched_debug",
    "sysrq-trigger",
    "timer_list",
];
/// Folders of the new root.
const FOLDERS: [&str; 8] = ["dev", "dev/pts", "dev/shm", "etc", "proc", "run", "tmp", "var"];
/// Those in which a policy's places may be made.
const OPEN_FOLDERS: [&str; 4] = ["dev", "etc", "run", "var"];

/// The tree, and what is laid over parts of a fresh `/proc`.
#[derive(Debug)]
pub(super) struct Standing {
    /// Detached.
    pub(super) root: OwnedFd,
    pub(super) covers: Covers,
}

/// Detached mounts for the entries of `/proc` that tell about the host or reach it.
#[derive(Debug)]
pub(super) struct Covers {
    /// One for each entry that the caller's own `/proc` shows.
    pub(super) known: Vec<(&'static str, OwnedFd)>,
    /// Entries that it does not show.
    pub(super) unknown: Vec<&'static str>,
    /// Attached nowhere.
    pub(super) null: OwnedFd,
    empty: OwnedFd,
}

impl Standing {
    /// Puts it together. The other value is the mount namespace where that was done: taking it down makes the kernel wait
    /// for all processors, and whoever closes it last pays for that.
    pub(super) fn build() -> Result<(Self, File), Refusal> {
        let here = File::open("/proc/self/ns/mnt").map_err(failed("open the mount namespace"))?;
        let top = openat(CWD, "/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let top = top.map_err(failed("open the top folder"))?;
        unshare(CloneFlags::CLONE_NEWNS).map_err(failed("unshare the mount namespace"))?;
        let built = Self::build_here();
        setns(&here, CloneFlags::CLONE_NEWNS).map_err(failed("return to the mount namespace"))?;
        // The caller's top folder need not be the namespace's.
        rustix::process::fchdir(&top)
            .and_then(|()| rustix::process::chroot("."))
            .map_err(failed("return to the top folder"))?;
        built
    }

    fn build_here() -> Result<(Self, File), Refusal> {
        // INVARIANT: before anything is attached, or the caller would see it. What he takes down goes here, too: this
        // namespace stays as long as the stub, and would keep his file systems busy.
        mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
            .map_err(failed("take mounts from the caller only"))?;
        let built_in = File::open("/proc/self/ns/mnt").map_err(failed("open the mount namespace"))?;
        let system = System::open()?;
        let scratch = tmpfs(ROOT_BYTES, "4096", "0700").map_err(failed("make a tmpfs"))?;
        attach(&scratch, CWD, "/tmp").map_err(failed("attach a tmpfs on /tmp"))?;
        for name in ["root", "empty"] {
            dir(&scratch, name)?;
        }
        let root = tmpfs(ROOT_BYTES, "8192", "0755").map_err(failed("make a tmpfs"))?;
        attach(&root, &scratch, "root").map_err(failed("attach the new root"))?;
        skeleton(&root)?;
        system.lay(&root)?;
        let root = copy(&root, OpenTreeFlags::AT_RECURSIVE).map_err(failed("take the new root along"))?;
        Ok((Self { root, covers: Covers::open(&scratch, system.null)? }, built_in))
    }

    /// Hands the folders and files that were made to the payload's own uid: no other is known inside.
    pub(super) fn give(&self, uid: RunUid) -> Result<(), Refusal> {
        let (owner, group) = (Some(Uid::from_raw(uid.host_uid)), Some(Gid::from_raw(uid.host_gid)));
        let files = etc().map(|(name, _)| Path::new(name));
        let folders = OPEN_FOLDERS.map(Path::new);
        [Path::new("")].into_iter().chain(folders).chain(files).chain(above_pieces()).try_for_each(|name| {
            let how = AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW;
            match chownat(&self.root, name, owner, group, how) {
                // Only what this host has is shown.
                Err(Errno::NOENT) => Ok(()),
                done => done.map_err(refused("root", format!("hand /{} to the payload", name.display()))),
            }
        })
    }
}

impl Covers {
    /// `null` is not copied once more: the kernel waits for all processors when a mount that was attached nowhere goes.
    fn open(scratch: &OwnedFd, null: OwnedFd) -> Result<Self, Refusal> {
        let options = [("size", "4096"), ("nr_inodes", "2"), ("mode", "0555")];
        let empty = filesystem("tmpfs", &options, &[], RDONLY | NOSUID | NODEV)
            .map_err(failed("make an empty directory"))?;
        attach(&empty, scratch, "empty").map_err(failed("attach the empty directory"))?;
        let mut covers = Self { known: Vec::new(), unknown: Vec::new(), null, empty };
        for name in MASKED {
            match openat(CWD, format!("/proc/{name}"), OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
                Ok(place) => {
                    let cover = covers.over(&place).map_err(failed("copy a cover"))?;
                    covers.known.push((name, cover));
                }
                Err(_) => covers.unknown.push(name),
            }
        }
        Ok(covers)
    }

    /// A cover of the kind that `place` is.
    pub(super) fn over(&self, place: &OwnedFd) -> rustix::io::Result<OwnedFd> {
        let kind = rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(place)?.st_mode);
        let cover = if kind == rustix::fs::FileType::Directory { &self.empty } else { &self.null };
        copy(cover, OpenTreeFlags::empty())
    }
}

/// What is shown of the caller's system.
#[derive(Debug)]
struct System {
    /// Links at the top or in `/etc`: (path inside, target).
    links: Vec<(PathBuf, PathBuf)>,
    /// System directories, parts of `/etc`, devices.
    pieces: Vec<Piece>,
    /// `/dev/null`.
    null: OwnedFd,
    /// The new terminal file system.
    devpts: OwnedFd,
}

impl System {
    fn open() -> Result<Self, Refusal> {
        let mut links = Vec::new();
        let mut pieces = Vec::new();
        // Directories, or the links that stand in their place.
        for path in SYSTEM_FOLDERS.iter().chain(&ETC).map(Path::new) {
            let Ok(found) = path.symlink_metadata() else { continue };
            if found.is_symlink() {
                let target =
                    std::fs::read_link(path).map_err(refused("root", format!("read {}", path.display())))?;
                links.push((path.to_owned(), target));
            } else {
                pieces.push(piece(path, path, RDONLY | NOSUID | NODEV)?);
            }
        }
        for path in DEVICES.map(Path::new) {
            pieces.push(piece(path, path, NOSUID | NOEXEC)?);
        }
        let null = Path::new("/dev/null");
        let null = piece(null, null, NOSUID | NOEXEC)?.mount;
        Ok(Self { links, pieces, null, devpts: devpts()? })
    }

    fn lay(&self, root: &OwnedFd) -> Result<(), Refusal> {
        for (path, target) in &self.links {
            let path = inner(path);
            if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                place(root, parent, true)?;
            }
            symlinkat(target, root, path).map_err(refused("root", format!("link {}", path.display())))?;
        }
        self.pieces.iter().try_for_each(|piece| lay_system(root, piece))?;
        attach(&self.devpts, root, "dev/pts").map_err(refused("root", "attach the devpts"))
    }
}

/// A terminal file system of its own. It is made here because its root node needs uid 0 mapped, which the
/// sandbox's own namespace does not have.
fn devpts() -> Result<OwnedFd, Refusal> {
    filesystem("devpts", &[("ptmxmode", "0666"), ("mode", "0620")], &[], NOSUID | NOEXEC)
        .map_err(refused("root", "make a devpts"))
}

/// Attaches a piece on a place that only this file has made anything in, so that it cannot lead through a link.
fn lay_system(root: &OwnedFd, piece: &Piece) -> Result<(), Refusal> {
    let path = inner(&piece.to);
    let made = if piece.is_dir {
        mkdirat(root, path, Mode::from_raw_mode(0o755))
    } else {
        let new = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        openat(root, path, new, Mode::from_raw_mode(0o644)).map(drop)
    };
    match made {
        Ok(()) => {}
        Err(Errno::NOENT) => {
            let on = place(root, path, piece.is_dir)?;
            return attach_at(&piece.mount, &on)
                .map_err(refused("root", format!("attach {}", piece.to.display())));
        }
        Err(errno) => return Err(refused("root", format!("make a place for {}", piece.to.display()))(errno)),
    }
    attach(&piece.mount, root, path).map_err(refused("root", format!("attach {}", piece.to.display())))
}

/// Directories, links and the synthetic files of `/etc`.
fn skeleton(root: &OwnedFd) -> Result<(), Refusal> {
    for name in FOLDERS {
        dir(root, name)?;
    }
    let links = [
        ("/tmp", "var/tmp"),
        ("/run", "var/run"),
        ("/proc/self/fd", "dev/fd"),
        ("/proc/self/fd/0", "dev/stdin"),
        ("/proc/self/fd/1", "dev/stdout"),
        ("/proc/self/fd/2", "dev/stderr"),
        ("pts/ptmx", "dev/ptmx"),
    ];
    for (target, name) in links {
        symlinkat(target, root, name).map_err(refused("root", format!("link {name}")))?;
    }
    for (name, text) in etc() {
        write(root, name, text.as_bytes()).map_err(refused("root", format!("write {name}")))?;
    }
    Ok(())
}

fn write(root: &OwnedFd, name: &str, bytes: &[u8]) -> io::Result<()> {
    let new = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    File::from(openat(root, name, new, Mode::from_raw_mode(0o644))?).write_all(bytes)
}

/// Folders in `/etc` that are made because something in them is shown.
fn above_pieces() -> impl Iterator<Item = &'static Path> {
    let above = ETC.iter().flat_map(|path| Path::new(path).ancestors().skip(1)).map(inner);
    above.filter(|path| path.parent().is_some_and(|parent| !parent.as_os_str().is_empty()))
}

/// The files of `/etc` that are made up.
fn etc() -> [(&'static str, String); 5] {
    let nobody = "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
    let user = "user:x:1000:1000:payload:/tmp/home:/bin/sh\n";
    [
        ("etc/passwd", format!("root:x:0:0:root:/nonexistent:/usr/sbin/nologin\n{user}{nobody}")),
        ("etc/group", "root:x:0:\nuser:x:1000:\nnogroup:x:65534:\n".to_owned()),
        ("etc/hosts", "127.0.0.1 localhost sandbox\n::1 localhost\n".to_owned()),
        ("etc/hostname", "sandbox\n".to_owned()),
        ("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\nservices: files\n".to_owned()),
    ]
}

fn failed<E: Into<io::Error>>(act: &'static str) -> impl FnOnce(E) -> Refusal {
    refused("root", act)
}
