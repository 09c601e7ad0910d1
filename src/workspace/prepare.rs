//! The workspace of one run: the form that its mode asks for, and the way back to a patch.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use git2::Tree;

use super::base::CachedBase;
use super::collect::{Bounds, Collected, LEVELS, collect};
use super::git::{Scratch, git_id, oid};
use super::lay_base::lay_base;
use super::mount::{TreeForm, TreeMount, Upper};
use super::patch::{Patch, section};
use super::{Base, RunUid, WorkspaceError, diff};
use crate::beneath::{Dir, FileKind};
use crate::eligibility::ExecutionPermit;
use crate::vocab::{Limits, MutationMode};

/// Where the work tree appears inside.
pub const WORKSPACE: &str = "/workspace";
/// New content of all changed files together, bytes: a patch is held in memory and carried in a bundle.
pub const PATCH_BYTES: u64 = 256 << 20;

/// The folder of a workspace, in its run's own.
pub const WORK_FOLDER: &str = "workspace";
pub(super) const FOLDER: &str = WORK_FOLDER;

/// Where a workspace may put things, and for whom.
#[derive(Debug, Clone)]
pub struct Placement {
    /// The harness's cache folder; checkouts of bases are kept in `bases` below.
    pub cache_dir: PathBuf,
    /// The run's own folder, which exists; `workspace` below is made, and removed at the end.
    pub run_dir: PathBuf,
    /// The payload's identity, which will own the files.
    pub uid: RunUid,
    /// Whether this host can mount overlayfs (`HostFacts::overlay`).
    pub overlay: bool,
    /// Paths in the tree that the harness mounts something on (inputs): no change of the run's.
    pub mounted: Vec<String>,
}

/// A prepared workspace. It stays on disk until [`Workspace::remove`], so that a run can be resumed.
#[derive(Debug)]
pub struct Workspace {
    base: Base,
    placement: Placement,
    limits: Limits,
    form: TreeForm,
    /// Keeps the cached base where it is.
    _cached: Option<CachedBase>,
}

impl Workspace {
    /// Prepares the form for the permit's mode: `none` gives a read-only view, every other one a private view
    /// that can be written; over the cached base where overlayfs is to be had, else a copy.
    pub fn prepare(
        permit: &ExecutionPermit,
        base: &Base,
        placement: Placement,
    ) -> Result<Self, WorkspaceError> {
        Self::prepare_for(permit.mode(), permit.limits(), base, placement)
    }

    /// [`Workspace::prepare`] without the permit, which only tells mode and limits. For views that are no run:
    /// whatever is executed there, no evidence rests on it.
    pub(crate) fn prepare_for(
        mode: MutationMode,
        limits: &Limits,
        base: &Base,
        placement: Placement,
    ) -> Result<Self, WorkspaceError> {
        let dir = fresh_folder(&placement.run_dir, FOLDER, placement.uid)?;
        let at = placement.run_dir.join(FOLDER);
        let (form, cached) = if mode == MutationMode::None || placement.overlay {
            let cached = CachedBase::obtain(base, &placement.cache_dir, placement.uid)?;
            let lowers = vec![cached.dir.clone()];
            if mode == MutationMode::None {
                (TreeForm::ReadOnly { lowers }, Some(cached))
            } else {
                overlay_folders(&dir, placement.uid)?;
                (TreeForm::Overlay { lowers, upper: Upper::Disk { dir: at } }, Some(cached))
            }
        } else {
            private_copy(base, &dir, &at, placement.uid)?;
            (TreeForm::Private { dir: at.join("tree") }, None)
        };
        Ok(Self { base: base.clone(), placement, limits: limits.clone(), form, _cached: cached })
    }

    /// The workspace that an earlier attempt of the run left, as it is: same base, same form. `None` where
    /// there is none to go on with, whole, and a fresh one has to be prepared.
    pub fn reopen(
        permit: &ExecutionPermit,
        base: &Base,
        placement: Placement,
    ) -> Result<Option<Self>, WorkspaceError> {
        let files = || WorkspaceError::files("look at what an earlier attempt left");
        let run = Dir::open_root(&placement.run_dir).map_err(files())?;
        let at = placement.run_dir.join(FOLDER);
        let is_ours = |name: &str| -> Result<bool, WorkspaceError> {
            let found = run.status(Path::new(FOLDER).join(name)).map_err(files())?;
            Ok(found.is_some_and(|found| found.kind == FileKind::Directory))
        };
        if placement.uid.own && is_ours("")? {
            // The uid that the earlier attempt had may be another run's by now.
            let owner = (placement.uid.host_uid, placement.uid.host_gid);
            let dir = run.open_dir_by_force(FOLDER).map_err(files())?;
            dir.give_all(owner, LEVELS)
                .map_err(WorkspaceError::files("hand over what an earlier attempt left"))?;
        }
        let cached = |base: &Base| CachedBase::obtain(base, &placement.cache_dir, placement.uid);
        let (form, cached) = if permit.mode() != MutationMode::None && is_ours("upper")? && is_ours("work")? {
            let cached = cached(base)?;
            let (lowers, upper) = (vec![cached.dir.clone()], Upper::Disk { dir: at });
            (TreeForm::Overlay { lowers, upper }, Some(cached))
        } else if permit.mode() != MutationMode::None && is_ours("tree")? {
            (TreeForm::Private { dir: at.join("tree") }, None)
        } else {
            return Ok(None);
        };
        let (base, limits) = (base.clone(), permit.limits().clone());
        Ok(Some(Self { base, placement, limits, form, _cached: cached }))
    }

