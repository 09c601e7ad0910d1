//! What may leave the harness besides the bundle: a branch in the target, when the contract permits it.
//!
//! It is made after the bundle is sealed, so whatever is found in a target has its evidence; the audit log
//! announces it first. No program runs: objects and one ref are written, and nothing that was there is touched.

use super::Scene;
use crate::audit::{Act, Audit};
use crate::contract::Permission;
use crate::evidence::Report;
use crate::home::Home;
use crate::vocab::Verdict;
use crate::workspace::{Patch, publish_branch};

/// What became of the branch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Published {
    /// Its name, when it was made.
    pub(super) branch: Option<String>,
    /// Why it was not made although it should have been.
    pub(super) problem: Option<String>,
}

/// Makes `cto/<run_id>` in the target, if the contract permits `commit`, the verdict is `pass`, and something
/// changed.
pub(super) fn branch(home: &Home, scene: &Scene, report: &Report, patch: Option<&Patch>) -> Published {
    let permitted = scene.asked.contract.task().permissions.contains(&Permission::Commit);
    let (Some(patch), Some(base), true) = (patch, scene.seen.source.base(), permitted) else {
        return Published::default();
    };
    if report.verdict != Verdict::Pass || patch.changes.is_empty() || scene.asked.fixture_repo().is_some() {
        return Published::default();
    }
    let announced = Audit::new(home.state(), scene.account()).act(
        Act::PublishBranch,
        Some(&scene.run_id),
        base.git_dir.display().to_string(),
    );
    let made = announced.map_err(|error| error.to_string()).and_then(|()| {
        publish_branch(&base.git_dir, &scene.run_id, patch).map_err(|error| error.to_string())
    });
    match made {
        Ok((branch, _)) => Published { branch: Some(branch), problem: None },
        Err(problem) => Published { branch: None, problem: Some(problem) },
    }
}
