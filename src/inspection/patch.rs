//! The change against the contract: paths, checks, sizes, vendored sources, secrets.
//!
//! Pure and total: a rule that cannot be applied (a glob that does not parse, a name that is not text) becomes a
//! finding that blocks. Kinds that git cannot carry, links that escape and colliding names are seen by the
//! workspace and passed through as they came.

use std::collections::BTreeSet;

use crate::contract::TaskContract;
use crate::evidence::{ChangeKind, CheckChange, Finding};
use crate::vocab::{ActionId, Verdict, shown_path};

use super::paths::{Rules, at, inspect_extent};
use super::secrets::{Scanner, Secret};
use crate::workspace::{Change, Patch};

/// From this size on a changed file is mentioned, bytes.
const LARGE_FILE: u64 = 10 * 1024 * 1024;

/// One changed path as inspection needs it. Bytes as in the tree, nothing made visible yet.
#[derive(Debug, Clone)]
pub struct ChangeView<'a> {
    /// Path relative to the tree's top.
    pub path: &'a [u8],
    /// The old path of a rename.
    pub from: Option<&'a [u8]>,
    /// What happened.
    pub kind: ChangeKind,
    /// Whether git would call it binary.
    pub binary: bool,
    /// Size after, bytes.
    pub size: u64,
    /// Added lines with their numbers in the new file (from 1); of a binary file, its whole content as one.
    pub added: Vec<AddedLine<'a>>,
}

/// One added line, without its newline.
#[derive(Debug, Clone, Copy)]
pub struct AddedLine<'a> {
    /// Line number in the new file, from 1.
    pub number: u64,
    /// Its bytes.
    pub bytes: &'a [u8],
}

impl<'a> ChangeView<'a> {
    /// The changes of a patch. Of a binary file the whole new content stands for its added lines.
    #[must_use]
    pub fn of(patch: &'a Patch) -> Vec<Self> {
        let view = |change: &'a Change| {
            let lines = change.added.iter().map(|line| AddedLine { number: line.number, bytes: &line.text });
            let whole = patch.blob(change).filter(|_| change.binary);
            let whole = whole.map(|bytes| AddedLine { number: 1, bytes });
            Self {
                path: &change.path,
                from: change.from.as_deref(),
                kind: change.kind,
                binary: change.binary,
                size: change.size,
                added: lines.chain(whole).collect(),
            }
        };
        patch.changes.iter().map(view).collect()
    }
}

/// What inspection found in the change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PatchInspection {
    /// Findings with their weights, oddities of the workspace included.
    pub findings: Vec<Finding>,
    /// Files that decide about checks.
    pub changes_to_checks: Vec<CheckChange>,
    /// Forbidden actions that the patch itself shows, with what shows it (made visible).
    pub attempts: Vec<(ActionId, String)>,
    /// Whether `limits.changed_files` was reached: the limit's row says so too.
    pub too_many_files: bool,
    /// Which changes (by their place in the patch) hold a secret in content or name: the patch has to be withheld.
    pub with_secret: BTreeSet<usize>,
}

/// Inspects `patch` against `contract`.
#[must_use]
pub fn inspect_patch(contract: &TaskContract, patch: &Patch, scanner: &Scanner) -> PatchInspection {
    inspect_changes(contract, &ChangeView::of(patch), &patch.oddities, scanner)
}

/// Inspects `changes` (with the workspace's `oddities`) against `contract`.
#[must_use]
pub fn inspect_changes(
    contract: &TaskContract,
    changes: &[ChangeView<'_>],
    oddities: &[Finding],
    scanner: &Scanner,
) -> PatchInspection {
    let mut out = PatchInspection { findings: oddities.to_vec(), ..PatchInspection::default() };
    // First of all, so that no path that is shown below holds what a later change tells to be a secret.
    let secrets = inspect_secrets(changes, scanner, &mut out.with_secret);
    let rules = Rules::of(contract, &mut out.findings);
    inspect_extent(contract, changes.len() as u64, &mut out);
    for change in changes {
        for path in [Some(change.path), change.from].into_iter().flatten() {
            let seen = scanner.redacted_text(&shown_path(path));
            rules.inspect_path(contract, path, seen, &mut out);
        }
        inspect_kind(change, scanner, &mut out.findings);
    }
    out.findings.extend(secrets);
    out
}

fn inspect_kind(change: &ChangeView<'_>, scanner: &Scanner, findings: &mut Vec<Finding>) {
    let path = scanner.redacted_text(&shown_path(change.path));
    if change.binary && change.kind != ChangeKind::Deleted {
        findings.push(at("patch.binary", &path, "A binary file was changed.", Verdict::Pass));
    }
    if change.size >= LARGE_FILE {
        let sentence = format!("A changed file has {} bytes.", change.size);
        findings.push(at("patch.large-file", &path, &sentence, Verdict::Pass));
    }
}

/// A secret in one change.
struct Found {
    change: usize,
    line: Option<u64>,
    rule: &'static str,
    mark: String,
    bytes: Vec<u8>,
}

/// One finding for each secret. What one change tells to be a secret is one in every other.
fn inspect_secrets(
    changes: &[ChangeView<'_>],
    scanner: &Scanner,
    with_secret: &mut BTreeSet<usize>,
) -> Vec<Finding> {
    let mut found = scan_changes(changes, scanner);
    if !found.is_empty() {
        // Once more, now that everything that the first look found is known without its surroundings too.
        scanner.learn_all(found.iter().map(|one| one.bytes.as_slice()));
        found = scan_changes(changes, scanner);
    }
    with_secret.extend(found.iter().map(|one| one.change));
    let finding = |one: Found| Finding {
        code: "patch.secret".to_owned(),
        // The name itself may hold the secret.
        path: changes
            .get(one.change)
            .map_or_else(String::new, |change| scanner.redacted_text(&shown_path(change.path))),
        line: one.line,
        sentence: format!("An added line holds a secret (rule `{}`, {}).", one.rule, one.mark),
        weight: Verdict::Blocked,
    };
    found.into_iter().map(finding).collect()
}

/// Every secret in names and added lines.
fn scan_changes(changes: &[ChangeView<'_>], scanner: &Scanner) -> Vec<Found> {
    let mut all = Vec::new();
    for (index, change) in changes.iter().enumerate() {
        let mut found = |line: Option<u64>, secret: &Secret, text: &[u8]| {
            let (mark, bytes) = (secret.mark(), secret.of(text).to_vec());
            all.push(Found { change: index, line, rule: secret.rule, mark, bytes });
        };
        for path in [Some(change.path), change.from].into_iter().flatten() {
            for secret in scanner.scan(path) {
                found(None, &secret, path);
            }
        }
        for run in contiguous(&change.added) {
            let Some(first) = run.first() else { continue };
            let text = run.iter().map(|line| line.bytes).collect::<Vec<_>>().join(&b'\n');
            for secret in scanner.scan(&text) {
                let before = text.iter().take(secret.start).filter(|byte| **byte == b'\n').count() as u64;
                found((!change.binary).then_some(first.number + before), &secret, &text);
            }
        }
    }
    all
}

/// Added lines in runs without a gap: a key block is many lines, and lines far apart are no block.
pub(super) fn contiguous<'a, 'b>(added: &'b [AddedLine<'a>]) -> impl Iterator<Item = &'b [AddedLine<'a>]> {
    added.chunk_by(|a, b| a.number + 1 == b.number)
}
