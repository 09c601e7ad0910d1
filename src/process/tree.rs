//! How much of the disk a work tree takes while somebody writes there: looked at from outside, again and again.
//!
//! There is no quota on a folder that every kernel and file system has, so this is watched and not held: between two
//! looks a payload can write as fast as the disk takes it. A folder that its owner made unreadable is counted after
//! the end only, when it can be opened by force without anybody noticing.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::learned::Used;
use crate::beneath::{Dir, FileKind};
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
    tree: WatchedTree,
    limits: Limits,
    since: (i64, u32),
    shared: Arc<Shared>,
    thread: Option<Thread>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    taken: Mutex<Taken>,
}

impl TreeWatch {
    /// Begins. A thread that cannot be had is no error: [`Self::last`] looks anyway.
    pub(super) fn begin(tree: WatchedTree, limits: &Limits) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // A little back: the file system's clock is coarser than this one.
        let now = now.saturating_sub(COARSE);
        let since = (i64::try_from(now.as_secs()).unwrap_or(i64::MAX), now.subsec_nanos());
        let mut watch = Self { tree, limits: limits.clone(), since, shared: Arc::default(), thread: None };
        let look = watch.look(false);
        let shared = Arc::clone(&watch.shared);
        let watching = move || {
            let mut rest = REST;
            while !shared.stop.load(Ordering::Relaxed) {
                std::thread::park_timeout(rest);
                let begun = Instant::now();
                let taken = look.run(&shared.stop);
                *shared.taken.lock().unwrap_or_else(PoisonError::into_inner) = taken;
                rest = REST.max(begun.elapsed() * SHARE);
            }
        };
        let spawned = std::thread::Builder::new().name("work-tree".to_owned()).spawn(watching);
        watch.thread = spawned.ok().map(|handle| handle.thread().clone());
        watch
    }

    /// What the last look found.
    pub(super) fn latest(&self) -> Taken {
        *self.shared.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks once more, after everything that could write is dead: nothing is hidden from this one.
    pub(super) fn last(&self) -> Taken {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.look(true).run(&AtomicBool::new(false))
    }

    fn look(&self, by_force: bool) -> Look {
        let (disk, inodes) = (self.limits.disk_bytes, self.limits.inodes);
        let (since, with_base) = (self.since, self.tree.with_base);
        Look { dir: self.tree.dir.clone(), since: with_base.then_some(since), disk, inodes, by_force }
    }
}

impl Drop for TreeWatch {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = &self.thread {
            thread.unpark();
        }
    }
}

/// One walk over a tree: it ends where a limit is passed, so that its length is bounded by what is allowed.
#[derive(Debug)]
struct Look {
    dir: PathBuf,
    since: Option<(i64, u32)>,
    disk: u64,
    inodes: u64,
    by_force: bool,
}

impl Look {
    fn run(&self, stop: &AtomicBool) -> Taken {
        let mut taken = Taken::default();
        if let Ok(root) = Dir::open_root(&self.dir) {
            self.level(&root, LEVELS, stop, &mut taken);
        }
        taken
    }

    fn level(&self, dir: &Dir, levels: usize, stop: &AtomicBool, taken: &mut Taken) {
        // A folder may be changed while it is listed; what is missed now is seen next time.
        let most = usize::try_from(self.inodes.saturating_add(1)).unwrap_or(usize::MAX);
        let entries = match dir.entries(most) {
            Ok(entries) => entries,
            Err(error) => {
                if matches!(error, crate::beneath::BeneathError::TooMany { .. }) && self.since.is_none() {
                    taken.entries = u64::MAX;
                }
                return;
            }
        };
        for entry in entries {
            let status = &entry.status;
            if self.since.is_none_or(|since| status.changed >= since) {
                taken.entries = taken.entries.saturating_add(1);
                taken.bytes = taken.bytes.saturating_add(status.blocks.saturating_mul(BLOCK));
                if status.kind == FileKind::File {
                    taken.largest = taken.largest.max(status.size);
                }
            }
            if taken.bytes > self.disk || taken.entries > self.inodes || stop.load(Ordering::Relaxed) {
                return;
            }
            if status.kind == FileKind::Directory && levels > 0 {
                let name = Path::new(&entry.name);
                let opened = if self.by_force { dir.open_dir_by_force(name) } else { dir.open_dir(name) };
                if let Ok(inner) = opened {
                    self.level(&inner, levels - 1, stop, taken);
                }
            }
        }
    }
}
