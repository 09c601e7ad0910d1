//! How much of the disk a work tree takes while somebody writes there: looked at from outside, again and again.
//!
//! There is no quota on a folder that every kernel and file system has, so this is watched and not held: between two
//! looks a payload can write as fast as the disk takes it. A folder that its owner made unreadable is counted after
//! the end only, when it can be opened by force without anybody noticing. What cannot be read then, and a tree that
//! cannot be counted at all, is [`Unread`] and never nothing.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::learned::Used;
use super::unread::Unread;
use crate::beneath::{BeneathError, Dir, Entry, FileKind};
use crate::vocab::{LimitName, Limits};

/// Time between the end of a look and the next, at least.
const REST: Duration = Duration::from_millis(500);
/// A look takes at most this part of the time.
const SHARE: u32 = 10;
/// Folders below one another that are looked into; the patch reads no deeper either.
const LEVELS: usize = 200;
/// How far the file system's clock may be behind (a tick of the slowest kernels).
const COARSE: Duration = Duration::from_millis(10);
/// Bytes of a unit of `st_blocks`.
const BLOCK: u64 = 512;

/// What is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedTree {
    /// The folder of the host that holds what is written, and nothing else.
    pub dir: PathBuf,
    /// Count only what was changed since it is watched: the folder holds a copy of the base as well.
    pub with_base: bool,
}

/// What was found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Taken {
    bytes: u64,
    entries: u64,
    /// The largest file.
    largest: u64,
}

impl Taken {
    /// With what is not in the tree any more, and still on disk.
    pub(super) const fn and(mut self, nameless: u64) -> Self {
        self.bytes = self.bytes.saturating_add(nameless);
        self
    }

    /// The same for whoever wants to know what was used.
    pub(super) fn used(self) -> Used {
        Used { disk_bytes: self.bytes, inodes: self.entries, file_bytes: self.largest, ..Used::default() }
    }

    /// The first limit that this is above.
    pub(super) fn above(&self, limits: &Limits) -> Option<(LimitName, u64)> {
        if self.bytes > limits.disk_bytes {
            Some((LimitName::DiskBytes, limits.disk_bytes))
        } else if self.entries > limits.inodes {
            Some((LimitName::Inodes, limits.inodes))
        } else if self.largest >= limits.file_bytes {
            // The kernel let it grow up to there and no further.
            Some((LimitName::FileBytes, limits.file_bytes))
        } else {
            None
        }
    }
}

/// Watches one tree from a thread of its own, until dropped.
#[derive(Debug)]
pub(super) struct TreeWatch {
    look: Look,
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    taken: Mutex<Option<Result<Taken, Unread>>>,
}

impl TreeWatch {
    /// Begins.
    pub(super) fn begin(tree: WatchedTree, limits: &Limits) -> io::Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // A little back: the file system's clock is coarser than this one.
        let now = now.saturating_sub(COARSE);
        let since = (i64::try_from(now.as_secs()).unwrap_or(i64::MAX), now.subsec_nanos());
        let look = Look {
            dir: tree.dir,
            since: tree.with_base.then_some(since),
            disk: limits.disk_bytes,
            inodes: limits.inodes,
            by_force: false,
        };
        let shared = Arc::<Shared>::default();
        let (watching, sees) = (look.clone(), Arc::clone(&shared));
        let thread = std::thread::Builder::new().name("work-tree".to_owned()).spawn(move || {
            let mut rest = REST;
            while !sees.stop.load(Ordering::Relaxed) {
                std::thread::park_timeout(rest);
                let begun = Instant::now();
                let taken = watching.run(&sees.stop);
                *sees.taken.lock().unwrap_or_else(PoisonError::into_inner) = Some(taken);
                rest = REST.max(begun.elapsed() * SHARE);
            }
        })?;
        Ok(Self { look, shared, thread })
    }

    /// What the last look found; nothing before the first.
    pub(super) fn latest(&self) -> Result<Taken, Unread> {
        if self.thread.is_finished() {
            return Err(Unread::new(&self.look.dir, "whoever watches it has ended"));
        }
        let taken = self.shared.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.clone().unwrap_or(Ok(Taken::default()))
    }

    /// Looks once more, after everything that could write is dead: nothing is hidden from this one.
    pub(super) fn last(&self) -> Result<Taken, Unread> {
        self.shared.stop.store(true, Ordering::Relaxed);
        Look { by_force: true, ..self.look.clone() }.run(&AtomicBool::new(false))
    }
}

