//! The folder that bundles go to.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};

use super::RunError;
use super::recording::RecordError;
use super::target::Source;
use crate::vocab::RunId;
use crate::workspace::holds_tracked;

/// Where bundles go when nobody says otherwise, below the caller's folder.
const DEFAULT: &str = "evidence/runs";

/// The folder for bundles, absolute and, as far as it exists, without links.
pub(super) fn place(cwd: &Path, out: Option<&Path>) -> PathBuf {
    let named = cwd.join(out.unwrap_or(Path::new(DEFAULT)));
    let mut real = PathBuf::new();
    for part in named.components() {
        match part {
            // What stands here already is real, or does not exist and so is no link.
            Component::ParentDir => {
                real.pop();
            }
            part => real.push(part),
        }
        if let Ok(found) = real.canonicalize() {
            real = found;
        }
    }
    real
}

/// Refuses a folder that evidence cannot name, or in which bundles would be taken for the target's own files.
pub(super) fn refuse_unfit(bundles: &Path, source: &Source) -> Result<(), RunError> {
    let refuse = |what: String| {
        let sentence = format!("bundles cannot go to {}: {what}", bundles.display());
        let remedy = "with --out, name a folder of their own with a plain name, outside of the target or untracked in it";
        Err(RunError::Usage { sentence, remedy: remedy.into() })
    };
    if bundles.to_str().is_none() {
        return refuse("its path is not UTF-8".into());
    }
    let Some(top) = source.identity() else { return Ok(()) };
    if bundles == top {
        return refuse("it is the top of the target".into());
    }
    let Some(base) = source.base() else { return Ok(()) };
    if source.is_fixture() {
        return if bundles.starts_with(top) { refuse("it lies in the fixture".into()) } else { Ok(()) };
    }
    if bundles.starts_with(&base.git_dir) || bundles.starts_with(top.join(".git")) {
        return refuse("it lies in the target's git folder".into());
    }
    match holds_tracked(top, bundles) {
        Ok(false) => Ok(()),
        Ok(true) => refuse("it holds tracked files of the target".into()),
        Err(problem) => refuse(problem.sentence),
    }
}

/// Makes the folder. One that holds nothing but bundles gets a `.gitignore` of `*`, so that evidence never becomes
/// somebody's commit by accident; anywhere else that would hide other people's files from git.
pub(super) fn make(bundles: &Path) -> Result<(), RecordError> {
    let failed = |source| RecordError::Folder { path: bundles.to_owned(), source };
    std::fs::DirBuilder::new().recursive(true).mode(0o755).create(bundles).map_err(failed)?;
    for entry in std::fs::read_dir(bundles).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if name.to_str().is_none_or(|name| RunId::parse(name).is_err()) {
            return Ok(());
        }
    }
    let ignore =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(bundles.join(".gitignore"));
    match ignore {
        Ok(mut file) => file.write_all(b"*\n").map_err(failed),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed(error)),
    }
}
