//! What stands in a directory, as `lstat` tells it: nothing is opened or followed to find out.

use std::ffi::OsString;

use rustix::fs::{FileType, Stat};

/// What kind of object a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// Regular file.
    File,
    /// Directory.
    Directory,
    /// Symbolic link.
    Link,
    /// Named pipe.
    Fifo,
    /// Unix socket.
    Socket,
    /// Character device.
    CharDevice,
    /// Block device.
    BlockDevice,
    /// Something this kernel knows and this program does not.
    Unknown,
}

/// The parts of `stat(2)` that anyone here asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// What it is.
    pub kind: FileKind,
    /// Permission bits with setuid, setgid and sticky: `mode & 0o7777`.
    pub mode: u32,
    /// Bytes.
    pub size: u64,
    /// What it takes on disk, in units of 512 bytes.
    pub blocks: u64,
    /// Hard links.
    pub links: u64,
    /// Inode number.
    pub inode: u64,
    /// Number of the file system.
    pub device: u64,
    /// Device number of a device node.
    pub node: u64,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last change of content: seconds, nanoseconds.
    pub modified: (i64, u32),
    /// Last change of the inode: seconds, nanoseconds.
    pub changed: (i64, u32),
}

/// A name in a directory and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// One component, never `.` or `..`.
    pub name: OsString,
    /// What it stands for; a link is not followed.
    pub status: Status,
}

impl Status {
    /// Whether this is overlayfs's mark for a deleted name: a character device 0:0.
    #[must_use]
    pub fn is_whiteout(&self) -> bool {
        self.kind == FileKind::CharDevice && self.node == 0
    }

    pub(super) fn of(stat: &Stat) -> Self {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => FileKind::File,
            FileType::Directory => FileKind::Directory,
            FileType::Symlink => FileKind::Link,
            FileType::Fifo => FileKind::Fifo,
            FileType::Socket => FileKind::Socket,
            FileType::CharacterDevice => FileKind::CharDevice,
            FileType::BlockDevice => FileKind::BlockDevice,
            FileType::Unknown => FileKind::Unknown,
        };
        // Nanoseconds are below 10^9 (stat(2)); an absurd value must not turn into a plausible one.
        let nanos = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        Self {
            kind,
            mode: stat.st_mode & 0o7777,
            size: u64::try_from(stat.st_size).unwrap_or(u64::MAX),
            blocks: u64::try_from(stat.st_blocks).unwrap_or(u64::MAX),
            links: stat.st_nlink,
            inode: stat.st_ino,
            device: stat.st_dev,
            node: stat.st_rdev,
            uid: stat.st_uid,
            gid: stat.st_gid,
            modified: (stat.st_mtime, nanos(stat.st_mtime_nsec)),
            changed: (stat.st_ctime, nanos(stat.st_ctime_nsec)),
        }
    }
}
