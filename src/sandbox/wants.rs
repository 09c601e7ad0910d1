//! Which path a call wants, as the stub sees it from outside, and whether that is worth telling.
//!
//! An observer, never a guard: the call goes on whatever is found here, within what the sandbox allows anyway, and the
//! text in the caller's memory may be another one by the time that the kernel reads it. Guarantees: looks, and changes
//! nothing; at most [`PATHS_MAX`] paths, and so many bytes, are told. Does not follow links: a path is made absolute by
//! the folder that it starts at, and `.` and `..` are taken out as text.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Component, Path, PathBuf};

use nix::libc;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};

use super::path_calls::{self, PathArgument, Wanted};
use super::policy::{INSIDE_HOME, SandboxPolicy};
use super::rights;
use super::sys::notified::{self, Call};
use crate::home::SYSTEM_FOLDERS;
use crate::process::{PATHS_MAX, Want};

/// Most bytes of a path (`PATH_MAX` of linux/limits.h).
const PATH_BYTES: usize = 4096;
/// Most bytes of paths that are told.
const TOLD_BYTES_MAX: usize = 2 << 20;
/// The private space: the second is a link to the first.
const PRIVATE: [&str; 2] = ["/tmp", "/var/tmp"];
/// File systems of the kernel's own, and the sandbox's own devices.
const OWN: [&str; 3] = ["/proc", "/dev", "/sys"];

/// The standing view of a sandbox: what its policy shows, and how.
#[derive(Debug)]
pub(super) struct View {
    /// What is written there is in the patch, or gone with the sandbox.
    writable: Vec<PathBuf>,
    /// Folders that were handed in, read-only.
    handed_in: Vec<PathBuf>,
    /// Single files that were.
    files: Vec<PathBuf>,
}

impl View {
    pub(super) fn of(policy: &SandboxPolicy) -> Self {
        let tree = policy.tree.iter().map(|tree| tree.at.clone());
        Self {
            // The tree comes first, because it may lie below `/tmp`; one that is read-only, too, has its patch.
            writable: tree.chain(rights::writable(policy)).chain(PRIVATE.map(PathBuf::from)).collect(),
            handed_in: policy.read_only.iter().map(|bind| bind.to.clone()).collect(),
            files: policy.files.iter().map(|bind| bind.to.clone()).collect(),
        }
    }

    /// The path to tell of, if there is one: `path` itself, or the folder that was handed in and is used.
    fn worth_telling(&self, path: &Path, want: Want, is_shown: impl FnOnce() -> bool) -> Option<PathBuf> {
        let below = |folders: &[PathBuf]| folders.iter().find(|folder| path.starts_with(folder)).cloned();
        // An input lies in the work tree, so this comes first.
        if let Some(folder) = below(&self.handed_in) {
            if want == Want::Write {
                return Some(path.to_owned());
            }
            // What is searched for along `PATH` and not found there is no use of it.
            return (*path != folder && is_shown()).then_some(folder);
        }
        let own = OWN.iter().any(|top| path.starts_with(top)) || path.parent().is_none();
        if own || below(&self.files).is_some() {
            return None;
        }
        if let Some(folder) = below(&self.writable) {
            // The private `/tmp` hides the host's.
            let hides = PRIVATE.iter().any(|top| folder == Path::new(top)) && !path.starts_with(INSIDE_HOME);
            return (hides && want != Want::Write && !is_shown()).then(|| path.to_owned());
        }
        // The system's folders are the host's: what is not there is nowhere.
        let system = || SYSTEM_FOLDERS.iter().any(|top| path.starts_with(top));
        (want == Want::Write || !(system() || is_shown())).then(|| path.to_owned())
    }
}

/// What was wanted so far.
#[derive(Debug, Default)]
pub(super) struct Wants {
    told: BTreeMap<PathBuf, BTreeSet<Want>>,
    bytes: usize,
    others: u64,
    pub(super) unread: u64,
}