    /// How to lay it into a sandbox.
    #[must_use]
    pub fn mount(&self) -> TreeMount {
        TreeMount { at: PathBuf::from(WORKSPACE), form: self.form.clone() }
    }

    /// `overlay`, `private` or `read-only`.
    #[must_use]
    pub const fn form(&self) -> &'static str {
        match self.form {
            TreeForm::Overlay { .. } => "overlay",
            TreeForm::ReadOnly { .. } => "read-only",
            TreeForm::Private { .. } => "private",
        }
    }

    /// What it started from.
    #[must_use]
    pub const fn base(&self) -> &Base {
        &self.base
    }

    /// Where it lies and for whom; a verification tree goes to the same place.
    #[must_use]
    pub const fn placement(&self) -> &Placement {
        &self.placement
    }

    /// What changed against the base tree. Only after everything that could write there is dead.
    pub fn patch(&self) -> Result<Patch, WorkspaceError> {
        let (dir, whole) = match &self.form {
            TreeForm::ReadOnly { .. } => return Ok(Patch::empty(&self.base)),
            TreeForm::Overlay { .. } => (Path::new("upper"), false),
            TreeForm::Private { .. } => (Path::new("tree"), true),
        };
        let run = Dir::open_root(&self.placement.run_dir)
            .map_err(WorkspaceError::files("open the run's folder"))?;
        let dir = run
            .open_dir(FOLDER)
            .and_then(|folder| folder.open_dir_by_force(dir))
            .map_err(WorkspaceError::files("open the run's changes"))?;
        let git = || WorkspaceError::git("compare with the base");
        let scratch = Scratch::over(Some(&self.base.git_dir)).map_err(git())?;
        let base = oid(&self.base.tree).and_then(|id| scratch.repo().find_tree(id)).map_err(git())?;
        let bounds = Bounds {
            files: self.limits.changed_files,
            file_bytes: self.limits.file_bytes,
            total_bytes: PATCH_BYTES,
            not_its: &|path| self.placement.mounted.iter().any(|mounted| mounted.as_bytes() == path),
        };
        let collected = collect(&scratch, &base, &dir, whole, bounds)?;
        patch_of(&scratch, &self.base, &base, collected)
    }

    /// Removes everything that the run had on disk; the cached base stays.
    pub fn remove(self) -> Result<(), WorkspaceError> {
        remove_folder(&self.placement.run_dir, FOLDER)
    }
}

/// Writes what was collected down as a patch against `base`, whose tree is `tree`.
pub(super) fn patch_of(
    scratch: &Scratch,
    base: &Base,
    tree: &Tree<'_>,
    collected: Collected,
) -> Result<Patch, WorkspaceError> {
    let git = || WorkspaceError::git("compare with the base");
    let result = scratch.repo().find_tree(collected.result).map_err(git())?;
    let written = diff::write(scratch.repo(), tree, &result, &collected.blobs).map_err(git())?;
    let mut oddities = collected.oddities;
    if !written.proven {
        let sentence = "The patch text could not be shown to give the result tree.";
        oddities.block("patch.not-reproducible", b"", sentence);
    }
    let result = git_id(collected.result).map_err(git())?;
    let contents = collected.blobs.into_iter().map(|(id, bytes)| git_id(id).map(|id| (id, bytes)));
    Ok(Patch {
        section: section(base, &result, &written.changes, &written.text, collected.ignored, written.lines),
        text: written.text,
        changes: written.changes,
        oddities: oddities.into_findings(),
        contents: contents.collect::<Result<_, _>>().map_err(git())?,
    })
}

/// Removes what verifications left in `run_dir`. The workspace stays until the run is sealed: whoever goes on with the
/// run needs it.
pub fn remove_remains(run_dir: &Path) -> Result<(), WorkspaceError> {
    remove_folder(run_dir, super::verification::FOLDER)
}

pub(super) fn remove_folder(run_dir: &Path, name: &str) -> Result<(), WorkspaceError> {
    let files = || WorkspaceError::files("remove the run's files");
    match Dir::open_root(run_dir) {
        Ok(dir) => dir.remove_tree(OsStr::new(name)).map_err(files()),
        Err(error) if error.is_absent() => Ok(()),
        Err(error) => Err(files()(error)),
    }
}

/// A new, empty folder of the payload's; what an earlier attempt left there goes.
pub(super) fn fresh_folder(run_dir: &Path, name: &str, uid: RunUid) -> Result<Dir, WorkspaceError> {
    let files = || WorkspaceError::files("make the run's folder");
    let run = Dir::open_root(run_dir).map_err(files())?;
    run.remove_tree(OsStr::new(name)).map_err(files())?;
    let dir = run.create_dir(name, 0o755).map_err(files())?;
    give(&dir, uid)?;
    Ok(dir)
}

/// `upper` and `work` for an overlay.
pub(super) fn overlay_folders(dir: &Dir, uid: RunUid) -> Result<(), WorkspaceError> {
    for name in ["upper", "work"] {
        let made = dir.create_dir(name, 0o755).map_err(WorkspaceError::files("make the upper layer"))?;
        give(&made, uid)?;
    }
    Ok(())
}

fn give(dir: &Dir, uid: RunUid) -> Result<(), WorkspaceError> {
    if uid.own {
        dir.give_itself(uid.host_uid, uid.host_gid)
            .map_err(WorkspaceError::files("hand a folder to the payload"))?;
    }
    Ok(())
}

fn private_copy(base: &Base, dir: &Dir, at: &Path, uid: RunUid) -> Result<(), WorkspaceError> {
    let copy = dir.create_dir("tree", 0o755).map_err(WorkspaceError::files("make a private copy"))?;
    lay_base(base, &copy, &at.join("tree"), uid)
}
