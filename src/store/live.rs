//! Folders for what must not outlive the process that made them: overlay uppers, private homes, trees by hand.
//!
//! Guarantees: all lie in one folder of the state, so that one look tells whether anything is there; each belongs to
//! its maker exactly while the maker holds its lock, which the kernel frees however the maker dies; dropping one
//! removes it, and what a dead maker left is found by [`abandoned`].

use std::ffi::OsStr;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::StoreError;
use crate::beneath::Dir;

/// All of them, below the state folder.
const LIVE: &str = "live";
/// Held while one is made and while abandoned ones are looked for, so that one that has no lock yet is not taken
/// for a dead maker's.
const GATE: &str = "live.lock";
const LOCK: &str = "lock";
const CONTENT: &str = "content";

/// A folder of this process, gone when this is dropped.
#[derive(Debug)]
pub struct LiveFolder {
    dir: PathBuf,
    /// Whether the next call is to find it.
    kept: bool,
    // Held, never read: the kernel frees it with the process.
    _lock: File,
}

impl LiveFolder {
    /// A new folder whose name begins with `kind`.
    pub fn make(state: &Path, kind: &str) -> Result<Self, StoreError> {
        Self::under_gate(state, |live| {
            let made = tempfile::Builder::new().prefix(&format!("{kind}-")).tempdir_in(live);
            made.map(tempfile::TempDir::keep).map_err(|e| io("made", live, e))
        })
    }

    /// A new folder of that name.
    pub(super) fn named(state: &Path, name: &str) -> Result<Self, StoreError> {
        Self::under_gate(state, |live| {
            let dir = live.join(name);
            DirBuilder::new().mode(0o700).create(&dir).map_err(|e| io("made", &dir, e))?;
            Ok(dir)
        })
    }

    fn under_gate(
        state: &Path,
        make: impl FnOnce(&Path) -> Result<PathBuf, StoreError>,
    ) -> Result<Self, StoreError> {
        let _gate = gate(state)?;
        let live = state.join(LIVE);
        make_dir(&live)?;
        let dir = make(&live)?;
        let lock = open_lock(&dir.join(LOCK))?;
        lock.lock().map_err(|e| io("locked", &dir, e))?;
        make_dir(&dir.join(CONTENT))?;
        Ok(Self { dir, kept: false, _lock: lock })
    }

    /// Where its contents go.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.dir.join(CONTENT)
    }

    /// Its own name.
    pub(super) fn name(&self) -> &OsStr {
        self.dir.file_name().unwrap_or_default()
    }

    /// Removes what is in it. What cannot be removed now is found again by the next clean-up.
    pub fn empty(&self) -> Result<(), StoreError> {
        remove_tree(&self.path())
    }

    /// Leaves it to whoever comes next, who sees then that its maker is gone.
    pub(super) const fn keep(&mut self) {
        self.kept = true;
    }

    /// It goes with this process again.
    pub(super) const fn let_go(&mut self) {
        self.kept = false;
    }

    /// Whether it stays when this is dropped.
    pub(super) const fn is_kept(&self) -> bool {
        self.kept
    }

    /// The folder of that name, which a dead maker left with everything in it, or a new one. `None` where its maker
    /// lives.
    pub(super) fn taken_up(state: &Path, name: &str) -> Result<Option<Self>, StoreError> {
        let _gate = gate(state)?;
        let live = state.join(LIVE);
        make_dir(&live)?;
        let dir = live.join(name);
        make_dir(&dir)?;
        let lock = open_lock(&dir.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(e)) => return Err(io("locked", &dir, e)),
        }
        make_dir(&dir.join(CONTENT))?;
        Ok(Some(Self { dir, kept: false, _lock: lock }))
    }

    /// Removes it with everything in it: unreadable folders and odd objects included. The lock goes last.
    pub fn remove(self) -> Result<(), StoreError> {
        self.remove_all()
    }

    fn remove_all(&self) -> Result<(), StoreError> {
        self.empty()?;
        remove_tree(&self.dir)
    }
}

impl Drop for LiveFolder {
    fn drop(&mut self) {
        if !self.kept {
            // What cannot be removed has no lock any more, and the next call finds it.
            let _later = self.remove_all();
        }
    }
}

/// The lock of the folder of that name.
pub(super) fn lock_of(state: &Path, name: &str) -> PathBuf {
    state.join(LIVE).join(name).join(LOCK)
}

