//! The repository that a run starts from: found, pinned, described.

use std::path::{Path, PathBuf};

use super::input::Asked;
use crate::contract::TaskContract;
use crate::eligibility::{Observed, TargetFacts};
use crate::home::{Home, Registry};
use crate::workspace::{
    Base, ObserveOptions, TargetProblem, import_fixture, observe_target_cached, read_base_file,
};

/// The source of a run, as far as it could be found.
#[derive(Debug)]
pub(super) struct Source {
    facts: Observed<TargetFacts>,
    remedy: String,
    base: Option<Base>,
    identity: Option<PathBuf>,
}

impl Source {
    /// Looks at the target of `asked`. `bundles` is where evidence goes.
    pub(super) fn look(home: &Home, registry: &Registry, asked: &Asked, bundles: &Path) -> Self {
        let task = asked.contract.task();
        if let Some(repo) = asked.fixture_repo() {
            return Self::fixture(home, task, &repo);
        }
        let Some(path) = locate(registry, &task.target_repository) else {
            let what = format!("The URL `{}` is not registered.", task.target_repository);
            let remedy = "register its local clone: `cto repo add DIR --url URL --ownership …`";
            return Self::unseen(Observed::Absent(what), remedy, None);
        };
        let options = ObserveOptions {
            look_for_dirt: task.clean_start,
            contract: asked.file.clone(),
            bundles: Some(bundles.to_owned()),
        };
        match observe_target_cached(&path, &task.base_ref, &options, home.cache()) {
            Ok(found) => Self {
                identity: Some(PathBuf::from(&found.facts.identity)),
                base: Some(found.base),
                facts: Observed::Seen(found.facts),
                remedy: String::new(),
            },
            Err(problem) => Self::without(problem, path.canonicalize().ok()),
        }
    }

    fn fixture(home: &Home, task: &TaskContract, repo: &Path) -> Self {
        if task.base_ref != "HEAD" {
            let what = format!("A fixture has one commit, and `{}` is not its name.", task.base_ref);
            let remedy = "write `base_ref = \"HEAD\"`, or leave it out";
            return Self::unseen(Observed::Absent(what), remedy, Some(repo.to_owned()));
        }
        match import_fixture(repo, &home.cache().join("fixtures.git")) {
            Ok(imported) => Self {
                facts: Observed::Seen(TargetFacts {
                    identity: repo.display().to_string(),
                    commit: imported.commit.clone(),
                    tree: imported.tree.clone(),
                    is_fixture: true,
                    dirt: Some(Vec::new()),
                    unreadable_forms: imported.unreadable_forms,
                }),
                remedy: String::new(),
                base: Some(Base { git_dir: imported.git_dir, commit: imported.commit, tree: imported.tree }),
                identity: Some(repo.to_owned()),
            },
            Err(problem) => Self::without(problem, Some(repo.to_owned())),
        }
    }

    fn without(problem: TargetProblem, identity: Option<PathBuf>) -> Self {
        let absent = problem.is_absent();
        let facts = if absent { Observed::Absent } else { Observed::Error }(problem.sentence);
        Self::unseen(facts, &problem.remedy, identity)
    }

    fn unseen(facts: Observed<TargetFacts>, remedy: &str, identity: Option<PathBuf>) -> Self {
        Self { facts, remedy: remedy.to_owned(), base: None, identity }
    }

    /// What to do about a target that was not seen; empty for one that was.
    pub(super) fn remedy(&self) -> &str {
        &self.remedy
    }

    /// What the gates see.
    pub(super) fn facts(&self) -> Observed<TargetFacts> {
        self.facts.clone()
    }

    /// Whether the harness imports it from plain files.
    pub(super) const fn is_fixture(&self) -> bool {
        matches!(&self.facts, Observed::Seen(target) if target.is_fixture)
    }

    /// The repository's top, canonical.
    pub(super) fn identity(&self) -> Option<&Path> {
        self.identity.as_deref()
    }

    /// The pinned base.
    pub(super) const fn base(&self) -> Option<&Base> {
        self.base.as_ref()
    }

    /// A regular file of the base tree: `None` when there is none of that name.
    pub(super) fn read_base_file(&self, path: &str, max: u64) -> Option<Result<Vec<u8>, String>> {
        read_base_file(self.base.as_ref()?, path, max).map_err(|error| error.to_string()).transpose()
    }
}

/// A URL stands for a registered clone; nothing is fetched.
fn locate(registry: &Registry, target: &str) -> Option<PathBuf> {
    if target.contains("://") || !target.starts_with('/') {
        registry.by_url(target).map(|entry| entry.path.clone())
    } else {
        Some(PathBuf::from(target))
    }
}
