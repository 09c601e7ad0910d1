//! The contract's path rules: which of them a changed path breaks, by its name alone.

use super::PatchInspection;
use crate::contract::{Action, CheckPatterns, FileSource, PathGlobs, TaskContract};
use crate::evidence::{CheckChange, Finding};
use crate::vocab::{ActionId, MutationMode, Verdict, shown_path};

/// What the names of changed paths show by themselves, of a patch with `count` changes: what can be derived again
/// where only the names are at hand.
#[must_use]
pub fn inspect_paths(contract: &TaskContract, count: u64, paths: &[Vec<u8>]) -> PatchInspection {
    let mut out = PatchInspection::default();
    let rules = Rules::of(contract, &mut out.findings);
    inspect_extent(contract, count, &mut out);
    for path in paths {
        rules.inspect_path(contract, path, shown_path(path), &mut out);
    }
    out
}

/// Whether there may be a change at all, and one so large.
pub(super) fn inspect_extent(contract: &TaskContract, count: u64, out: &mut PatchInspection) {
    if contract.mutation_mode.is_none_or(|mode| mode == MutationMode::None) && count > 0 {
        out.findings.push(whole(
            "patch.not-empty",
            "The contract's mode is `none`, and the run changed files.",
            Verdict::Blocked,
        ));
    }
    if count > contract.limits.changed_files {
        out.too_many_files = true;
        out.findings.push(whole(
            "patch.too-many-files",
            &format!("The patch changes {count} files; the limit is {}.", contract.limits.changed_files),
            Verdict::Fail,
        ));
    }
}

/// The contract's path rules, parsed once for all changes.
pub(super) struct Rules {
    allowed: Option<PathGlobs>,
    may_change_checks: Option<PathGlobs>,
    checks: &'static CheckPatterns,
    forbidden: Vec<(ActionId, PathGlobs)>,
}

impl Rules {
    pub(super) fn of(contract: &TaskContract, findings: &mut Vec<Finding>) -> Self {
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

    /// `seen` is how `raw` may be shown.
    pub(super) fn inspect_path(
        &self,
        contract: &TaskContract,
        raw: &[u8],
        seen: String,
        out: &mut PatchInspection,
    ) {
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

fn whole(code: &str, sentence: &str, weight: Verdict) -> Finding {
    at(code, "", sentence, weight)
}

pub(super) fn at(code: &str, path: &str, sentence: &str, weight: Verdict) -> Finding {
    Finding {
        code: code.to_owned(),
        path: path.to_owned(),
        line: None,
        sentence: sentence.to_owned(),
        weight,
    }
}
