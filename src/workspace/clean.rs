//! Whether the target's work tree is clean: what `git status` would list, found without running anything.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use git2::{Delta, DiffDelta, DiffOptions, Repository};

use super::git::Scratch;
use super::target::{ObserveOptions, TargetProblem};
use crate::vocab::{RunId, shown_bytes};

/// So many paths are told; more would help nobody.
const TOLD: usize = 20;

/// What never counts: the contract's file, and what runs left in their own folders without git knowing of it.
struct Spared {
    contract: Option<PathBuf>,
    bundles: Option<PathBuf>,
}

impl Spared {
    fn below(top: &Path, options: &ObserveOptions) -> Self {
        let below = |path: &Option<PathBuf>| relative(path.as_deref()?, top);
        Self { contract: below(&options.contract), bundles: below(&options.bundles) }
    }

    fn spares(&self, path: &Path, untracked: bool) -> bool {
        let in_a_run = |bundles: &PathBuf| {
            let inner = path.strip_prefix(bundles).ok();
            let first = inner.and_then(|inner| inner.components().next()?.as_os_str().to_str());
            first.is_some_and(|name| RunId::parse(name).is_ok())
        };
        self.contract.as_deref() == Some(path) || (untracked && self.bundles.as_ref().is_some_and(in_a_run))
    }
}

/// Paths that differ between commit, index and work tree, made visible, at most 20; empty when clean.
/// Ignored files do not count, nor does what `options` spares: in the folder of bundles that is what lies in a
/// run's own folder and is not tracked, so that no choice of that folder can hide anything else.
pub(super) fn dirt(
    repo: &Repository,
    top: &Path,
    options: &ObserveOptions,
) -> Result<Vec<String>, git2::Error> {
    let spared = Spared::below(top, options);
    let mut found = Vec::new();
    let mut add = |delta: &DiffDelta<'_>| {
        let path = delta.new_file().path_bytes().or_else(|| delta.old_file().path_bytes());
        if let Some(path) = path
            && !spared.spares(Path::new(OsStr::from_bytes(path)), delta.status() == Delta::Untracked)
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
        staged.deltas().for_each(|delta| add(&delta));
    }
    let mut look = DiffOptions::new();
    look.include_untracked(true)
        .recurse_untracked_dirs(spared.contract.is_some() || spared.bundles.is_some())
        .ignore_submodules(true)
        .skip_binary_check(true)
        .include_typechange(true);
    let unstaged = repo.diff_index_to_workdir(None, Some(&mut look))?;
    unstaged.deltas().filter(|delta| delta.status() != Delta::Unmodified).for_each(|delta| add(&delta));
    Ok(found)
}

/// Whether git tracks anything in `folder`, which is compared without links. `top` is the target's top.
pub fn holds_tracked(top: &Path, folder: &Path) -> Result<bool, TargetProblem> {
    let Some(folder) = relative(folder, top) else { return Ok(false) };
    let index = Repository::open(top).and_then(|repo| repo.index());
    let index = index.map_err(|error| TargetProblem::unreadable(top, &error))?;
    Ok(index.iter().any(|entry| Path::new(OsStr::from_bytes(&entry.path)).starts_with(&folder)))
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
