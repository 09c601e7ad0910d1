//! The one thing that may reach a target: a commit, and one new branch that names it.
//!
//! Guarantees: everything is opened below the registered folder without following a link, so a planted one leads
//! nowhere; objects are only added, as one pack with its index; the branch is made by one exclusive rename under git's
//! own lock, one branch at a time, and only where nothing of that name is, loose or packed. No program, hook, filter or
//! configuration of the target has a say. Killed anywhere, it can be done again and comes to the same.
//! Does not: write a log of refs, touch `HEAD`, a work tree, an index, or any other ref.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use super::{ResultCommit, TargetProblem};
use crate::beneath::{BeneathError, Dir, Durability, FileKind};
use crate::vocab::{GitId, RunId};

/// Longest `packed-refs` that is looked through, bytes.
const PACKED_REFS_MAX: u64 = 256 << 20;
/// Permission bits of a ref, and of a folder on the way to it.
const REF_MODE: u32 = 0o644;
const FOLDER_MODE: u32 = 0o755;
/// How long another process of this program may be at a branch of the same target, which takes it milliseconds.
const WAIT: Duration = Duration::from_secs(10);

/// The name of a run's branch, without `refs/heads/`.
#[must_use]
pub fn result_branch(run_id: &RunId) -> String {
    format!("cto/{run_id}")
}

/// A repository that a branch may be put into, held open.
#[derive(Debug)]
pub struct PublishPlace {
    git: Dir,
    owner: (u32, u32),
    foreign: bool,
}

impl PublishPlace {
    /// The repository whose top is `top`. Its `.git` has to lie there, whole: one that is a link, or leads elsewhere,
    /// stands for another repository than the registered one.
    pub fn open(top: &Path) -> Result<Self, TargetProblem> {
        let elsewhere = |what: &str| {
            TargetProblem::new(
                "publish.elsewhere",
                format!("The repository {} {what}: a branch would be made elsewhere.", top.display()),
                "Register the repository itself, not a work tree or link of it.",
            )
        };
        let dir = Dir::open_root(top).map_err(failed)?;
        if dir.status(".git").map_err(failed)?.is_none_or(|status| status.kind != FileKind::Directory) {
            return Err(elsewhere("has no folder `.git` of its own"));
        }
        let git = dir.open_dir(".git").map_err(failed)?;
        if git.status("commondir").map_err(failed)?.is_some() {
            return Err(elsewhere("keeps its refs in another one"));
        }
        for part in ["objects", "objects/pack", "refs", "refs/heads"] {
            match git.status(part) {
                Ok(Some(status)) if status.kind == FileKind::Directory => {}
                Ok(None) if part == "objects/pack" => {}
                Ok(_) => return Err(elsewhere(&format!("has a `{part}` that is no folder"))),
                Err(error) if error.leads_out() => {
                    return Err(elsewhere(&format!("has a `{part}` that leads out")));
                }
                Err(error) => return Err(failed(error)),
            }
        }
        let own = git.own_status().map_err(failed)?;
        // Root leaves files that the owner of the repository can use and remove.
        let me = std::fs::metadata("/proc/self").map(|me| std::os::unix::fs::MetadataExt::uid(&me));
        Ok(Self { git, owner: (own.uid, own.gid), foreign: me.is_ok_and(|me| me == 0) && own.uid != 0 })
    }

    /// What the branch names, where there is one, loose or packed.
    pub fn branch(&self, branch: &str) -> Result<Option<GitId>, TargetProblem> {
        let full = format!("refs/heads/{branch}");
        let odd = || {
            TargetProblem::new(
                "publish.branch-exists",
                format!("Something that is no plain branch is called `{branch}` in the target."),
                "Look at it, and remove it if nobody needs it.",
            )
        };
        match self.git.status(&full) {
            Ok(None) => {}
            Ok(Some(status)) if status.kind == FileKind::File => {
                let text = self.git.read_file(&full, 1024).map_err(failed)?;
                let id = str::from_utf8(&text).ok().and_then(|text| GitId::new(text.trim_end()).ok());
                return id.map(Some).ok_or_else(odd);
            }
            Ok(Some(_)) => return Err(odd()),
            Err(error) => return Err(led_out(&error)),
        }
        self.packed(&full)
    }