impl Drop for TreeWatch {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
    }
}

/// One walk over a tree: it ends where a limit is passed, so that its length is bounded by what is allowed.
#[derive(Debug, Clone)]
struct Look {
    dir: PathBuf,
    since: Option<(i64, u32)>,
    disk: u64,
    inodes: u64,
    by_force: bool,
}

impl Look {
    fn run(&self, stop: &AtomicBool) -> Result<Taken, Unread> {
        let mut taken = Taken::default();
        match self.root() {
            Ok(root) => self.level(&root, LEVELS, stop, &mut taken).map(|()| taken),
            // Its owner hides it; the last look opens it.
            Err(error) if !self.by_force && is_hidden(&error) => Ok(taken),
            Err(error) => Err(Unread::new(&self.dir, &error)),
        }
    }

    fn root(&self) -> Result<Dir, BeneathError> {
        match (self.dir.parent(), self.dir.file_name()) {
            (Some(above), Some(name)) if self.by_force => Dir::open_root(above)?.open_dir_by_force(name),
            _ => Dir::open_root(&self.dir),
        }
    }

    fn level(&self, dir: &Dir, levels: usize, stop: &AtomicBool, taken: &mut Taken) -> Result<(), Unread> {
        let most = usize::try_from(self.inodes.saturating_add(1)).unwrap_or(usize::MAX);
        let entries = match dir.entries(most) {
            Ok(entries) => entries,
            Err(BeneathError::TooMany { .. }) if self.since.is_none() => {
                taken.entries = u64::MAX;
                return Ok(());
            }
            // A folder may be changed while it is listed; what is missed now is seen next time.
            Err(BeneathError::Act { .. }) if !self.by_force => return Ok(()),
            Err(error) => return Err(Unread::new(&self.dir, &error)),
        };
        for entry in entries {
            self.count(&entry, taken);
            if taken.bytes > self.disk || taken.entries > self.inodes || stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            if entry.status.kind != FileKind::Directory {
                continue;
            }
            if levels == 0 {
                return Err(Unread::new(&self.dir, &format!("it is deeper than {LEVELS} folders")));
            }
            let name = Path::new(&entry.name);
            let opened = if self.by_force { dir.open_dir_by_force(name) } else { dir.open_dir(name) };
            match opened {
                Ok(inner) => self.level(&inner, levels - 1, stop, taken)?,
                Err(error) if self.by_force => return Err(Unread::new(&self.dir, &error)),
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn count(&self, entry: &Entry, taken: &mut Taken) {
        let status = &entry.status;
        if self.since.is_none_or(|since| status.changed >= since) {
            taken.entries = taken.entries.saturating_add(1);
            taken.bytes = taken.bytes.saturating_add(status.blocks.saturating_mul(BLOCK));
            if status.kind == FileKind::File {
                taken.largest = taken.largest.max(status.size);
            }
        }
    }
}

fn is_hidden(error: &BeneathError) -> bool {
    error.kind() == Some(io::ErrorKind::PermissionDenied)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn look(dir: &Path, by_force: bool) -> Result<Taken, Unread> {
        let look = Look { dir: dir.to_owned(), since: None, disk: u64::MAX, inodes: 1000, by_force };
        look.run(&AtomicBool::new(false))
    }

    #[test]
    fn a_tree_that_cannot_be_counted_is_not_an_empty_one() {
        let top = tempfile::tempdir().unwrap();
        let dir = top.path().join("upper");
        for by_force in [false, true] {
            let absent = look(&dir, by_force).unwrap_err().to_string();
            assert!(absent.contains("upper cannot be read"), "{absent}");
        }
        let mut deep = dir.clone();
        for _ in 0..LEVELS {
            deep.push("d");
        }
        fs::create_dir_all(&deep).unwrap();
        assert_eq!(look(&dir, true).unwrap().entries, LEVELS as u64);
        fs::create_dir_all(deep.join("d/d")).unwrap();
        assert!(look(&dir, false).unwrap_err().to_string().contains("deeper than 200 folders"));
    }
}
