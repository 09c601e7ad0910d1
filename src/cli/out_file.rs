//! A file that a command of ours writes for its caller at its end, decided before anything runs.
//!
//! It is made in a folder that nothing inside can write to, and put in place under its name when it is whole, so that a
//! link there is never followed.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::problem::Problem;
use crate::sandbox::SandboxPolicy;

/// Readable to all: what is written is for others to review, and what may be secret is not in it.
const MODE: u32 = 0o644;

/// What becomes of a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Already {
    /// The new one takes its place.
    Replace,
    /// It stays, and that is an error.
    Keep,
}

/// The file in the making.
pub(super) struct OutFile {
    file: tempfile::NamedTempFile,
    path: PathBuf,
    already: Already,
}

impl OutFile {
    /// Makes sure that `path`, given by `option`, can be written when the command of `policy` has ended.
    pub(super) fn open(
        option: &str,
        path: &Path,
        policy: &SandboxPolicy,
        already: Already,
    ) -> Result<Self, Problem> {
        let name = path.file_name().ok_or_else(|| {
            Problem::usage(format!("{option} {}: not a file's name", path.display()), "name a file to write")
        })?;
        let fail = |source| Problem::Write { path: path.to_owned(), source };
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new(".")).canonicalize().map_err(fail)?;
        if policy.writable.iter().any(|bind| parent.starts_with(&bind.from)) {
            return Err(Problem::usage(
                format!("{option} {}: the command may write there itself", path.display()),
                "name a file outside of every --rw folder",
            ));
        }
        let place = parent.join(name);
        if already == Already::Keep && place.symlink_metadata().is_ok() {
            return Err(there_already(option, path));
        }
        let file = tempfile::Builder::new().prefix(".cto-out-").tempfile_in(&parent).map_err(fail)?;
        Ok(Self { file, path: place, already })
    }

    /// Where it will be.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes it and puts it in place.
    pub(super) fn publish(mut self, bytes: &[u8]) -> Result<(), Problem> {
        let path = self.path.clone();
        let fail = |source| Problem::Write { path: path.clone(), source };
        self.file.write_all(bytes).map_err(fail)?;
        self.file.as_file().set_permissions(std::fs::Permissions::from_mode(MODE)).map_err(fail)?;
        let placed = match self.already {
            Already::Replace => self.file.persist(&self.path),
            Already::Keep => self.file.persist_noclobber(&self.path),
        };
        placed.map(drop).map_err(|error| fail(error.error))
    }
}

fn there_already(option: &str, path: &Path) -> Problem {
    Problem::usage(
        format!("{option}={}: there is something there already, and it is never overwritten", path.display()),
        format!("move it away, or name another file: `{option}=FILE`"),
    )
}
