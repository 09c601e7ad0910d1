//! A directory held open: opening, looking and bounded reading below it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::{BeneathError, Entry, FileKind, Status};

/// How often a resolution that raced with a rename elsewhere is tried again (openat2(2): `EAGAIN`).
const RACE_RETRIES: u32 = 64;

/// A directory, held by descriptor. Names given to its methods are relative, and stay below it.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
}

impl Dir {
    /// Opens a root that the caller trusts; links in `path` itself are followed.
    pub fn open_root(path: &Path) -> Result<Self, BeneathError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|errno| BeneathError::act("open the directory", path, errno))?;
        Ok(Self { fd })
    }

    /// Opens a directory below.
    pub fn open_dir(&self, rel: impl AsRef<Path>) -> Result<Self, BeneathError> {
        let rel = rel.as_ref();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = self
            .open(rel, flags, Mode::empty())
            .map_err(|errno| BeneathError::act("open the directory", rel, errno))?;
        Ok(Self { fd })
    }

    /// Like [`Dir::open_dir`]; a directory that its owner made unreadable, or whose names cannot be looked at, is
    /// opened to its owner first. Only for trees that the harness owns and whose writers are dead.
    pub fn open_dir_by_force(&self, rel: impl AsRef<Path>) -> Result<Self, BeneathError> {
        let rel = rel.as_ref();
        match self.open_dir(rel) {
            Err(error) if error.kind() == Some(std::io::ErrorKind::PermissionDenied) => {
                self.open_to_owner(rel, OFlags::DIRECTORY, 0o700)?;
                self.open_dir(rel)
            }
            Ok(dir) => {
                // Reading needs one bit, looking at what was read another.
                let mode = dir.own_status()?.mode;
                if mode & 0o500 != 0o500 {
                    rustix::fs::fchmod(&dir.fd, Mode::from_raw_mode(mode | 0o700))
                        .map_err(|errno| BeneathError::act("change the mode of", rel, errno))?;
                }
                Ok(dir)
            }
            Err(error) => Err(error),
        }
    }

    /// Opens a regular file for reading. Never blocks, never follows; anything else is `NotRegular`.
    pub fn open_file(&self, rel: impl AsRef<Path>) -> Result<File, BeneathError> {
        let rel = rel.as_ref();
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = self.open(rel, flags, Mode::empty()).map_err(|errno| match errno {
            Errno::LOOP | Errno::NXIO => BeneathError::NotRegular { path: rel.to_owned() },
            other => BeneathError::act("open", rel, other),
        })?;
        let stat = rustix::fs::fstat(&fd).map_err(|errno| BeneathError::act("look at", rel, errno))?;
        if Status::of(&stat).kind != FileKind::File {
            return Err(BeneathError::NotRegular { path: rel.to_owned() });
        }
        Ok(File::from(fd))
    }

    /// Like [`Dir::open_file`]; a file that its owner made unreadable is opened to him first. Only for trees that
    /// the harness owns and whose writers are dead.
    pub fn open_file_by_force(&self, rel: impl AsRef<Path>) -> Result<File, BeneathError> {
        let rel = rel.as_ref();
        match self.open_file(rel) {
            Err(error) if error.kind() == Some(std::io::ErrorKind::PermissionDenied) => {
                self.open_to_owner(rel, OFlags::empty(), 0o600)?;
                self.open_file(rel)
            }
            answer => answer,
        }
    }

    /// The bytes of a regular file of at most `max` bytes.
    pub fn read_file(&self, rel: impl AsRef<Path>, max: u64) -> Result<Vec<u8>, BeneathError> {
        let rel = rel.as_ref();
        read_bounded(self.open_file(rel)?, rel, max)
    }

    /// Like [`Dir::read_file`], with [`Dir::open_file_by_force`].
    pub fn read_file_by_force(&self, rel: impl AsRef<Path>, max: u64) -> Result<Vec<u8>, BeneathError> {
        let rel = rel.as_ref();
        read_bounded(self.open_file_by_force(rel)?, rel, max)
    }

    /// What stands at `rel`, not followed; `None` when nothing does.
    pub fn status(&self, rel: impl AsRef<Path>) -> Result<Option<Status>, BeneathError> {
        let rel = rel.as_ref();
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let found = self.open(rel, flags, Mode::empty()).and_then(rustix::fs::fstat);
        match found {
            Ok(stat) => Ok(Some(Status::of(&stat))),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(BeneathError::act("look at", rel, errno)),
        }
    }

    /// Whether the caller may list the directory with this name (one component) and look at what it holds.
    pub fn can_enter(&self, name: &OsStr) -> Result<bool, BeneathError> {
        let wanted = Access::READ_OK | Access::EXEC_OK;
        match rustix::fs::accessat(&self.fd, one_component(name)?, wanted, AtFlags::EACCESS) {
            Ok(()) => Ok(true),
            Err(Errno::ACCESS | Errno::NOENT) => Ok(false),
            Err(errno) => Err(BeneathError::act("look at", Path::new(name), errno)),
        }
    }

    /// The directory itself.
    pub fn own_status(&self) -> Result<Status, BeneathError> {
        let stat = rustix::fs::fstat(&self.fd)
            .map_err(|errno| BeneathError::act("look at", Path::new(""), errno))?;
        Ok(Status::of(&stat))
    }

    /// The text of the link with this name (one component), byte-exact.
    pub fn read_link(&self, name: &OsStr) -> Result<Vec<u8>, BeneathError> {
        let text = rustix::fs::readlinkat(&self.fd, one_component(name)?, Vec::new())
            .map_err(|errno| BeneathError::act("read the link", Path::new(name), errno))?;
        Ok(text.into_bytes())
    }

    /// Every name with its status, sorted by bytes; more than `max` is `TooMany`.
    pub fn entries(&self, max: usize) -> Result<Vec<Entry>, BeneathError> {
        let here = Path::new("");
        let mut found = Vec::new();
        for name in self.names(max)? {
            let stat = match rustix::fs::statat(&self.fd, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                // Gone between listing and looking.
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(BeneathError::act("look at", &here.join(&name), errno)),
            };
            found.push(Entry { name, status: Status::of(&stat) });
        }
        Ok(found)
    }

    /// Names of the extended attributes of what is called `name` (one component), not followed. A file system
    /// without attributes has none.
    pub fn attribute_names(&self, name: &OsStr) -> Result<Vec<OsString>, BeneathError> {
        let path = self.by_descriptor(one_component(name)?);
        listed(Path::new(name), |buffer| rustix::fs::llistxattr(&path, buffer))
    }

    /// Names of the directory's own extended attributes.
    pub fn own_attribute_names(&self) -> Result<Vec<OsString>, BeneathError> {
        listed(Path::new(""), |buffer| rustix::fs::flistxattr(&self.fd, buffer))
    }

    /// The value of the directory's own extended attribute, of at most 64 bytes; `None` when it has none.
    pub fn own_attribute(&self, attribute: &str) -> Result<Option<Vec<u8>>, BeneathError> {
        let mut buffer = vec![0_u8; 64];
        match rustix::fs::fgetxattr(&self.fd, attribute, buffer.as_mut_slice()) {
            Ok(length) => {
                buffer.truncate(length);
                Ok(Some(buffer))
            }
            Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
            Err(errno) => Err(BeneathError::act("read an attribute of", Path::new(""), errno)),
        }
    }

    pub(super) fn names(&self, max: usize) -> Result<Vec<OsString>, BeneathError> {
        let here = Path::new("");
        let fail = |errno| BeneathError::act("list", here, errno);
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.fd).map_err(fail)? {
            let name = entry.map_err(fail)?.file_name().to_bytes().to_vec();
            if name == b"." || name == b".." {
                continue;
            }
            if names.len() == max {
                let max = u64::try_from(max).unwrap_or(u64::MAX);
                return Err(BeneathError::TooMany { path: here.to_owned(), max, what: "entries" });
            }
            names.push(OsString::from_vec(name));
        }
        names.sort_unstable();
        Ok(names)
    }

    pub(super) fn open(&self, rel: &Path, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        if rel.components().any(|part| !matches!(part, std::path::Component::Normal(_))) {
            return Err(Errno::XDEV);
        }
        let mut tries = 0;
        loop {
            match rustix::fs::openat2(&self.fd, rel, flags, mode, resolve) {
                Err(Errno::AGAIN) if tries < RACE_RETRIES => tries += 1,
                Err(Errno::INTR) => {}
                answer => return answer,
            }
        }
    }

    pub(super) fn reopen(&self) -> Result<Self, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { fd: rustix::fs::openat(&self.fd, ".", flags, Mode::empty())? })
    }

    /// Adds `bits` to exactly the inode that `rel` stands for now: an `O_PATH` descriptor cannot be swapped.
    fn open_to_owner(&self, rel: &Path, also: OFlags, bits: u32) -> Result<(), BeneathError> {
        let fail = |errno| BeneathError::act("change the mode of", rel, errno);
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC | also;
        let fd = self.open(rel, flags, Mode::empty()).map_err(fail)?;
        let stat = rustix::fs::fstat(&fd).map_err(fail)?;
        let status = Status::of(&stat);
        if !matches!(status.kind, FileKind::File | FileKind::Directory) {
            return Err(BeneathError::NotRegular { path: rel.to_owned() });
        }
        let mode = Mode::from_raw_mode(status.mode | bits);
        rustix::fs::chmod(format!("/proc/self/fd/{}", fd.as_raw_fd()), mode).map_err(fail)
    }

    /// For calls that know no descriptors (`llistxattr`): the last component is not followed by them.
    fn by_descriptor(&self, name: &OsStr) -> PathBuf {
        Path::new("/proc/self/fd").join(self.fd.as_raw_fd().to_string()).join(name)
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// `name` if it is one component and neither `.` nor `..`.
pub(super) fn one_component(name: &OsStr) -> Result<&OsStr, BeneathError> {
    let bytes = name.as_encoded_bytes();
    if bytes.is_empty() || bytes == b"." || bytes == b".." || bytes.contains(&b'/') {
        return Err(BeneathError::act("use the name", Path::new(name), Errno::INVAL));
    }
    Ok(name)
}

/// What `list` writes into a buffer that it says is long enough.
fn listed(
    path: &Path,
    list: impl Fn(&mut [u8]) -> Result<usize, Errno>,
) -> Result<Vec<OsString>, BeneathError> {
    let mut buffer = vec![0_u8; 512];
    loop {
        match list(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                let names = buffer.split(|byte| *byte == 0).filter(|name| !name.is_empty());
                return Ok(names.map(|name| OsString::from_vec(name.to_vec())).collect());
            }
            // XATTR_LIST_MAX is 64 KiB (xattr(7)).
            Err(Errno::RANGE) if buffer.len() < 1 << 17 => buffer.resize(buffer.len() * 4, 0),
            Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
            Err(errno) => return Err(BeneathError::act("list attributes of", path, errno)),
        }
    }
}

