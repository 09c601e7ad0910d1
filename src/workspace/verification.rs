//! The tree that verification sees: base and recorded patch, nothing else of what an engine wrote.
//!
//! The patch layer is laid out from the recorded changes and contents, after they were checked to give the
//! recorded result tree. Verification files lie in a folder of their own, to be bind-mounted read-only over the
//! tree; the tree holds the same content there, so that every mount point exists.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use git2::{Oid, Repository, Tree};

use super::base::CachedBase;
use super::checkout::{Checkout, PATCHED_TIME};
use super::git::{Scratch, oid};
use super::mount::{TreeForm, TreeMount, Upper};
use super::prepare::{Placement, WORKSPACE, fresh_folder, overlay_folders, remove_folder};
use super::tree::{self, Edit, FOLDER as TREE_MODE, PLAIN};
use super::{Base, Patch, WorkspaceError};
use crate::beneath::{Dir, Durability};

pub(super) const FOLDER: &str = "verification";

/// A tree for one pass of verification commands, which share what they write.
#[derive(Debug)]
pub struct VerificationTree {
    mount: TreeMount,
    files: Vec<ProtectedFile>,
    run_dir: PathBuf,
    folder: String,
    /// Keeps the cached base where it is.
    _cached: Option<CachedBase>,
}

/// A verification file: to be bind-mounted read-only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtectedFile {
    /// Where its bytes lie on the host.
    pub from: PathBuf,
    /// Where it appears inside, absolute.
    pub to: PathBuf,
}

impl VerificationTree {
    /// Base and `patch`, or the base alone, with `files` (path from the tree's top → bytes) laid over it.
    pub fn prepare(
        base: &Base,
        patch: Option<&Patch>,
        files: &BTreeMap<String, Vec<u8>>,
        placement: &Placement,
    ) -> Result<Self, WorkspaceError> {
        let folder = format!("{FOLDER}/{}", if patch.is_some() { "result" } else { "base" });
        remove_folder(&placement.run_dir.join(FOLDER), if patch.is_some() { "result" } else { "base" })?;
        let run =
            Dir::open_root(&placement.run_dir).map_err(WorkspaceError::files("open the run's folder"))?;
        run.create_dir_all(FOLDER, 0o755).map_err(WorkspaceError::files("make the verification folder"))?;
        let name = if patch.is_some() { "result" } else { "base" };
        let dir = fresh_folder(&placement.run_dir.join(FOLDER), name, placement.uid)?;
        let at = placement.run_dir.join(&folder);

        let git = || WorkspaceError::git("put the verification tree together");
        let scratch = Scratch::over(Some(&base.git_dir)).map_err(git())?;
        let base_id = oid(&base.tree).map_err(git())?;
        let result = match patch {
            Some(patch) => patch.rebuild(scratch.repo(), base_id)?,
            None => base_id,
        };
        let wanted = with_files(&scratch, result, files).map_err(git())?;
        let trees = (
            scratch.repo().find_tree(base_id).map_err(git())?,
            scratch.repo().find_tree(wanted).map_err(git())?,
        );

        let checkout = Checkout { repo: scratch.repo(), uid: placement.uid, time: PATCHED_TIME };
        let (form, cached) = if placement.overlay {
            let layer =
                dir.create_dir("layer", 0o755).map_err(WorkspaceError::files("make the patch layer"))?;
            lay_difference(&checkout, &trees.0, &trees.1, &layer, &mut Vec::new())?;
            overlay_folders(&dir, placement.uid)?;
            let cached = CachedBase::obtain(base, &placement.cache_dir, placement.uid)?;
            let lowers = vec![at.join("layer"), cached.dir.clone()];
            (TreeForm::Overlay { lowers, upper: Upper::Disk { dir: at.clone() } }, Some(cached))
        } else {
            let copy = dir.create_dir("tree", 0o755).map_err(WorkspaceError::files("make a private copy"))?;
            checkout.tree(&trees.1, &copy, &mut Vec::new())?;
            (TreeForm::Private { dir: at.join("tree") }, None)
        };
        let files = protect(&dir, &at, files)?;
        let mount = TreeMount { at: PathBuf::from(WORKSPACE), form };
        Ok(Self { mount, files, run_dir: placement.run_dir.clone(), folder: folder.clone(), _cached: cached })
    }

