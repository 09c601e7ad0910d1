//! The one thing that may reach the target: a branch with the result, when the contract permits a commit.
//!
//! Objects and a ref are written through libgit2: no hook runs, nothing is checked out, and what is written are
//! the recorded contents, not what lies in any work tree.

use std::path::Path;

use git2::{ErrorCode, Repository, Signature};

use super::git::{git_id, oid};
use super::{Patch, WorkspaceError};
use crate::vocab::{GitId, RunId};

/// Creates the branch `cto/<run_id>` in the repository at `target`: one commit on the base with the recorded
/// result tree. The branch's full name and commit.
pub fn publish_branch(
    target: &Path,
    run_id: &RunId,
    patch: &Patch,
) -> Result<(String, GitId), WorkspaceError> {
    let git = || WorkspaceError::git("publish the result's branch");
    let repo = Repository::open(target).map_err(git())?;
    let name = format!("refs/heads/cto/{run_id}");
    if repo.find_reference(&name).is_ok() {
        return Err(WorkspaceError::BranchExists { name });
    }
    let parent = oid(&patch.section.base_commit).and_then(|id| repo.find_commit(id)).map_err(git())?;
    let result = patch.rebuild(&repo, parent.tree_id())?;
    let tree = repo.find_tree(result).map_err(git())?;
    let author = Signature::now("CTO Harness", "harness@cto.invalid").map_err(git())?;
    let message = format!("Result of {run_id}\n");
    let commit = repo.commit(None, &author, &author, &message, &tree, &[&parent]).map_err(git())?;
    match repo.reference(&name, commit, false, "cto: result of a run") {
        Ok(_) => Ok((name, git_id(commit).map_err(git())?)),
        Err(error) if error.code() == ErrorCode::Exists => Err(WorkspaceError::BranchExists { name }),
        Err(error) => Err(git()(error)),
    }
}
