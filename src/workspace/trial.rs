//! A trial of the overlay that runs use, laid on the file systems that they use it on.
//!
//! Whether overlayfs can be mounted is no property of the kernel alone: its upper layer cannot lie on another
//! overlay, which is what most containers have for a root.

use std::path::Path;

use tempfile::TempDir;

use super::prepare::{fresh_folder, overlay_folders};
use super::{RunUid, TreeForm, Upper, WorkspaceError};
use crate::beneath::Dir;

const FOLDER: &str = "trial";

/// An empty upper layer over the cache folder; removed with this value.
#[derive(Debug)]
pub struct OverlayTrial {
    place: TempDir,
    form: TreeForm,
}

impl OverlayTrial {
    /// Upper layer in `state_dir`, where those of runs lie; `cache_dir`, where bases lie, as the lower one.
    pub fn lay(cache_dir: &Path, state_dir: &Path, uid: RunUid) -> Result<Self, WorkspaceError> {
        let place = tempfile::Builder::new().prefix("probe-").tempdir_in(state_dir);
        let place = place.map_err(WorkspaceError::place("make a folder in", state_dir))?;
        overlay_folders(&fresh_folder(place.path(), FOLDER, uid)?, uid)?;
        let upper = Upper::Disk { dir: place.path().join(FOLDER) };
        Ok(Self { place, form: TreeForm::Overlay { lowers: vec![cache_dir.to_owned()], upper } })
    }

    /// What to mount.
    #[must_use]
    pub const fn form(&self) -> &TreeForm {
        &self.form
    }
}

impl Drop for OverlayTrial {
    fn drop(&mut self) {
        // Overlayfs leaves a folder without permissions there, which only force opens. The rest is `place`'s.
        Dir::open_root(self.place.path()).and_then(|dir| dir.clear()).ok();
    }
}
