//! A copy-on-write view of a folder, for `cto sandbox`: no run, no permit, no evidence.
//!
//! Where it can be, the view is an overlay over the folder itself, so it is there at once at any size. Where the
//! payload has a host uid of its own it could not write to files of others, so the overlay lies over a copy; where
//! there is no overlay, the view is a copy. The folder itself, its own `.git` included, is only read.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use git2::Index;

use super::before::{Before, Sides};
use super::collect::{Bounds, collect};
use super::folder::{Stamp, Stamps, copy, stamps};
use super::git::{Scratch, git_id};
use super::ignores::Ignores;
use super::mount::{TreeForm, TreeMount, Upper};
use super::prepare::{
    FOLDER, PATCH_BYTES, Placement, fresh_folder, overlay_folders, patch_of, remove_folder,
};
use super::{Base, Patch, WorkspaceError};
use crate::beneath::{Dir, FileKind};
use crate::vocab::shown_bytes;

/// Changed files of a patch by hand.
const CHANGED_FILES: u64 = 100_000;
/// Findings that say: the patch holds less than what changed, and only because there is a bound.
const CUT_SHORT: [&str; 7] = [
    "patch.incomplete",
    "patch.too-large",
    "patch.too-many-lines",
    "patch.too-many-names",
    "patch.too-deep",
    "patch.unstable",
    "patch.not-reproducible",
];

/// A view of a folder.
#[derive(Debug)]
pub struct FolderView {
    folder: PathBuf,
    placement: Placement,
    form: TreeForm,
    /// What stood in the folder when the view was opened.
    then: Stamps,
    /// Of a private copy: what stood in it.
    copied: Option<Stamps>,
}

impl FolderView {
    /// Prepares a view of `folder` (absolute).
    pub fn open(folder: &Path, placement: Placement) -> Result<Self, WorkspaceError> {
        let files = || WorkspaceError::files("read the folder");
        let source = Dir::open_root(folder).map_err(files())?;
        let then = stamps(&source)?;
        let uid = placement.uid;
        let dir = fresh_folder(&placement.run_dir, FOLDER, uid)?;
        let at = placement.run_dir.join(FOLDER);
        let copied = if uid.own || !placement.overlay {
            let tree = dir.create_dir("tree", 0o755).map_err(WorkspaceError::files("make a copy"))?;
            copy(&source, &tree, uid)?;
            Some(tree)
        } else {
            None
        };
        let (form, copied) = if placement.overlay {
            overlay_folders(&dir, uid)?;
            let lower = if copied.is_some() { at.join("tree") } else { folder.to_owned() };
            (TreeForm::Overlay { lowers: vec![lower], upper: Upper::Disk { dir: at } }, None)
        } else {
            (TreeForm::Private { dir: at.join("tree") }, copied.as_ref().map(stamps).transpose()?)
        };
        Ok(Self { folder: folder.to_owned(), placement, form, then, copied })
    }

    /// How to lay it into a sandbox: at the folder's own path.
    #[must_use]
    pub fn mount(&self) -> TreeMount {
        TreeMount { at: self.folder.clone(), form: self.form.clone() }
    }

    /// What changed against the folder. Only after everything that could write to the view is dead.
    pub fn patch(&self) -> Result<Patch, WorkspaceError> {
        let git = || WorkspaceError::git("compare with the folder");
        let files = || WorkspaceError::files("open the view's changes");
        let there = Dir::open_root(&self.folder).map_err(files())?;
        let whole = self.copied.is_some();
        let layer = Dir::open_root(&self.placement.run_dir)
            .and_then(|run| run.open_dir(FOLDER))
            .and_then(|dir| dir.open_dir_by_force(if whole { "tree" } else { "upper" }))
            .map_err(files())?;
        let scratch = Scratch::over(None).map_err(git())?;
        let mut before = Before {
            git: &scratch,
            tracked: Index::open(&self.folder.join(".git/index")).ok(),
            then: &self.then,
            copied: self.copied.as_ref(),
            room: PATCH_BYTES,
            same: untouched(self.copied.as_ref(), &layer),
        };
        let top = Sides { there: &there, layer: Some(&layer), whole, only_tracked: false, level: 0 };
        let tree = match before.folder(&top, &Ignores::default(), &mut Vec::new())? {
            Some(tree) => tree,
            None => scratch.repo().treebuilder(None).and_then(|empty| empty.write()).map_err(git())?,
        };
        let bounds = Bounds {
            files: CHANGED_FILES,
            file_bytes: PATCH_BYTES,
            total_bytes: PATCH_BYTES,
            not_its: &|path| before.same.contains(path),
        };
        let id = git_id(tree).map_err(git())?;
        let tree = scratch.repo().find_tree(tree).map_err(git())?;
        let collected = collect(&scratch, &tree, &layer, whole, bounds)?;
        // A folder has no commit, and no report of one is written.
        let base = Base { git_dir: self.folder.clone(), commit: id.clone(), tree: id };
        let patch = patch_of(&scratch, &base, &tree, collected)?;
        match patch.oddities.iter().find(|finding| CUT_SHORT.contains(&finding.code.as_str())) {
            None => Ok(patch),
            Some(short) => Err(WorkspaceError::ByHand {
                sentence: format!("no patch: {} {}", short.path, short.sentence),
                remedy: "let an ignore file name what needs no patch, or change less at a time",
            }),
        }
    }

    /// Paths that `patch` touches and that were changed in the folder itself since the view was opened, made
    /// visible.
    pub fn moved_under(&self, patch: &Patch) -> Result<Vec<String>, WorkspaceError> {
        let there = Dir::open_root(&self.folder).map_err(WorkspaceError::files("open the folder"))?;
        let mut moved = Vec::new();
        for path in patch.changes.iter().flat_map(|change| change.from.iter().chain([&change.path])) {
            if self.moved(&there, path)? {
                moved.push(shown_bytes(path));
            }
        }
        Ok(moved)
    }

    fn moved(&self, there: &Dir, path: &[u8]) -> Result<bool, WorkspaceError> {
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        for end in ends.chain([path.len()]) {
            let part = path.get(..end).unwrap_or(path);
            let now = match there.status(OsStr::from_bytes(part)) {
                Ok(now) => now.as_ref().map(Stamp::of),
                // A folder on the way became a link.
                Err(error) if error.leads_out() => return Ok(true),
                Err(error) => return Err(WorkspaceError::files("look at the folder")(error)),
            };
            // A folder on the way may come and go: a patch makes the ones that it needs.
            let is_no_folder = now.is_some_and(|now| now.kind != FileKind::Directory);
            if now != self.then.get(part).copied() && (end == path.len() || is_no_folder) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes the view from disk.
    pub fn remove(self) -> Result<(), WorkspaceError> {
        remove_folder(&self.placement.run_dir, FOLDER)
    }
}

impl Drop for FolderView {
    fn drop(&mut self) {
        // Also where there was no patch: overlayfs leaves a folder there that only force opens.
        remove_folder(&self.placement.run_dir, FOLDER).ok();
    }
}

/// Of a private copy: the files that nobody touched since they were copied.
fn untouched(copied: Option<&Stamps>, layer: &Dir) -> HashSet<Vec<u8>> {
    let same = |(path, then): &(&Vec<u8>, &Stamp)| {
        // What cannot be looked at by its path alone is compared by content later.
        let now = layer.status(OsStr::from_bytes(path)).ok().flatten();
        then.kind != FileKind::Directory && now.is_some_and(|now| Stamp::of(&now) == **then)
    };
    copied.into_iter().flatten().filter(same).map(|(path, _)| path.clone()).collect()
}