    /// What `packed-refs` says of a name; a name that is a folder of it, or lies below it, cannot be made either.
    fn packed(&self, full: &str) -> Result<Option<GitId>, TargetProblem> {
        let text = match self.git.read_file("packed-refs", PACKED_REFS_MAX) {
            Ok(text) => text,
            Err(error) if error.is_absent() => return Ok(None),
            Err(error) => return Err(led_out(&error)),
        };
        for line in text.split(|byte| *byte == b'\n') {
            let Some((id, name)) = str::from_utf8(line).ok().and_then(|line| line.split_once(' ')) else {
                continue;
            };
            if name == full {
                return GitId::new(id).map(Some).map_err(failed);
            }
            let apart = |a: &str, b: &str| a.strip_prefix(b).is_some_and(|rest| rest.starts_with('/'));
            if apart(full, name) || apart(name, full) {
                return Err(TargetProblem::new(
                    "publish.branch-exists",
                    format!("The target has a ref `{name}`, beside which there can be no `{full}`."),
                    "Rename that branch, then `cto publish` the run.",
                ));
            }
        }
        Ok(None)
    }

    /// Adds the objects of `commit`, durable: the pack first, then its index, which makes them count.
    pub fn put_objects(&self, commit: &ResultCommit) -> Result<(), TargetProblem> {
        let place = self.git.create_dir_all("objects/pack", FOLDER_MODE).map_err(|error| led_out(&error))?;
        for (ending, bytes) in [("pack", &commit.pack), ("idx", &commit.index)] {
            let name = format!("{}.{ending}", commit.name);
            // `git gc` removes files of this beginning that a crash left behind.
            let draft = format!("tmp_pack_cto-{}-{ending}", commit.id);
            self.put(&place, &draft, &name, bytes, 0o444).map(|_| ())?;
        }
        place.sync().map_err(failed)
    }

    /// Makes the branch, durable, if there is none: `true`. One that names this commit already is left: `false`.
    pub fn put_branch(&self, branch: &str, commit: &ResultCommit) -> Result<bool, TargetProblem> {
        let full = format!("refs/heads/{branch}");
        let (folder, name) = full.rsplit_once('/').unwrap_or((&full, branch));
        let place = self.git.create_dir_all(folder, FOLDER_MODE).map_err(|error| led_out(&error))?;
        if self.foreign {
            place.give_itself(self.owner.0, self.owner.1).map_err(failed)?;
        }
        let (lock, text) = (format!("{name}.lock"), format!("{}\n", commit.id));
        // One of ours at a time. So a lock with the beginning of what we would write is of an attempt that was killed.
        if !place.keep_alone(WAIT).map_err(failed)?
            || place.read_file(&lock, 1024).is_ok_and(|held| !text.as_bytes().starts_with(&held))
        {
            return Err(TargetProblem::new(
                "publish.locked",
                format!("The branch `{branch}` is locked in the target by another program."),
                "Wait until that is over, or remove the lock; then `cto publish` the run.",
            ));
        }
        // Under the lock nobody who keeps to it packs the ref that we look for.
        match self.branch(branch)? {
            Some(there) if there == commit.id => {
                place.remove_file(OsStr::new(&lock)).ok();
                return Ok(false);
            }
            Some(_) => return Err(exists(branch)),
            None => {}
        }
        let made = self.put(&place, &lock, name, text.as_bytes(), REF_MODE)?;
        place.sync().map_err(failed)?;
        // Whoever came between, with our lock or his own: what stands there is ours, or it is not made.
        if self.branch(branch)?.as_ref() == Some(&commit.id) { Ok(made) } else { Err(exists(branch)) }
    }

    /// Writes a draft and gives it its name, if that is free: `true`.
    fn put(
        &self,
        place: &Dir,
        draft: &str,
        name: &str,
        bytes: &[u8],
        mode: u32,
    ) -> Result<bool, TargetProblem> {
        let (draft, name) = (OsStr::new(draft), OsStr::new(name));
        match place.remove_file(draft) {
            Err(error) if !error.is_absent() => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
        place.write_new(draft, bytes, mode, Durability::Synced).map_err(failed)?;
        if self.foreign {
            place.give(draft, self.owner.0, self.owner.1).map_err(failed)?;
        }
        match place.publish(draft, name) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == Some(std::io::ErrorKind::AlreadyExists) => {
                place.remove_file(draft).map_err(failed)?;
                Ok(false)
            }
            Err(error) => Err(failed(error)),
        }
    }
}

fn exists(branch: &str) -> TargetProblem {
    TargetProblem::new(
        "publish.branch-exists",
        format!("The target has a branch `{branch}` already, and it is another one."),
        "Look at it, and rename it if somebody needs it; then `cto publish` the run.",
    )
}

fn led_out(error: &BeneathError) -> TargetProblem {
    if error.leads_out() {
        return TargetProblem::new(
            "publish.elsewhere",
            format!("A link in the target's git folder leads elsewhere: {error}."),
            "Put a real folder in its place; look who put the link there.",
        );
    }
    failed(error)
}

fn failed(error: impl std::fmt::Display) -> TargetProblem {
    TargetProblem::new(
        "publish.failed",
        format!("The branch could not be made: {}.", crate::vocab::shown(&error.to_string())),
        "See that the target can be written and its disk has room; then `cto publish` the run.",
    )
}
