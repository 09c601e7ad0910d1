//! Looking at the target repository: facts for the gates, or the problem that there are none.
//!
//! Everything is read through libgit2, which runs no program. The user's own configuration counts here (what is
//! ignored, who may open what), because nothing that an engine wrote is ever a target.

use std::path::{Path, PathBuf};

use git2::{ErrorCode, Repository, Tree};

use super::base::Base;
use super::clean;
use super::forms::{HUGE_FORM, forms_of_repository, forms_of_tree, remembered_forms};
use super::git::git_id;
use crate::eligibility::TargetFacts;

/// What to look at besides the base.
#[derive(Debug, Clone, Default)]
pub struct ObserveOptions {
    /// Whether to look for changes in the work tree (`clean_start`).
    pub look_for_dirt: bool,
    /// The contract's file, which never counts as dirt. Absolute, or relative to the top.
    pub contract: Option<PathBuf>,
    /// The folder that bundles go to: untracked run folders in it never count. Absolute, or relative to the top.
    pub bundles: Option<PathBuf>,
}

/// A target that could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What the gates see.
    pub facts: TargetFacts,
    /// Where a run starts from.
    pub base: Base,
}

/// Why there are no facts about a target: a refusal with its remedy, not an error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{sentence} {remedy}")]
pub struct TargetProblem {
    /// Stable: `target.not-a-repository`, `target.other-owner` …
    pub code: &'static str,
    /// What is wrong, one sentence.
    pub sentence: String,
    /// What to do about it.
    pub remedy: String,
}

impl TargetProblem {
    pub(super) fn new(code: &'static str, sentence: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { code, sentence: sentence.into(), remedy: remedy.into() }
    }

    /// Whether the thing that was named is not there, as opposed to there and not usable.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        const ABSENT: [&str; 4] =
            ["target.not-a-repository", "target.not-the-top", "target.unborn-head", "target.base-ref"];
        ABSENT.contains(&self.code)
    }

    pub(super) fn unreadable(path: &Path, error: &git2::Error) -> Self {
        Self::new(
            "target.unreadable",
            format!("The repository {} cannot be read: {}.", path.display(), error.message()),
            "Make all of it readable for this account, and check it with `git fsck`.",
        )
    }
}

/// Observes the repository whose top is `path`, at `base_ref`.
///
/// A repository of another owner is refused for everybody, also for root, as git does: what it says could be
/// somebody's trap. `safe.directory` in the user's own git configuration lifts that.
pub fn observe_target(
    path: &Path,
    base_ref: &str,
    options: &ObserveOptions,
) -> Result<Target, TargetProblem> {
    observe(path, base_ref, options, None)
}

/// [`observe_target`] that remembers in `cache_dir` which trees it has looked through: a tree's id says all of
/// its content, and a large one takes longer to read than all the rest.
pub fn observe_target_cached(
    path: &Path,
    base_ref: &str,
    options: &ObserveOptions,
    cache_dir: &Path,
) -> Result<Target, TargetProblem> {
    observe(path, base_ref, options, Some(cache_dir))
}

fn observe(
    path: &Path,
    base_ref: &str,
    options: &ObserveOptions,
    cache_dir: Option<&Path>,
) -> Result<Target, TargetProblem> {
    let top = std::fs::canonicalize(path).map_err(|error| {
        let there = error.kind() != std::io::ErrorKind::NotFound;
        TargetProblem::new(
            if there { "target.unreadable" } else { "target.not-a-repository" },
            format!("There is no repository to be had at {}: {error}.", path.display()),
            if there {
                "Make every folder above it enterable."
            } else {
                "Name an existing repository's top folder."
            },
        )
    })?;
    let identity = top.to_str().map(str::to_owned).ok_or_else(|| {
        TargetProblem::new(
            "target.path-not-utf8",
            format!("The path {} is not UTF-8.", top.display()),
            "Move the repository to a path that is.",
        )
    })?;
    let repo = open(&top)?;
    let commit = resolve(&repo, &top, base_ref)?;
    let unreadable = |error: git2::Error| TargetProblem::unreadable(&top, &error);
    let tree = commit.tree().map_err(unreadable)?;
    let base = Base {
        git_dir: repo.commondir().to_owned(),
        commit: git_id(commit.id()).map_err(unreadable)?,
        tree: git_id(tree.id()).map_err(unreadable)?,
    };
    let mut forms = forms_of_repository(&repo).map_err(unreadable)?;
    let look = |tree: &Tree<'_>| match cache_dir {
        Some(cache_dir) => remembered_forms(&repo, tree, cache_dir),
        None => forms_of_tree(&repo, tree),
    };
    forms.extend(look(&tree).map_err(unreadable)?);
    if options.look_for_dirt && forms.is_empty() {
        // The work tree is compared with HEAD, which may be another commit than the base.
        let head = repo.head().and_then(|head| head.peel_to_tree()).map_err(unreadable)?;
        let of_head = if head.id() == tree.id() { Vec::new() } else { look(&head).map_err(unreadable)? };
        forms.extend(of_head.into_iter().filter(|form| form == HUGE_FORM));
    }
    let dirt = if options.look_for_dirt && forms.is_empty() {
        Some(clean::dirt(&repo, &top, options).map_err(unreadable)?)
    } else {
        None
    };
    let facts = TargetFacts {
        identity,
        commit: base.commit.clone(),
        tree: base.tree.clone(),
        is_fixture: false,
        dirt,
        unreadable_forms: forms,
    };
    Ok(Target { facts, base })
}

