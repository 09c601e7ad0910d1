//! Whether the target's work tree is clean: what `git status` would list, found without running anything.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use git2::{Delta, DiffOptions, Repository};

use super::git::Scratch;
use crate::vocab::shown_bytes;

/// So many paths are told; more would help nobody.
const TOLD: usize = 20;

/// Paths that differ between commit, index and work tree, made visible, at most 20; empty when clean.
/// Ignored files do not count, nor does what lies at or below `ignore`.
pub(super) fn dirt(repo: &Repository, top: &Path, ignore: &[PathBuf]) -> Result<Vec<String>, git2::Error> {
    let ignore: Vec<PathBuf> = ignore.iter().filter_map(|path| relative(path, top)).collect();
    let counts = |path: &[u8]| {
        let path = Path::new(std::ffi::OsStr::from_bytes(path));
        !ignore.iter().any(|ignored| path.starts_with(ignored))
    };
    let mut found = Vec::new();
    let mut add = |path: Option<&[u8]>| {
        if let Some(path) = path
            && counts(path)
            && found.len() < TOLD
        {
            let path = shown_bytes(path);
            if !found.contains(&path) {
                found.push(path);
            }
        }
    };
    if !staged_nothing(repo)? {
        let head = repo.head()?.peel_to_tree()?;
        let staged = repo.diff_tree_to_index(Some(&head), None, None)?;
        staged.deltas().for_each(|delta| add(delta.new_file().path_bytes()));
    }
    let mut options = DiffOptions::new();
    options
        .include_untracked(true)
        .recurse_untracked_dirs(!ignore.is_empty())
        .ignore_submodules(true)
        .skip_binary_check(true)
        .include_typechange(true);
    let unstaged = repo.diff_index_to_workdir(None, Some(&mut options))?;
    for delta in unstaged.deltas().filter(|delta| delta.status() != Delta::Unmodified) {
        add(delta.new_file().path_bytes().or_else(|| delta.old_file().path_bytes()));
    }
    Ok(found)
}

/// Whether the index is the tree of HEAD. Git keeps the trees of unchanged folders in the index, so this is
/// usually one comparison; what is missing is written to memory.
fn staged_nothing(repo: &Repository) -> Result<bool, git2::Error> {
    let head = repo.head()?.peel_to_tree()?.id();
    let mut index = repo.index()?;
    if index.has_conflicts() {
        return Ok(false);
    }
    let scratch = Scratch::over(Some(repo.commondir()))?;
    Ok(index.write_tree_to(scratch.repo())? == head)
}

fn relative(path: &Path, top: &Path) -> Option<PathBuf> {
    if path.is_relative() {
        return Some(path.to_owned());
    }
    // A path that does not exist (yet) is compared by its text.
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    real.strip_prefix(top).ok().map(Path::to_owned)
}
