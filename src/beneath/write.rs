//! Making new things below a directory: nothing that exists is ever opened for writing.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write as _;
use std::path::{Component, Path};
use std::time::{Duration, Instant};

use rustix::fs::{
    FileType, FlockOperation, Gid, Mode, OFlags, RenameFlags, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;

use super::dir::one_component;
use super::{BeneathError, Dir, Status};

/// Between two attempts at what another process keeps.
const ASK_AGAIN: Duration = Duration::from_millis(2);

/// Whether a write must survive a power cut before the call returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// When the kernel gets to it.
    Lazy,
    /// File and its directory are on disk.
    Synced,
}

impl Dir {
    /// A new, empty file with exactly these permission bits; an existing name is an error.
    pub fn create_file(&self, rel: impl AsRef<Path>, mode: u32) -> Result<File, BeneathError> {
        let rel = rel.as_ref();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fail = |errno| BeneathError::act("create", rel, errno);
        let mode = Mode::from_raw_mode(mode & 0o777);
        let fd = self.open(rel, flags, mode).map_err(fail)?;
        // The umask may have taken bits away; what was asked for decides. To look costs less than to set: an inode
        // that is set goes through the file system's journal.
        let found = rustix::fs::fstat(&fd).map_err(fail)?;
        if Mode::from_raw_mode(found.st_mode & 0o777) != mode {
            rustix::fs::fchmod(&fd, mode).map_err(fail)?;
        }
        Ok(File::from(fd))
    }

    /// A new file with these bytes and permission bits; an existing name is an error.
    pub fn write_new(
        &self,
        rel: impl AsRef<Path>,
        bytes: &[u8],
        mode: u32,
        durability: Durability,
    ) -> Result<(), BeneathError> {
        let rel = rel.as_ref();
        let mut file = self.create_file(rel, mode)?;
        file.write_all(bytes).map_err(|source| BeneathError::io("write", rel, source))?;
        if durability == Durability::Synced {
            file.sync_all().map_err(|source| BeneathError::io("sync", rel, source))?;
            self.parent_of(rel)?.sync()?;
        }
        Ok(())
    }

    /// A new directory with exactly these permission bits; an existing name is an error.
    pub fn create_dir(&self, rel: impl AsRef<Path>, mode: u32) -> Result<Self, BeneathError> {
        let rel = rel.as_ref();
        let fail = |errno| BeneathError::act("create the directory", rel, errno);
        let name = rel.file_name().ok_or_else(|| fail(Errno::INVAL))?;
        let parent = self.parent_of(rel)?;
        let mode = Mode::from_raw_mode(mode & 0o777);
        rustix::fs::mkdirat(&parent, one_component(name)?, mode).map_err(fail)?;
        let dir = parent.open_dir(name)?;
        rustix::fs::fchmod(&dir, mode).map_err(fail)?;
        Ok(dir)
    }

    /// The directory at `rel`, with every missing one on the way made with these permission bits.
    pub fn create_dir_all(&self, rel: impl AsRef<Path>, mode: u32) -> Result<Self, BeneathError> {
        let rel = rel.as_ref();
        let mut at = self.again()?;
        for part in rel.components() {
            let Component::Normal(name) = part else {
                return Err(BeneathError::act("create the directory", rel, Errno::XDEV));
            };
            at = match at.create_dir(name, mode) {
                Err(error) if error.kind() == Some(std::io::ErrorKind::AlreadyExists) => at.open_dir(name)?,
                other => other?,
            };
        }
        Ok(at)
    }

    /// A new link with exactly this text; the text is never resolved.
    pub fn create_link(&self, name: &OsStr, text: &[u8]) -> Result<(), BeneathError> {
        rustix::fs::symlinkat(text, self, one_component(name)?)
            .map_err(|errno| BeneathError::act("create the link", Path::new(name), errno))
    }

    /// Overlayfs's mark for a deleted name: a character device 0:0, which everybody may make (since Linux 5.8).
    pub fn create_whiteout(&self, name: &OsStr) -> Result<(), BeneathError> {
        let node = rustix::fs::makedev(0, 0);
        rustix::fs::mknodat(self, one_component(name)?, FileType::CharacterDevice, Mode::empty(), node)
            .map_err(|errno| BeneathError::act("create the whiteout", Path::new(name), errno))
    }

    /// Sets an extended attribute of the directory itself.
    pub fn set_own_attribute(&self, attribute: &str, value: &[u8]) -> Result<(), BeneathError> {
        rustix::fs::fsetxattr(self, attribute, value, XattrFlags::empty())
            .map_err(|errno| BeneathError::act("set an attribute of", Path::new(""), errno))
    }

    /// Gives what is called `name` (one component, not followed) to another owner.
    pub fn give(&self, name: &OsStr, uid: u32, gid: u32) -> Result<(), BeneathError> {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        rustix::fs::chownat(
            self,
            one_component(name)?,
            Some(uid),
            Some(gid),
            rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
        )
        .map_err(|errno| BeneathError::act("change the owner of", Path::new(name), errno))
    }

