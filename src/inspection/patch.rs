//! The change against the contract: paths, checks, sizes, vendored sources, secrets.
//!
//! Pure and total: a rule that cannot be applied (a glob that does not parse, a name that is not text) becomes a
//! finding that blocks. Kinds that git cannot carry, links that escape and colliding names are seen by the
//! workspace and passed through as they came.

use std::collections::BTreeSet;

use crate::contract::{Action, CheckPatterns, FileSource, PathGlobs, TaskContract};
use crate::evidence::{ChangeKind, CheckChange, Finding};
use crate::vocab::{ActionId, MutationMode, Verdict, shown_bytes};

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
    if contract.mutation_mode.is_none_or(|mode| mode == MutationMode::None) && !changes.is_empty() {
        out.findings.push(whole(
            "patch.not-empty",
            "The contract's mode is `none`, and the run changed files.",
            Verdict::Blocked,
        ));
    }
    let count = changes.len() as u64;
    if count > contract.limits.changed_files {
        out.too_many_files = true;
        out.findings.push(whole(
            "patch.too-many-files",
            &format!("The patch changes {count} files; the limit is {}.", contract.limits.changed_files),
            Verdict::Fail,
        ));
    }
    for change in changes {
        for path in [Some(change.path), change.from].into_iter().flatten() {
            rules.inspect_path(contract, path, scanner, &mut out);
        }
        inspect_kind(change, scanner, &mut out.findings);
    }
    out.findings.extend(secrets);
    out
}

/// The contract's path rules, parsed once for all changes.
struct Rules {
    allowed: Option<PathGlobs>,
    may_change_checks: Option<PathGlobs>,
    checks: &'static CheckPatterns,
    forbidden: Vec<(ActionId, PathGlobs)>,
}

impl Rules {
    fn of(contract: &TaskContract, findings: &mut Vec<Finding>) -> Self {
        let mut errored = Vec::new();
        let mut globs = |field: &str, patterns: &[String]| match PathGlobs::new(patterns) {
            Ok(globs) => Some(globs),
            Err(error) => {
                errored.push(format!("`{field}` could not be applied: {error}"));
                None
            }
        };
        let allowed = globs("allowed_paths", contract.allowed_paths.as_deref().unwrap_or(&[]));
        let may_change_checks = globs("may_change_checks", &contract.may_change_checks);
        let (mut forbidden, mut unread) = (Vec::new(), Vec::new());
        for id in contract.forbidden_actions.iter().flatten() {
            let parsed = match Action::parse(id) {
                Ok(Action::Path(globs)) => Some(*globs),
                Ok(Action::Named(rule)) if !rule.paths.is_empty() => {
                    let paths: Vec<String> = rule.paths.iter().map(|path| (*path).to_owned()).collect();
                    globs("forbidden_actions", &paths)
                }
                // Its attempts do not show in a patch; its row says where they do.
                Ok(Action::Named(_) | Action::Command(_)) => None,
                Err(error) => {
                    unread.push(format!("`forbidden_actions` could not be applied: {error}"));
                    None
                }
            };
            forbidden.extend(parsed.map(|globs| (id.clone(), globs)));
        }
        findings.extend(
            errored.iter().chain(&unread).map(|sentence| whole("check.errored", sentence, Verdict::Blocked)),
        );
        Self { allowed, may_change_checks, checks: CheckPatterns::embedded(), forbidden }
    }

    fn inspect_path(
        &self,
        contract: &TaskContract,
        raw: &[u8],
        scanner: &Scanner,
        out: &mut PatchInspection,
    ) {
        let seen = scanner.redacted_text(&shown_bytes(raw));
        if !self.allowed.as_ref().is_some_and(|allowed| allowed.matches_bytes(raw, false)) {
            out.findings.push(at(
                "patch.outside-allowed-paths",
                &seen,
                "A changed path lies outside `allowed_paths`.",
                Verdict::Blocked,
            ));
        }
        for (action, globs) in &self.forbidden {
            if globs.matches_bytes(raw, false) {
                out.attempts.push((action.clone(), seen.clone()));
            }
        }
        if let Some(file) = contract.verification_files.iter().find(|file| meet(file.path.as_bytes(), raw)) {
            let origin = match file.from {
                FileSource::Base => "the base's own",
                FileSource::Sealed(_) => "the contract's own",
            };
            let what = if file.path.as_bytes() == raw { "was changed" } else { "had its place taken" };
            let sentence = format!("A verification file {what}; the verification used {origin}.");
            out.findings.push(at("patch.verification-file", &seen, &sentence, Verdict::Fail));
        }
        if let Some(pattern) = self.checks.matching_bytes(raw) {
            let permitted =
                self.may_change_checks.as_ref().is_some_and(|globs| globs.matches_bytes(raw, false));
            out.changes_to_checks.push(CheckChange { path: seen, pattern: pattern.to_owned(), permitted });
        }
    }
}

/// Whether two paths cannot both be files: they are the same, or one lies below the other.
fn meet(a: &[u8], b: &[u8]) -> bool {
    let (above, below) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    below.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

fn inspect_kind(change: &ChangeView<'_>, scanner: &Scanner, findings: &mut Vec<Finding>) {
    let path = scanner.redacted_text(&shown_bytes(change.path));
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
}

/// One finding for each secret. What one change tells to be a secret is one in every other.
fn inspect_secrets(
    changes: &[ChangeView<'_>],
    scanner: &Scanner,
    with_secret: &mut BTreeSet<usize>,
) -> Vec<Finding> {
    let mut found = scan_changes(changes, scanner);
    if !found.is_empty() {
        // By now everything that the first look found is known, also without its surroundings.
        found = scan_changes(changes, scanner);
    }
    with_secret.extend(found.iter().map(|one| one.change));
    let finding = |one: Found| Finding {
        code: "patch.secret".to_owned(),
        // The name itself may hold the secret.
        path: changes
            .get(one.change)
            .map_or_else(String::new, |change| scanner.redacted_text(&shown_bytes(change.path))),
        line: one.line,
        sentence: format!("An added line holds a secret (rule `{}`, {}).", one.rule, one.mark),
        weight: Verdict::Blocked,
    };
    found.into_iter().map(finding).collect()
}

/// Every secret in names and added lines; each is learned.
fn scan_changes(changes: &[ChangeView<'_>], scanner: &Scanner) -> Vec<Found> {
    let mut all = Vec::new();
    for (index, change) in changes.iter().enumerate() {
        let mut found = |line: Option<u64>, secret: &Secret, text: &[u8]| {
            scanner.learn(secret.of(text));
            all.push(Found { change: index, line, rule: secret.rule, mark: secret.mark() });
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

fn whole(code: &str, sentence: &str, weight: Verdict) -> Finding {
    at(code, "", sentence, weight)
}

fn at(code: &str, path: &str, sentence: &str, weight: Verdict) -> Finding {
    Finding {
        code: code.to_owned(),
        path: path.to_owned(),
        line: None,
        sentence: sentence.to_owned(),
        weight,
    }
}
