//! The tree of a base laid out as files, and packed for the engine's own `.git`, by several threads.
//!
//! ```text
//! walk ─jobs→ workers ─entries→ pack
//! ```
//! One thread walks the tree, makes its folders and puts the pack together; the others take what stands in a folder, job
//! by job: read each object once, write it as a file, and compress it for the pack. Guarantees: something
//! that went wrong is told, never only what followed from it, and nothing that was laid out by then counts. What this does not do: order between files.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use git2::{IndexEntry, IndexTime, ObjectType, Oid, Tree};

use super::checkout::{BASE_TIME, Checkout, checked, form};
use super::git::{Scratch, oid};
use super::pack::{Compressor, Entry, Pack};
use super::tree::FOLDER;
use super::uid::RunUid;
use super::{Base, WorkspaceError, throwaway};
use crate::beneath::{Dir, Status};

/// Files of a job.
const FILES: usize = 64;
/// Threads that work; more would only wait for the file system.
const WORKERS: usize = 4;
/// Bytes of entries that are handed on together: to wake whoever waits for them costs as much as to make a small one.
const HANDFUL: usize = 1 << 18;
/// Handfuls on their way into the pack, each with so many bytes or one larger object; more would only fill memory.
const WAITING: usize = 4;

/// Lays the tree of `base` out in `dir`, which lies at `at`, with the engine's own `.git`.
pub(super) fn lay_base(base: &Base, dir: &Dir, at: &Path, uid: RunUid) -> Result<(), WorkspaceError> {
    let git = open(base)?;
    let checkout = Checkout { repo: git.repo(), uid, time: BASE_TIME };
    let top = checkout.folder(oid(&base.tree).map_err(WorkspaceError::git("read the base tree"))?)?;
    let mut plan = Plan::default();
    plan.walk(&checkout, &top, dir, &mut Vec::new())?;
    let (sender, entries) = sync_channel(WAITING);
    let next = AtomicUsize::new(0);
    let index = std::thread::scope(|scope| {
        let (plan, next) = (&plan, &next);
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let mut workers = Vec::new();
        for _ in 0..threads.min(WORKERS).min(plan.jobs.len()) {
            let sender = sender.clone();
            let work = move || work(base, dir, uid, plan, next, &sender);
            match std::thread::Builder::new().spawn_scoped(scope, work) {
                Ok(worker) => workers.push(worker),
                // Fewer do as well, but none does nothing.
                Err(error) if workers.is_empty() => {
                    return Err(WorkspaceError::place("start a thread to lay out", at)(error));
                }
                Err(_) => break,
            }
        }
        drop(sender);
        let packed = pack(&git, &top, plan, dir, &entries);
        // Whoever still has something to hand over hears that nobody takes it.
        drop(entries);
        let mut index = Vec::new();
        for worker in workers {
            // A panic goes on here, as if there had been one thread.
            index.extend(worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        packed.map(|()| index)
    })?;
    throwaway::finish(&git, index, dir, at, uid)
}

fn open(base: &Base) -> Result<Scratch, WorkspaceError> {
    Scratch::over(Some(&base.git_dir)).map_err(WorkspaceError::git("open the target's objects"))
}

/// What there is to lay out.
#[derive(Default)]
struct Plan {
    jobs: Vec<Job>,
    /// Folders of the tree, each once.
    trees: HashSet<Oid>,
    /// What stands in files and links, each once.
    blobs: HashSet<Oid>,
}

/// Files and links of one folder.
struct Job {
    /// The folder's path from the top, with a slash at its end or empty.
    folder: Vec<u8>,
    leaves: Vec<Leaf>,
}

struct Leaf {
    name: Vec<u8>,
    mode: i32,
    id: Oid,
    /// Whether whoever lays it out packs it, too: the first that has it.
    packed: bool,
}

impl Plan {
    /// Makes the folders of `tree` below `dir`, and jobs of the rest.
    fn walk(
        &mut self,
        checkout: &Checkout<'_>,
        tree: &Tree<'_>,
        dir: &Dir,
        path: &mut Vec<u8>,
    ) -> Result<(), WorkspaceError> {
        self.trees.insert(tree.id());
        let length = path.len();
        let mut leaves = Vec::new();
        for entry in tree {
            let name = checked(entry.name_bytes(), path)?;
            let (mode, id) = (entry.filemode_raw(), entry.id());
            if mode != FOLDER {
                leaves.push(Leaf { name: name.to_owned(), mode, id, packed: self.blobs.insert(id) });
                continue;
            }
            path.extend_from_slice(name);
            path.push(b'/');
            let inner = dir.create_dir(OsStr::from_bytes(name), 0o755);
            let inner = inner.map_err(WorkspaceError::files("check out a folder"))?;
            self.walk(checkout, &checkout.folder(id)?, &inner, path)?;
            path.truncate(length);
        }
        let mut leaves = leaves.into_iter().peekable();
        while leaves.peek().is_some() {
            self.jobs.push(Job { folder: path.clone(), leaves: leaves.by_ref().take(FILES).collect() });
        }
        checkout.own(dir)
    }
}

/// Takes jobs until there are no more, or nobody takes entries any more; what the index has to say of what was laid out.
fn work(
    base: &Base,
    top: &Dir,
    uid: RunUid,
    plan: &Plan,
    next: &AtomicUsize,
    entries: &SyncSender<Vec<Entry>>,
) -> Result<Vec<IndexEntry>, WorkspaceError> {
    let done = (|| {
        // A repository is one thread's.
        let git = open(base)?;
        let checkout = Checkout { repo: git.repo(), uid, time: BASE_TIME };
        let mut worker = Worker { checkout, compressor: Compressor::new(), index: Vec::new() };
        while let Some(job) = plan.jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            if !worker.lay(job, top, entries)? {
                break;
            }
        }
        Ok(worker.index)
    })();
    if done.is_err() {
        // The others need not go on.
        next.store(plan.jobs.len(), Ordering::Relaxed);
    }
    done
}

struct Worker<'a> {
    checkout: Checkout<'a>,
    compressor: Compressor,
    index: Vec<IndexEntry>,
}