    /// Gives the directory itself to another owner.
    pub fn give_itself(&self, uid: u32, gid: u32) -> Result<(), BeneathError> {
        rustix::fs::fchown(self, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
            .map_err(|errno| BeneathError::act("change the owner of", Path::new(""), errno))
    }

    /// Sets both times of what is called `name` (one component, not followed): seconds since 1970, nanoseconds.
    pub fn set_times(&self, name: &OsStr, at: (i64, u32)) -> Result<(), BeneathError> {
        let name = one_component(name)?;
        rustix::fs::utimensat(self, name, &both(at), rustix::fs::AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| BeneathError::act("set the times of", Path::new(name), errno))
    }

    /// Gives a file of this process's own making to `owner` (uid, gid), where it is to have another, and sets both of its
    /// times; what it then is. `name` is for the error alone.
    pub fn finish_file(
        file: &File,
        name: &OsStr,
        owner: Option<(u32, u32)>,
        at: (i64, u32),
    ) -> Result<Status, BeneathError> {
        let own = owner.map_or(Ok(()), |(uid, gid)| {
            rustix::fs::fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
        });
        own.and_then(|()| rustix::fs::futimens(file, &both(at)))
            .and_then(|()| rustix::fs::fstat(file))
            .map(|stat| Status::of(&stat))
            .map_err(|errno| BeneathError::act("finish", Path::new(name), errno))
    }

    /// Gives the directory itself these permission bits and times.
    pub fn set_own_mode_and_times(&self, mode: u32, at: (i64, u32)) -> Result<(), BeneathError> {
        rustix::fs::fchmod(self, Mode::from_raw_mode(mode & 0o777))
            .and_then(|()| rustix::fs::futimens(self, &both(at)))
            .map_err(|errno| BeneathError::act("set the mode and times of", Path::new(""), errno))
    }

    /// Renames within this directory (one component each); an existing `to` is an error.
    pub fn publish(&self, from: &OsStr, to: &OsStr) -> Result<(), BeneathError> {
        let flags = RenameFlags::NOREPLACE;
        rustix::fs::renameat_with(self, one_component(from)?, self, one_component(to)?, flags)
            .map_err(|errno| BeneathError::act("publish", Path::new(to), errno))
    }

    /// Renames within this directory (one component each), over `to` if it is there.
    pub fn replace(&self, from: &OsStr, to: &OsStr) -> Result<(), BeneathError> {
        rustix::fs::renameat(self, one_component(from)?, self, one_component(to)?)
            .map_err(|errno| BeneathError::act("replace", Path::new(to), errno))
    }

    /// Brings the directory's names to disk.
    pub fn sync(&self) -> Result<(), BeneathError> {
        rustix::fs::fsync(self).map_err(|errno| BeneathError::act("sync", Path::new(""), errno))
    }

    /// Keeps the directory for this process among those that ask by this call, until this `Dir` is dropped; `false` where
    /// another has not let go of it within `wait`.
    pub fn keep_alone(&self, wait: Duration) -> Result<bool, BeneathError> {
        let begun = Instant::now();
        loop {
            match rustix::fs::flock(self, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(true),
                Err(Errno::WOULDBLOCK) if begun.elapsed() < wait => std::thread::sleep(ASK_AGAIN),
                Err(Errno::WOULDBLOCK) => return Ok(false),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(BeneathError::act("lock", Path::new(""), errno)),
            }
        }
    }

    /// A second descriptor of this directory.
    pub fn again(&self) -> Result<Self, BeneathError> {
        self.reopen().map_err(|errno| BeneathError::act("open again", Path::new(""), errno))
    }

    fn parent_of(&self, rel: &Path) -> Result<Self, BeneathError> {
        match rel.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => self.open_dir(parent),
            _ => self.again(),
        }
    }
}

fn both((seconds, nanos): (i64, u32)) -> Timestamps {
    let at = Timespec { tv_sec: seconds, tv_nsec: nanos.into() };
    Timestamps { last_access: at, last_modification: at }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Dir;

    #[test]
    fn a_directory_is_kept_by_one_until_he_lets_go() {
        let place = tempfile::tempdir().unwrap();
        let open = || Dir::open_root(place.path()).unwrap();
        let (one, other) = (open(), open());
        assert!(one.keep_alone(Duration::ZERO).unwrap() && one.keep_alone(Duration::ZERO).unwrap());
        assert!(!other.keep_alone(Duration::from_millis(5)).unwrap());
        let waits = std::thread::spawn(move || other.keep_alone(Duration::from_mins(1)).unwrap());
        drop(one);
        assert!(waits.join().unwrap());
        assert!(open().keep_alone(Duration::ZERO).unwrap(), "the last one let go, too");
    }
}
