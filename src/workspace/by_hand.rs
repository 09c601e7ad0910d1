//! A copy-on-write view of a folder, for `cto sandbox`: no run, no permit, no evidence.
//!
//! The folder's plain files (all but its own `.git`) are taken as a snapshot; what is executed works on a private
//! view of that, with a throw-away `.git`, at the folder's own path. The folder itself is only read.

use std::path::{Path, PathBuf};

use git2::{ErrorCode, Oid, Tree};

use super::fixture::{ImportedFixture, import_folder};
use super::git::{Scratch, oid};
use super::prepare::Placement;
use super::{Patch, TreeMount, Workspace, WorkspaceError};
use crate::vocab::{GitId, Limits, MutationMode, shown_bytes};

/// A view of a folder.
#[derive(Debug)]
pub struct FolderView {
    folder: PathBuf,
    store: PathBuf,
    snapshot: ImportedFixture,
    workspace: Workspace,
}

impl FolderView {
    /// Takes the snapshot of `folder` (absolute) and prepares the view.
    pub fn open(folder: &Path, limits: &Limits, placement: Placement) -> Result<Self, WorkspaceError> {
        let store = placement.run_dir.join("snapshot.git");
        let snapshot = import_folder(folder, &store)?;
        let mode = MutationMode::CopiedFixture;
        let workspace = Workspace::prepare_for(mode, limits, &snapshot.base(), placement)?;
        Ok(Self { folder: folder.to_owned(), store, snapshot, workspace })
    }

    /// How to lay it into a sandbox: at the folder's own path.
    #[must_use]
    pub fn mount(&self) -> TreeMount {
        TreeMount { at: self.folder.clone(), ..self.workspace.mount() }
    }

    /// What changed against the snapshot. Only after everything that could write there is dead.
    pub fn patch(&self) -> Result<Patch, WorkspaceError> {
        self.workspace.patch()
    }

    /// Paths that `patch` touches and that were changed in the folder itself since the snapshot, made visible.
    pub fn moved_under(&self, patch: &Patch) -> Result<Vec<String>, WorkspaceError> {
        let now = import_folder(&self.folder, &self.store)?;
        let git = || WorkspaceError::git("compare the folder with its snapshot");
        let scratch = Scratch::over(Some(&self.store)).map_err(git())?;
        let tree = |id: &GitId| oid(id).and_then(|id| scratch.repo().find_tree(id));
        let (then, now) = (tree(&self.snapshot.tree).map_err(git())?, tree(&now.tree).map_err(git())?);
        let mut moved = Vec::new();
        for path in patch.changes.iter().flat_map(|change| change.from.iter().chain([&change.path])) {
            if entry(&then, path).map_err(git())? != entry(&now, path).map_err(git())? {
                moved.push(shown_bytes(path));
            }
        }
        Ok(moved)
    }

    /// Removes the view from disk.
    pub fn remove(self) -> Result<(), WorkspaceError> {
        self.workspace.remove()
    }
}

/// Id and mode of what stands at `path`.
fn entry(tree: &Tree<'_>, path: &[u8]) -> Result<Option<(Oid, i32)>, git2::Error> {
    use std::os::unix::ffi::OsStrExt as _;
    match tree.get_path(Path::new(std::ffi::OsStr::from_bytes(path))) {
        Ok(entry) => Ok(Some((entry.id(), entry.filemode_raw()))),
        Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