impl Worker<'_> {
    /// Whether somebody still takes entries.
    fn lay(
        &mut self,
        job: &Job,
        top: &Dir,
        entries: &SyncSender<Vec<Entry>>,
    ) -> Result<bool, WorkspaceError> {
        let files = || WorkspaceError::files("check out a folder");
        let inner;
        let dir = if job.folder.is_empty() {
            top
        } else {
            inner = top.open_dir(OsStr::from_bytes(&job.folder)).map_err(files())?;
            &inner
        };
        let (mut handful, mut bytes) = (Vec::new(), 0);
        for leaf in &job.leaves {
            let path = [job.folder.as_slice(), &leaf.name].concat();
            let known = form(leaf.mode, &path)?;
            let blob = self.checkout.blob(leaf.id)?;
            let status = match self.checkout.leaf(&leaf.name, leaf.mode, &blob, dir, &path)? {
                Some(status) => Some(status),
                None => dir.status(OsStr::from_bytes(&leaf.name)).map_err(files())?,
            };
            if let Some(status) = status {
                self.index.push(index_entry(&status, known, leaf.id, path, self.checkout.uid.inside));
            }
            if leaf.packed {
                let entry = self.compressor.entry(ObjectType::Blob, leaf.id, blob.content());
                let entry = entry.map_err(packing())?;
                bytes += entry.size();
                handful.push(entry);
            }
            if bytes > HANDFUL {
                bytes = 0;
                if entries.send(std::mem::take(&mut handful)).is_err() {
                    return Ok(false);
                }
            }
        }
        Ok(entries.send(handful).is_ok())
    }
}

/// Makes `.git` in `dir`, and its pack of `entries` and of what this thread knows itself: the commit and the folders.
fn pack(
    git: &Scratch,
    top: &Tree<'_>,
    plan: &Plan,
    dir: &Dir,
    entries: &Receiver<Vec<Entry>>,
) -> Result<(), WorkspaceError> {
    let (commit, folder) = throwaway::plant(git, top, dir)?;
    let own: Vec<Oid> = plan.trees.iter().copied().chain([commit]).collect();
    let new = |end: &str| folder.create_file(format!("pack-{commit}.{end}"), 0o444);
    let new = |end: &str| new(end).map_err(WorkspaceError::files("pack the base"));
    let mut pack = Pack::begin(new("pack")?, own.len() + plan.blobs.len()).map_err(packing())?;
    let objects = git.repo().odb().map_err(WorkspaceError::git("pack the base"))?;
    let mut compressor = Compressor::new();
    for id in own {
        let object = objects.read(id).map_err(WorkspaceError::git("pack the base"))?;
        let entry = compressor.entry(object.kind(), id, object.data());
        entry.and_then(|entry| pack.add(&entry)).map_err(packing())?;
    }
    for entry in entries.iter().flatten() {
        pack.add(&entry).map_err(packing())?;
    }
    pack.end(new("idx")?).map_err(packing())
}

fn packing() -> impl FnOnce(std::io::Error) -> WorkspaceError {
    WorkspaceError::place("pack", Path::new(".git/objects"))
}

/// As git inside the sandbox will see the file: overlayfs keeps inode, times and size of a lower file, git does
/// not compare devices, and the owner is the inside uid. The index format cuts each number to 32 bits.
fn index_entry(status: &Status, mode: i32, id: Oid, path: Vec<u8>, inside: u32) -> IndexEntry {
    let cut = |number: u64| u32::try_from(number & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    let time =
        |(seconds, nanos): (i64, u32)| IndexTime::new(i32::try_from(seconds).unwrap_or(i32::MAX), nanos);
    IndexEntry {
        ctime: time(status.changed),
        mtime: time(status.modified),
        dev: cut(status.device),
        ino: cut(status.inode),
        mode: mode.unsigned_abs(),
        uid: inside,
        gid: inside,
        file_size: cut(status.size),
        id,
        flags: 0,
        flags_extended: 0,
        path,
    }
}