    /// How to lay it into a sandbox.
    #[must_use]
    pub fn mount(&self) -> TreeMount {
        self.mount.clone()
    }

    /// The verification files, to be bind-mounted read-only over the tree.
    #[must_use]
    pub fn files(&self) -> &[ProtectedFile] {
        &self.files
    }

    /// Removes it from disk; the cached base stays.
    pub fn remove(self) -> Result<(), WorkspaceError> {
        let folder = Path::new(&self.folder);
        match (folder.parent(), folder.file_name().and_then(std::ffi::OsStr::to_str)) {
            (Some(parent), Some(name)) => remove_folder(&self.run_dir.join(parent), name),
            _ => Ok(()),
        }
    }
}

fn with_files(git: &Scratch, tree: Oid, files: &BTreeMap<String, Vec<u8>>) -> Result<Oid, git2::Error> {
    if files.is_empty() {
        return Ok(tree);
    }
    let mut edits: BTreeMap<Vec<u8>, Edit> = BTreeMap::new();
    for (path, bytes) in files {
        edits.insert(path.as_bytes().to_vec(), Some((PLAIN, git.blob(bytes)?)));
    }
    tree::edited(git.repo(), Some(&git.repo().find_tree(tree)?), &edits)
}

/// Lays what turns `from` into `to` out as an overlay layer: new and changed entries, whiteouts for the rest.
fn lay_difference(
    checkout: &Checkout<'_>,
    from: &Tree<'_>,
    to: &Tree<'_>,
    layer: &Dir,
    path: &mut Vec<u8>,
) -> Result<(), WorkspaceError> {
    let files = || WorkspaceError::files("lay out the patch layer");
    for gone in from.iter().filter(|entry| to.get_name_bytes(entry.name_bytes()).is_none()) {
        layer.create_whiteout(super::names::os_name(gone.name_bytes())).map_err(files())?;
    }
    for entry in to {
        let name = entry.name_bytes();
        let before = from.get_name_bytes(name);
        if before.as_ref().is_some_and(|b| b.id() == entry.id() && b.filemode_raw() == entry.filemode_raw()) {
            continue;
        }
        match before {
            Some(before) if before.filemode_raw() == TREE_MODE && entry.filemode_raw() == TREE_MODE => {
                let find = |id| folder(checkout.repo, id);
                let (old, new) = (find(before.id())?, find(entry.id())?);
                let inner = layer.create_dir(super::names::os_name(name), 0o755).map_err(files())?;
                let length = path.len();
                path.extend_from_slice(name);
                path.push(b'/');
                lay_difference(checkout, &old, &new, &inner, path)?;
                path.truncate(length);
            }
            _ => checkout.entry(name, entry.filemode_raw(), entry.id(), layer, path)?,
        }
    }
    checkout.own(layer)
}

fn folder(repo: &Repository, id: Oid) -> Result<Tree<'_>, WorkspaceError> {
    repo.find_tree(id).map_err(WorkspaceError::git("read a folder of the tree"))
}

fn protect(
    dir: &Dir,
    at: &Path,
    files: &BTreeMap<String, Vec<u8>>,
) -> Result<Vec<ProtectedFile>, WorkspaceError> {
    let fail = || WorkspaceError::files("lay out a verification file");
    let folder = dir.create_dir("files", 0o755).map_err(fail())?;
    let mut protected = Vec::new();
    for (number, (path, bytes)) in files.iter().enumerate() {
        let name = number.to_string();
        // Owned by the harness: the payload can read it, and neither write nor replace it.
        folder.write_new(&name, bytes, 0o644, Durability::Lazy).map_err(fail())?;
        let to = Path::new(WORKSPACE).join(path);
        protected.push(ProtectedFile { from: at.join("files").join(name), to });
    }
    Ok(protected)
}