impl Wants {
    /// Whether this is new, and there is room for it.
    pub(super) fn is_news(&mut self, path: &Path, want: Want) -> bool {
        if let Some(wants) = self.told.get_mut(path) {
            return wants.insert(want);
        }
        let bytes = self.bytes + path.as_os_str().len();
        if self.told.len() >= PATHS_MAX || bytes > TOLD_BYTES_MAX {
            self.others += 1;
            return false;
        }
        self.bytes = bytes;
        self.told.insert(path.to_owned(), BTreeSet::from([want]));
        true
    }

    /// How often one was wanted that there was no room for.
    pub(super) const fn left_out(&self) -> u64 {
        self.others
    }
}

/// What was found of one call.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Paths that are worth telling, and what for.
    pub(super) paths: Vec<(PathBuf, Want)>,
    /// Paths that could not be read.
    pub(super) unread: u64,
}

/// The paths of a call that waits.
pub(super) fn look(told: BorrowedFd<'_>, call: &Call, view: &View) -> Found {
    let mut found = Found::default();
    let arguments = path_calls::of(call.number).unwrap_or(&[]);
    // If it waits no more, what was read may have been another task's.
    let read: Vec<_> = arguments.iter().map(|argument| path(call, argument)).collect();
    if !notified::still_waits(told, call) {
        return found;
    }
    for path in read {
        match path {
            Ok(Some((path, want))) => {
                let shown = || is_shown(call.task, &path);
                found.paths.extend(view.worth_telling(&path, want, shown).map(|path| (path, want)));
            }
            Ok(None) => {}
            Err(Unread) => found.unread += 1,
        }
    }
    found
}

#[derive(Debug)]
struct Unread;

/// One path of a call, absolute; `None` where it names the descriptor itself, or nothing.
fn path(call: &Call, argument: &PathArgument) -> Result<Option<(PathBuf, Want)>, Unread> {
    let value = |at: usize| call.arguments.get(at).copied().unwrap_or(0);
    let memory = File::open(format!("/proc/{}/mem", call.task)).map_err(|_| Unread)?;
    let address = value(argument.path);
    if address == 0 {
        return Ok(None);
    }
    let mut bytes = vec![0; PATH_BYTES];
    let length = memory.read_at(&mut bytes, address).map_err(|_| Unread)?;
    let text = bytes.get(..length).unwrap_or(&[]);
    let end = text.iter().position(|byte| *byte == 0).ok_or(Unread)?;
    let text = Path::new(std::ffi::OsStr::from_bytes(text.get(..end).unwrap_or(&[])));
    if text.as_os_str().is_empty() {
        return Ok(None);
    }
    let want = match argument.want {
        Wanted::Always(want) => want,
        Wanted::ByFlags(at) => by_flags(value(at)),
        Wanted::ByHow(at) => {
            let mut flags = [0; 8];
            memory.read_exact_at(&mut flags, value(at)).map_err(|_| Unread)?;
            by_flags(u64::from_ne_bytes(flags))
        }
    };
    if text.is_absolute() {
        return Ok(Some((plain(text), want)));
    }
    let folder = match argument.folder.map(|at| value(at).to_le_bytes()) {
        // A descriptor is an int: the low half of the argument.
        Some([a, b, c, d, ..]) if i32::from_le_bytes([a, b, c, d]) != libc::AT_FDCWD => {
            format!("fd/{}", i32::from_le_bytes([a, b, c, d]))
        }
        _ => "cwd".to_owned(),
    };
    let folder = std::fs::read_link(format!("/proc/{}/{folder}", call.task)).map_err(|_| Unread)?;
    // What is no folder (`pipe:[…]`) has nothing below it.
    Ok(folder.is_absolute().then(|| (plain(&folder.join(text)), want)))
}

/// What flags of open(2) ask for.
fn by_flags(flags: u64) -> Want {
    let of = |flag: libc::c_int| u64::from(flag.unsigned_abs());
    let changes = flags & of(libc::O_CREAT | libc::O_TRUNC) != 0;
    let reads = flags & of(libc::O_ACCMODE) == of(libc::O_RDONLY);
    if changes || !reads { Want::Write } else { Want::Read }
}