fn open(top: &Path) -> Result<Repository, TargetProblem> {
    let repo = Repository::open(top).map_err(|error| open_problem(top, &error))?;
    let workdir = repo.workdir().map(Path::to_owned);
    match workdir.map(std::fs::canonicalize) {
        None => Ok(repo),
        Some(Ok(workdir)) if workdir == top => Ok(repo),
        Some(_) => Err(TargetProblem::new(
            "target.not-the-top",
            format!("{} is not the top of its repository's work tree.", top.display()),
            "Name the folder that holds the work tree.",
        )),
    }
}

fn open_problem(top: &Path, error: &git2::Error) -> TargetProblem {
    if error.code() == ErrorCode::Owner {
        return TargetProblem::new(
            "target.other-owner",
            format!("The repository {} belongs to another user.", top.display()),
            format!(
                "Run as its owner, or trust it with `git config --global --add safe.directory {}`.",
                top.display()
            ),
        );
    }
    let config = std::fs::read_to_string(top.join(".git/config"))
        .or_else(|_| std::fs::read_to_string(top.join("config")))
        .map(|text| text.to_ascii_lowercase());
    if let Ok(config) = config {
        for (word, code, what) in [
            ("sha256", "target.sha256", "uses SHA-256 object ids"),
            ("partialclone", "target.partial-clone", "is a partial clone, whose objects are elsewhere"),
            ("extensions", "target.unsupported-extension", "uses a repository extension"),
        ] {
            if config.contains(word) {
                return TargetProblem::new(
                    code,
                    format!("The repository {} {what}, which this version does not read.", top.display()),
                    "Make a full clone with SHA-1 object ids and name that.",
                );
            }
        }
        return TargetProblem::unreadable(top, error);
    }
    // Something stands where the repository would be, or nobody lets us see whether it does.
    match std::fs::symlink_metadata(top.join(".git")) {
        Err(absent) if absent.kind() == std::io::ErrorKind::NotFound => {}
        Ok(_) | Err(_) => return TargetProblem::unreadable(top, error),
    }
    if let Some(above) = top.ancestors().skip(1).find(|above| above.join(".git").exists()) {
        return TargetProblem::new(
            "target.not-the-top",
            format!("{} lies inside the repository {}.", top.display(), above.display()),
            format!("Name the top, {}.", above.display()),
        );
    }
    TargetProblem::new(
        "target.not-a-repository",
        format!("{} is not a git repository.", top.display()),
        "Name a repository's top folder, or make one with `git init` and a first commit.",
    )
}

fn resolve<'r>(repo: &'r Repository, top: &Path, base_ref: &str) -> Result<git2::Commit<'r>, TargetProblem> {
    if let Err(error) = repo.head()
        && error.code() == ErrorCode::UnbornBranch
    {
        return Err(TargetProblem::new(
            "target.unborn-head",
            format!("The repository {} has no commit yet.", top.display()),
            "Make a first commit.",
        ));
    }
    repo.revparse_single(base_ref).and_then(|object| object.peel_to_commit()).map_err(|error| {
        TargetProblem::new(
            "target.base-ref",
            format!("The base ref {base_ref:?} names no commit of {}: {}.", top.display(), error.message()),
            "Name a branch, tag or commit that `git rev-parse` finds there.",
        )
    })
}
