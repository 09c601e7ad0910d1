//! The commit that a permitted branch stands for, made beside the target: one pack of exactly what the base has not.
//!
//! Guarantees: made from base and patch alone, in memory; its tree is the recorded one or there is no commit; the same
//! run gives the same commit again, because author, time and text are fixed. Nothing is written to the target here.

use git2::{Oid, Repository, Signature, Time, Tree};

use super::git::{Scratch, git_id, oid};
use super::{Base, Patch, WorkspaceError};
use crate::vocab::{GitId, RunId, Timestamp};

/// Permission bits of a pack, as git gives them.
const PACK_MODE: u32 = 0o444;

/// A commit with its objects, ready to be put somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultCommit {
    /// Its id.
    pub id: GitId,
    /// `pack-<digest>`, without ending.
    pub(super) name: String,
    pub(super) pack: Vec<u8>,
    pub(super) index: Vec<u8>,
}

impl ResultCommit {
    /// The commit of `run_id` on `base`: the patch's recorded tree, by nobody, at `at`.
    pub fn of(base: &Base, patch: &Patch, run_id: &RunId, at: Timestamp) -> Result<Self, WorkspaceError> {
        let git = || WorkspaceError::git("put the result's commit together");
        let scratch = Scratch::over(Some(&base.git_dir)).map_err(git())?;
        let repo = scratch.repo();
        let parent = oid(&base.commit).and_then(|id| repo.find_commit(id)).map_err(git())?;
        let result = patch.rebuild(repo, parent.tree_id())?;
        let (before, after) = (parent.tree().map_err(git())?, repo.find_tree(result).map_err(git())?);
        let time = Time::new(at.unix_micros().div_euclid(1_000_000), 0);
        let author = Signature::new("CTO Harness", "harness@cto.invalid", &time).map_err(git())?;
        let message = format!("Result of {run_id}\n");
        let commit = repo.commit(None, &author, &author, &message, &after, &[&parent]).map_err(git())?;
        let (name, pack, index) = packed(repo, commit, &before, &after)?;
        Ok(Self { id: git_id(commit).map_err(git())?, name, pack, index })
    }
}

/// Commit, and what `after` holds and `before` does not at the same place, as a pack with its index.
fn packed(
    repo: &Repository,
    commit: Oid,
    before: &Tree<'_>,
    after: &Tree<'_>,
) -> Result<(String, Vec<u8>, Vec<u8>), WorkspaceError> {
    let git = || WorkspaceError::git("pack the result's commit");
    let mut objects = vec![commit];
    gather(repo, Some(before), after, &mut objects).map_err(git())?;
    let folder = tempfile::tempdir()
        .map_err(|source| WorkspaceError::place("make a folder in", &std::env::temp_dir())(source))?;
    let mut builder = repo.packbuilder().map_err(git())?;
    builder.set_threads(1);
    for object in objects {
        builder.insert_object(object, None).map_err(git())?;
    }
    builder.write(folder.path(), PACK_MODE).map_err(git())?;
    let name = builder.name().map_err(git())?.unwrap_or_default().to_owned();
    let read = |ending: &str| {
        let path = folder.path().join(format!("pack-{name}.{ending}"));
        std::fs::read(&path).map_err(WorkspaceError::place("read", &path))
    };
    Ok((format!("pack-{name}"), read("pack")?, read("idx")?))
}

/// `after`, and below it everything that is not in `before` at the same place. What only looks new because it moved is
/// taken as well: the pack then needs nothing but the base.
fn gather(
    repo: &Repository,
    before: Option<&Tree<'_>>,
    after: &Tree<'_>,
    objects: &mut Vec<Oid>,
) -> Result<(), git2::Error> {
    objects.push(after.id());
    for entry in after {
        let was = before.and_then(|before| before.get_name_bytes(entry.name_bytes()));
        if was.as_ref().is_some_and(|was| was.id() == entry.id()) {
            continue;
        }
        match entry.kind() {
            Some(git2::ObjectType::Tree) => {
                let below = repo.find_tree(entry.id())?;
                let was = was.filter(|was| was.kind() == Some(git2::ObjectType::Tree));
                let was = was.map(|was| repo.find_tree(was.id())).transpose()?;
                gather(repo, was.as_ref(), &below, objects)?;
            }
            Some(git2::ObjectType::Blob) => objects.push(entry.id()),
            // A commit of another repository is a name and no object of this one.
            _ => {}
        }
    }
    Ok(())
}