fn read_bounded(file: File, rel: &Path, max: u64) -> Result<Vec<u8>, BeneathError> {
    let mut bytes = Vec::new();
    file.take(max.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|source| BeneathError::io("read", rel, source))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > max {
        return Err(BeneathError::TooLarge { path: rel.to_owned(), max });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;
    use crate::beneath::Durability;

    #[test]
    fn no_name_leads_out() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("secret"), "s").unwrap();
        fs::create_dir(place.path().join("in")).unwrap();
        symlink("../secret", place.path().join("in/link")).unwrap();
        symlink("..", place.path().join("in/up")).unwrap();
        let dir = Dir::open_root(&place.path().join("in")).unwrap();
        for name in ["link", "up/secret", "../secret", "/etc/passwd", "./../secret"] {
            assert!(dir.read_file(name, 10).is_err(), "{name}");
            assert!(dir.write_new(name, b"x", 0o600, Durability::Lazy).is_err(), "{name}");
        }
        assert_eq!(dir.status("link").unwrap().map(|s| s.kind), Some(FileKind::Link));
        assert_eq!(dir.read_link(OsStr::new("link")).unwrap(), b"../secret");
        assert_eq!(fs::read_to_string(place.path().join("secret")).unwrap(), "s");
    }

    #[test]
    fn a_fifo_does_not_block_and_bounds_hold() {
        let place = tempfile::tempdir().unwrap();
        let dir = Dir::open_root(place.path()).unwrap();
        rustix::fs::mkfifoat(&dir, "fifo", Mode::RWXU).unwrap();
        assert!(matches!(dir.read_file("fifo", 10), Err(BeneathError::NotRegular { .. })));
        assert!(matches!(dir.open_file("."), Err(BeneathError::Act { .. })));
        dir.write_new("ten", b"0123456789", 0o600, Durability::Synced).unwrap();
        assert_eq!(dir.read_file("ten", 10).unwrap().len(), 10);
        assert!(matches!(dir.read_file("ten", 9), Err(BeneathError::TooLarge { max: 9, .. })));
        assert!(dir.read_file("none", 9).unwrap_err().is_absent());
        assert!(dir.write_new("ten", b"", 0o600, Durability::Lazy).is_err(), "nothing is written over");
        assert!(matches!(dir.entries(1), Err(BeneathError::TooMany { .. })));
    }

    #[test]
    fn permission_bits_are_what_was_asked_for() {
        let place = tempfile::tempdir().unwrap();
        let dir = Dir::open_root(place.path()).unwrap();
        dir.write_new("w", b"x", 0o666, Durability::Lazy).unwrap();
        dir.create_dir_all("a/b/c", 0o777).unwrap();
        let mode = |name: &str| fs::metadata(place.path().join(name)).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode("w"), mode("a/b")), (0o666, 0o777));
        fs::set_permissions(place.path().join("w"), fs::Permissions::from_mode(0o000)).unwrap();
        assert_eq!(dir.read_file_by_force("w", 5).unwrap(), b"x");
    }

    #[test]
    fn a_folder_that_was_opened_by_force_can_be_looked_through() {
        let place = tempfile::tempdir().unwrap();
        let root = Dir::open_root(place.path()).unwrap();
        for mode in [0o000, 0o100, 0o300, 0o400, 0o500, 0o1600, 0o700] {
            fs::create_dir(place.path().join("d")).unwrap();
            fs::write(place.path().join("d/f"), "x").unwrap();
            fs::set_permissions(place.path().join("d"), fs::Permissions::from_mode(mode)).unwrap();
            let dir = root.open_dir_by_force("d").unwrap();
            let now = dir.own_status().unwrap().mode;
            assert_eq!((now & 0o500, now & 0o7077), (0o500, mode & 0o7077), "{mode:o}");
            assert_eq!(dir.entries(10).unwrap().len(), 1);
            root.remove_tree(OsStr::new("d")).unwrap();
        }
    }
}