/// Whether the folder of that name belongs to a living maker. It only looks: nothing is made or changed.
pub(super) fn lives(state: &Path, name: &str) -> Result<bool, StoreError> {
    let path = lock_of(state, name);
    let lock = match File::open(&path) {
        Ok(lock) => lock,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(io("looked at", &path, e)),
    };
    // Shared, for a moment: whoever looks for dead makers meanwhile takes this one for alive, and finds it the next time.
    match lock.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(e)) => Err(io("looked at", &path, e)),
    }
}

/// Folders whose makers are dead, each now this process's own. Without any, this is one look at one folder.
pub(super) fn abandoned(state: &Path) -> Result<Vec<LiveFolder>, StoreError> {
    let live = state.join(LIVE);
    if names(&live)?.is_empty() {
        return Ok(Vec::new());
    }
    let _gate = gate(state)?;
    let mut found = Vec::new();
    for dir in names(&live)? {
        let lock = match open_lock(&dir.join(LOCK)) {
            // Its maker removed it since the list was made; that takes no gate.
            Err(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => continue,
            opened => opened?,
        };
        match lock.try_lock() {
            Ok(()) => found.push(LiveFolder { dir, kept: false, _lock: lock }),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(e)) => return Err(io("locked", &dir, e)),
        }
    }
    Ok(found)
}

/// Every folder that there is, whoever has it.
pub(super) fn present(state: &Path) -> Result<Vec<PathBuf>, StoreError> {
    names(&state.join(LIVE))
}

fn names(live: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let failed = |e| io("listed", live, e);
    match std::fs::read_dir(live) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path()).map_err(failed)).collect(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(failed(e)),
    }
}

fn gate(state: &Path) -> Result<File, StoreError> {
    let path = state.join(GATE);
    let gate = open_lock(&path)?;
    gate.lock().map_err(|e| io("locked", &path, e))?;
    Ok(gate)
}

fn remove_tree(path: &Path) -> Result<(), StoreError> {
    let failed = |why: String| io("cleaned up", path, std::io::Error::other(why));
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    let removed = Dir::open_root(parent).and_then(|parent| parent.remove_tree(name));
    match removed {
        Ok(()) => Ok(()),
        Err(error) if error.is_absent() => Ok(()),
        Err(error) => Err(failed(error.to_string())),
    }
}

pub(super) fn make_dir(path: &Path) -> Result<(), StoreError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| io("made", path, e))
}

fn open_lock(path: &Path) -> Result<File, StoreError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(path).map_err(|e| io("locked", path, e))
}

pub(super) fn io(act: &'static str, path: &Path, source: std::io::Error) -> StoreError {
    StoreError::Io { act, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_its_maker_removes_meanwhile_is_nobodys_trouble() {
        let state = tempfile::tempdir().unwrap();
        let path = state.path().to_owned();
        let makers: Vec<_> = (0..3)
            .map(|_| {
                let path = path.clone();
                std::thread::spawn(move || {
                    for _ in 0..150 {
                        drop(LiveFolder::make(&path, "x").unwrap());
                    }
                })
            })
            .collect();
        while makers.iter().any(|maker| !maker.is_finished()) {
            drop(abandoned(&path).unwrap());
        }
        for maker in makers {
            maker.join().unwrap();
        }
        assert!(names(&path.join(LIVE)).unwrap().is_empty());
    }

    #[test]
    fn a_folder_lives_as_long_as_its_maker_and_a_dead_ones_is_found() {
        let state = tempfile::tempdir().unwrap();
        let folder = LiveFolder::make(state.path(), "by-hand").unwrap();
        std::fs::write(folder.path().join("x"), "x").unwrap();
        let name = folder.name().to_str().unwrap().to_owned();
        assert!(lives(state.path(), &name).unwrap() && !lives(state.path(), "other").unwrap());
        assert!(abandoned(state.path()).unwrap().is_empty(), "its maker lives");
        let at = folder.path();
        drop(folder);
        assert!(!at.exists());

        // What a killed process leaves: everything but the lock's owner, at any point of the making.
        let live = state.path().join(LIVE);
        for half in ["replay-1", "replay-2/content/deep", "replay-3"] {
            std::fs::create_dir_all(live.join(half)).unwrap();
        }
        std::fs::write(live.join("replay-3/lock"), "").unwrap();
        assert!(!lives(state.path(), &name).unwrap() && !lives(state.path(), "replay-3").unwrap());
        let found = abandoned(state.path()).unwrap();
        assert_eq!(found.len(), 3);
        assert!(abandoned(state.path()).unwrap().is_empty(), "one finder each");
        drop(found);
        assert_eq!(names(&live).unwrap(), Vec::<PathBuf>::new());
    }
}