/// Without `.` and `..`, as text.
fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => out.push(name),
            Component::ParentDir => drop(out.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    out
}

/// Whether there is something at `path` in the root that `task` sees. Opened as a path alone, within that root.
fn is_shown(task: i32, path: &Path) -> bool {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let root = openat2(
        CWD,
        format!("/proc/{task}/root"),
        flags | OFlags::DIRECTORY,
        Mode::empty(),
        ResolveFlags::empty(),
    );
    let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    root.and_then(|root| openat2(root, path, flags | OFlags::NOFOLLOW, Mode::empty(), within)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> View {
        let paths = |all: &[&str]| all.iter().map(PathBuf::from).collect();
        View {
            writable: paths(&["/work", "/tmp/tree", "/tmp", "/var/tmp"]),
            handed_in: paths(&["/opt/tool", "/work/vendor"]),
            files: paths(&["/run/cto/player"]),
        }
    }

    #[test]
    fn only_what_is_not_in_the_view_is_told_and_what_was_handed_in() {
        let told = |path: &str, want, shown| view().worth_telling(Path::new(path), want, || shown);
        for (path, want, shown) in [
            ("/", Want::Read, true),
            ("/tmp/x", Want::Write, false),
            ("/tmp/x", Want::Read, true),
            ("/opt/tool/bin/sh", Want::Run, false),
            ("/opt/tool", Want::Read, true),
            ("/var/tmp/x", Want::Write, false),
            ("/tmp/tree/x", Want::Read, false),
            ("/tmp/home/.config/x", Want::Read, false),
            ("/work/src/a", Want::Write, false),
            ("/proc/1/mem", Want::Write, true),
            ("/usr/share/nowhere", Want::Read, false),
            ("/etc/localtime", Want::Read, true),
            ("/run/cto/player", Want::Run, true),
        ] {
            assert_eq!(told(path, want, shown), None, "{path}");
        }
        for (path, want, shown, as_what) in [
            ("/srv/data/a", Want::Read, false, "/srv/data/a"),
            ("/etc/passwd", Want::Read, false, "/etc/passwd"),
            ("/tmp/hosts/x", Want::Read, false, "/tmp/hosts/x"),
            ("/usr/share/x", Want::Write, true, "/usr/share/x"),
            ("/opt/tool/bin/x", Want::Run, true, "/opt/tool"),
            ("/opt/tool/bin/x", Want::Write, true, "/opt/tool/bin/x"),
            ("/work/vendor/a/b", Want::Read, true, "/work/vendor"),
        ] {
            assert_eq!(told(path, want, shown), Some(as_what.into()), "{path}");
        }
    }

    #[test]
    fn paths_are_bounded_and_the_rest_is_counted() {
        let mut wants = Wants::default();
        for number in 0..PATHS_MAX + 7 {
            wants.is_news(Path::new(&format!("/srv/{number}")), Want::Read);
        }
        assert_eq!((wants.told.len(), wants.left_out()), (PATHS_MAX, 7));
        let mut long = Wants::default();
        for number in 0..1000 {
            long.is_news(&Path::new("/srv").join(number.to_string()).join("x".repeat(4000)), Want::Read);
        }
        assert!(long.bytes <= TOLD_BYTES_MAX && long.told.len() > 500 && long.left_out() > 400);
        assert!(wants.is_news(Path::new("/srv/0"), Want::Write), "another way of a known one");
        assert!(!wants.is_news(Path::new("/srv/0"), Want::Write));
    }

    #[test]
    fn steps_are_taken_out_and_flags_are_read() {
        assert_eq!(plain(Path::new("/a/./b/../../../c//d")), Path::new("/c/d"));
        let flag = |flags: libc::c_int| by_flags(u64::from(flags.unsigned_abs()));
        assert_eq!(flag(libc::O_RDONLY | libc::O_CLOEXEC), Want::Read);
        for flags in [libc::O_WRONLY, libc::O_RDWR, libc::O_RDONLY | libc::O_CREAT] {
            assert_eq!(flag(flags), Want::Write);
        }
    }
}
