//! The base: a commit of the target, and its immutable checkout in the cache.
//!
//! A checkout is made once per tree and payload uid, under a lock, beside its final name, and published by a
//! rename; a marker names the boot it was made in, because only within one boot are unsynced files sure to be
//! whole. While a run holds a [`CachedBase`] nobody removes it.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::WorkspaceError;
use super::lay_base::lay_base;
use super::uid::RunUid;
use crate::beneath::Dir;
use crate::vocab::GitId;

/// Raised when a checkout's layout changes, so that older ones are not used.
const LAYOUT: &str = "1";
const MARKER: &str = "complete";

/// A commit and where its objects are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// Absolute path of the folder with `objects/`: the repository's common git folder.
    pub git_dir: PathBuf,
    /// The commit.
    pub commit: GitId,
    /// Its tree.
    pub tree: GitId,
}

/// A checkout in the cache that stays as long as this value.
#[derive(Debug)]
pub(super) struct CachedBase {
    /// The checkout, with the engine's `.git`.
    pub(super) dir: PathBuf,
    _lock: File,
}

impl CachedBase {
    /// The checkout of `base` for this uid, made if it is not there.
    pub(super) fn obtain(base: &Base, cache_dir: &Path, uid: RunUid) -> Result<Self, WorkspaceError> {
        let bases = cache_dir.join("bases");
        std::fs::create_dir_all(&bases).map_err(WorkspaceError::place("make the cache folder", &bases))?;
        let key = format!("{}-{}", base.tree, uid.host_uid);
        let used = LockFile::open(&bases, format!("{key}.lock"))?;
        let making = LockFile::open(&bases, format!("{key}.making"))?;
        let stamp = stamp()?;
        loop {
            used.shared()?;
            if is_complete(&bases.join(&key), &stamp) {
                // The time of the lock file is when the base was last used.
                let touched = used.file.set_modified(std::time::SystemTime::now());
                touched.map_err(WorkspaceError::place("mark as used", &used.path))?;
                return Ok(Self { dir: bases.join(&key).join("tree"), _lock: used.file });
            }
            used.unlock()?;
            // INVARIANT: a complete base is held for as long as a run, an incomplete one only for a look. Whoever
            // has `making` and finds it incomplete therefore waits for looks, never for the end of another run.
            making.exclusive()?;
            if !is_complete(&bases.join(&key), &stamp) {
                used.exclusive()?;
                make(base, &bases, &key, &stamp, uid)?;
                used.unlock()?;
            }
            making.unlock()?;
        }
    }
}

/// A file of the cache that is there to be locked. Closing it unlocks it.
struct LockFile {
    file: File,
    path: PathBuf,
}

impl LockFile {
    fn open(bases: &Path, name: String) -> Result<Self, WorkspaceError> {
        let path = bases.join(name);
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        Ok(Self { file: file.map_err(WorkspaceError::place("open the cache lock", &path))?, path })
    }

    fn shared(&self) -> Result<(), WorkspaceError> {
        self.file.lock_shared().map_err(WorkspaceError::place("lock the cached base", &self.path))
    }

    fn exclusive(&self) -> Result<(), WorkspaceError> {
        self.file.lock().map_err(WorkspaceError::place("lock the cached base", &self.path))
    }

    fn unlock(&self) -> Result<(), WorkspaceError> {
        self.file.unlock().map_err(WorkspaceError::place("unlock the cached base", &self.path))
    }
}

/// Removes cached bases that no run holds, least recently used first, until at most `keep` are left; the names
/// of those removed.
pub fn trim_base_cache(cache_dir: &Path, keep: usize) -> Result<Vec<String>, WorkspaceError> {
    let bases = cache_dir.join("bases");
    let dir = match Dir::open_root(&bases) {
        Ok(dir) => dir,
        Err(error) if error.is_absent() => return Ok(Vec::new()),
        Err(error) => return Err(WorkspaceError::files("open the cache folder")(error)),
    };
    let files = || WorkspaceError::files("trim the cache");
    let mut locks = Vec::new();
    for entry in dir.entries(100_000).map_err(files())? {
        if let Some(key) = entry.name.to_str().and_then(|name| name.strip_suffix(".lock")) {
            locks.push((entry.status.modified, key.to_owned()));
        }
    }
    locks.sort();
    let surplus = locks.len().saturating_sub(keep);
    let mut removed = Vec::new();
    for (_, key) in locks.into_iter().take(surplus) {
        let path = bases.join(format!("{key}.lock"));
        let lock =
            OpenOptions::new().write(true).open(&path).map_err(WorkspaceError::place("open", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => continue,
            Err(TryLockError::Error(source)) => return Err(WorkspaceError::place("lock", &path)(source)),
        }
        for name in [key.clone(), format!(".{key}.new")] {
            dir.remove_tree(OsStr::new(&name)).map_err(files())?;
        }
        removed.push(key);
    }
    Ok(removed)
}

/// Removes checkouts that a dead process had begun. One that is being made has its maker's lock, and stays.
pub fn remove_half_made_bases(cache_dir: &Path) -> Result<(), WorkspaceError> {
    let bases = cache_dir.join("bases");
    let dir = match Dir::open_root(&bases) {
        Ok(dir) => dir,
        Err(error) if error.is_absent() => return Ok(()),
        Err(error) => return Err(WorkspaceError::files("open the cache folder")(error)),
    };
    let files = || WorkspaceError::files("remove a half made base");
    for entry in dir.entries(100_000).map_err(files())? {
        let Some(key) = entry.name.to_str().and_then(|name| name.strip_prefix('.')?.strip_suffix(".new"))
        else {
            continue;
        };
        let making = LockFile::open(&bases, format!("{key}.making"))?;
        match making.file.try_lock() {
            Ok(()) => dir.remove_tree(&entry.name).map_err(files())?,
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(source)) => {
                return Err(WorkspaceError::place("lock", &making.path)(source));
            }
        }
    }
    Ok(())
}

fn make(base: &Base, bases: &Path, key: &str, stamp: &str, uid: RunUid) -> Result<(), WorkspaceError> {
    let files = || WorkspaceError::files("make the cached base");
    let cache = Dir::open_root(bases).map_err(files())?;
    let fresh = format!(".{key}.new");
    for stale in [fresh.as_str(), key] {
        cache.remove_tree(OsStr::new(stale)).map_err(files())?;
    }
    let new = cache.create_dir(&fresh, 0o755).map_err(files())?;
    let dir = new.create_dir("tree", 0o755).map_err(files())?;
    lay_base(base, &dir, &bases.join(&fresh).join("tree"), uid)?;
    let marker = new.create_file(MARKER, 0o600).map_err(files())?;
    (&marker).write_all(stamp.as_bytes()).map_err(WorkspaceError::place("mark as complete", bases))?;
    cache.publish(OsStr::new(&fresh), OsStr::new(key)).map_err(files())
}

fn is_complete(dir: &Path, stamp: &str) -> bool {
    std::fs::read_to_string(dir.join(MARKER)).is_ok_and(|found| found == stamp)
}

fn stamp() -> Result<String, WorkspaceError> {
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    let boot = std::fs::read_to_string(path).map_err(WorkspaceError::place("read", path))?;
    Ok(format!("{LAYOUT} {}", boot.trim()))
}
