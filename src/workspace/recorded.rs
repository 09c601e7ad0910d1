//! A recorded patch, read back against its base: for whoever checks a bundle.
//!
//! The text is hostile input. It is applied in memory, and everything else about the change is worked out again
//! from the two trees.

use std::collections::BTreeMap;

use super::git::{Scratch, git_id, oid};
use super::patch::section;
use super::{Base, Patch, WorkspaceError, diff, proof, tree};

impl Patch {
    /// The change that `text` makes of the base tree; `None` when it does not apply there.
    pub fn recorded(base: &Base, text: &[u8]) -> Result<Option<Self>, WorkspaceError> {
        let git = || WorkspaceError::git("apply the recorded patch");
        if text.is_empty() {
            return Ok(Some(Self::empty(base)));
        }
        let scratch = Scratch::over(Some(&base.git_dir)).map_err(git())?;
        let repo = scratch.repo();
        let before = oid(&base.tree).and_then(|id| repo.find_tree(id)).map_err(git())?;
        let Some(edits) = proof::apply(repo, &before, text).map_err(git())? else { return Ok(None) };
        let result = tree::edited(repo, Some(&before), &edits).map_err(git())?;
        let after = repo.find_tree(result).map_err(git())?;
        let mut blobs = BTreeMap::new();
        for (_, id) in edits.values().flatten() {
            blobs.insert(*id, repo.find_blob(*id).map_err(git())?.content().to_vec());
        }
        let written = diff::write(repo, &before, &after, &blobs).map_err(git())?;
        let result = git_id(result).map_err(git())?;
        let contents = blobs.into_iter().map(|(id, bytes)| git_id(id).map(|id| (id, bytes)));
        Ok(Some(Self {
            section: section(base, &result, &written.changes, text, 0, written.lines),
            text: text.to_vec(),
            changes: written.changes,
            oddities: Vec::new(),
            contents: contents.collect::<Result<_, _>>().map_err(git())?,
        }))
    }
}
