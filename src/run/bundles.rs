//! The folder that bundles go to.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::recording::RecordError;

/// Where bundles go when nobody says otherwise, below the caller's folder.
const DEFAULT: &str = "evidence/runs";

/// The folder for bundles, absolute.
pub(super) fn place(cwd: &Path, out: Option<&Path>) -> PathBuf {
    out.map_or_else(|| cwd.join(DEFAULT), |out| cwd.join(out))
}

/// Makes the folder, with a `.gitignore` of `*` so that evidence never becomes somebody's commit by accident.
pub(super) fn make(bundles: &Path) -> Result<(), RecordError> {
    let failed = |source| RecordError::Folder { path: bundles.to_owned(), source };
    std::fs::DirBuilder::new().recursive(true).mode(0o755).create(bundles).map_err(failed)?;
    let ignore =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(bundles.join(".gitignore"));
    match ignore {
        Ok(mut file) => file.write_all(b"*\n").map_err(failed),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed(error)),
    }
}
