//! The patch: what changed against the base tree, as plain data that outlives every git object.

use std::collections::BTreeMap;

use git2::{Oid, Repository};

use super::tree::{self, Edit};
use super::{Base, WorkspaceError};
use crate::evidence::{ChangeKind, ChangedFile, Finding, PatchSection};
use crate::vocab::{Digest, GitId, shown_path};

/// What a run changed. Applied to the base with `git apply --binary`, `text` gives exactly
/// `section.result_tree`; `oddities` tell what could not be carried, and whether that was shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// `patch.diff`, byte-exact: git's format with full object ids and binary hunks.
    pub text: Vec<u8>,
    /// The report's section.
    pub section: PatchSection,
    /// Every changed path, by path.
    pub changes: Vec<Change>,
    /// Objects and changes out of bounds.
    pub oddities: Vec<Finding>,
    pub(super) contents: BTreeMap<GitId, Vec<u8>>,
}

/// One changed path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Path from the tree's top, byte-exact; of a rename, the new one.
    pub path: Vec<u8>,
    /// The old path of a rename.
    pub from: Option<Vec<u8>>,
    /// What happened.
    pub kind: ChangeKind,
    /// Git mode before.
    pub old_mode: Option<i32>,
    /// Git mode after.
    pub new_mode: Option<i32>,
    /// Id of the content after.
    pub new_id: Option<GitId>,
    /// Whether git calls it binary: a NUL in its first 8,000 bytes.
    pub binary: bool,
    /// Size after, bytes.
    pub size: u64,
    /// Lines of the new file that were not in the old one; of a binary file none.
    pub added: Vec<AddedLine>,
}

/// One added line, without its newline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddedLine {
    /// Line number in the new file, from 1.
    pub number: u64,
    /// Its bytes.
    pub text: Vec<u8>,
}

/// Lines added and removed in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct LineCounts {
    pub(super) added: u64,
    pub(super) removed: u64,
}

impl Patch {
    /// The patch of a run that could not, and did not, change anything.
    #[must_use]
    pub fn empty(base: &Base) -> Self {
        Self {
            text: Vec::new(),
            section: section(base, &base.tree, &[], &[], 0, LineCounts::default()),
            changes: Vec::new(),
            oddities: Vec::new(),
            contents: BTreeMap::new(),
        }
    }

    /// The new content of a changed file, or the text of a changed link; `None` for a deletion, and for content
    /// that the base has already (a pure rename or change of mode).
    #[must_use]
    pub fn blob(&self, change: &Change) -> Option<&[u8]> {
        change.new_id.as_ref().and_then(|id| self.contents.get(id)).map(Vec::as_slice)
    }

    /// Every added line: path, line number in the new file, bytes.
    pub fn added_lines(&self) -> impl Iterator<Item = (&[u8], u64, &[u8])> {
        self.changes.iter().flat_map(|change| {
            let path = change.path.as_slice();
            change.added.iter().map(move |line| (path, line.number, line.text.as_slice()))
        })
    }

    /// Puts the result tree together in `repo` (which reads the base's objects) from the recorded changes and
    /// contents alone, and checks that it is the recorded one.
    pub(super) fn rebuild(&self, repo: &Repository, base: Oid) -> Result<Oid, WorkspaceError> {
        let git = || WorkspaceError::git("put the recorded changes together");
        let odb = repo.odb().map_err(git())?;
        for bytes in self.contents.values() {
            odb.write(git2::ObjectType::Blob, bytes).map_err(git())?;
        }
        let mut edits: BTreeMap<Vec<u8>, Edit> = BTreeMap::new();
        for change in &self.changes {
            if let Some(from) = &change.from {
                edits.entry(from.clone()).or_insert(None);
            }
            let now = match (change.new_mode, &change.new_id) {
                (Some(mode), Some(id)) => Some((mode, super::git::oid(id).map_err(git())?)),
                _ => None,
            };
            edits.insert(change.path.clone(), now);
        }
        let base = repo.find_tree(base).map_err(git())?;
        let found = tree::edited(repo, Some(&base), &edits).map_err(git())?.to_string();
        match &self.section.result_tree {
            Some(recorded) if recorded.as_str() == found => Oid::from_str(&found).map_err(git()),
            recorded => Err(WorkspaceError::NotTheRecordedTree {
                found,
                recorded: recorded.as_ref().map_or("nothing", GitId::as_str).to_owned(),
            }),
        }
    }
}

pub(super) fn section(
    base: &Base,
    result: &GitId,
    changes: &[Change],
    text: &[u8],
    ignored: u64,
    lines: LineCounts,
) -> PatchSection {
    let octal = |mode: Option<i32>| mode.map(|mode| format!("{mode:06o}"));
    let file = |change: &Change| ChangedFile {
        path: shown_path(&change.path),
        change: change.kind,
        from: change.from.as_deref().map(shown_path),
        old_mode: octal(change.old_mode),
        new_mode: octal(change.new_mode),
        binary: change.binary,
        size: change.size,
    };
    PatchSection {
        base_commit: base.commit.clone(),
        base_tree: base.tree.clone(),
        result_tree: Some(result.clone()),
        files: changes.iter().map(file).collect(),
        ignored,
        digest: Digest::of(text),
        added_lines: lines.added,
        removed_lines: lines.removed,
    }
}
