//! The engine's own `.git`: one synthetic commit of the base tree on branch `main`, index included.
//!
//! It holds no history, no remote and nothing of the target's configuration; what an engine does to it is
//! never looked at. The index lists files as overlayfs will show them, so `git status` inside hashes nothing.

use std::ffi::OsStr;
use std::path::Path;

use git2::{Index, IndexEntry, Oid, Signature, Time, Tree};

use super::WorkspaceError;
use super::git::Scratch;
use super::uid::RunUid;
use crate::beneath::{BeneathError, Dir, Durability, FileKind, Visit, WalkLimits};

const CONFIG: &str = "\
[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n\tlogallrefupdates = true\n\tfsmonitor = false\n\
[user]\n\tname = engine\n\temail = engine@sandbox.invalid\n\
[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n[advice]\n\tdetachedHead = false\n";

/// The author of commits that only exist inside: fixed, so that equal trees give equal commits.
fn nobody() -> Result<Signature<'static>, git2::Error> {
    Signature::new("base", "base@sandbox.invalid", &Time::new(super::checkout::BASE_TIME, 0))
}

/// Makes `.git` in `dir`, whose branch is one commit of `tree`. No object is in it yet: the caller writes the commit, the
/// tree and all below it into a pack. The commit's id, and the folder for that pack.
pub(super) fn plant(git: &Scratch, tree: &Tree<'_>, dir: &Dir) -> Result<(Oid, Dir), WorkspaceError> {
    let files = || WorkspaceError::files("make the engine's own .git");
    let home = dir.create_dir(".git", 0o755).map_err(files())?;
    for folder in ["objects/pack", "objects/info", "refs/heads", "refs/tags", "info", "hooks"] {
        home.create_dir_all(folder, 0o755).map_err(files())?;
    }
    let commit = commit(git, tree).map_err(WorkspaceError::git("make the base commit"))?;
    let head = format!("{commit}\n");
    for (name, text) in [
        ("HEAD", "ref: refs/heads/main\n"),
        ("config", CONFIG),
        ("refs/heads/main", head.as_str()),
        ("info/exclude", ""),
    ] {
        home.write_new(name, text.as_bytes(), 0o644, Durability::Lazy).map_err(files())?;
    }
    Ok((commit, home.open_dir("objects/pack").map_err(files())?))
}

/// Gives the `.git` of `dir`, which lies at `at`, an index of `entries`, and hands all of it to the payload.
pub(super) fn finish(
    git: &Scratch,
    mut entries: Vec<IndexEntry>,
    dir: &Dir,
    at: &Path,
    uid: RunUid,
) -> Result<(), WorkspaceError> {
    // In the index's own order, or each would move all that come after it.
    entries.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    index(git, &entries, &at.join(".git")).map_err(WorkspaceError::git("write the base index"))?;
    hand_over(dir, uid).map_err(WorkspaceError::files("make the engine's own .git"))
}

fn commit(git: &Scratch, tree: &Tree<'_>) -> Result<Oid, git2::Error> {
    let nobody = nobody()?;
    git.repo().commit(None, &nobody, &nobody, "base\n", tree, &[])
}

fn index(git: &Scratch, entries: &[IndexEntry], place: &Path) -> Result<(), git2::Error> {
    let mut index = Index::open(&place.join("index"))?;
    for entry in entries {
        index.add(entry)?;
    }
    // Fills the index's own tree cache, so that git inside need not compare with the commit's tree.
    index.write_tree_to(git.repo())?;
    index.write()
}

fn hand_over(dir: &Dir, uid: RunUid) -> Result<(), BeneathError> {
    if !uid.own {
        return Ok(());
    }
    let limits = WalkLimits { entries: 10_000, levels: 8 };
    dir.give(OsStr::new(".git"), uid.host_uid, uid.host_gid)?;
    dir.open_dir(".git")?.walk(limits, &mut |folder, _, entry| {
        folder.give(&entry.name, uid.host_uid, uid.host_gid)?;
        Ok(if entry.status.kind == FileKind::Directory { Visit::Descend } else { Visit::Skip })
    })
}
