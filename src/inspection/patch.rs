//! The change against the contract: paths, checks, sizes, vendored sources, secrets.
//!
//! Pure and total: a rule that cannot be applied (a glob that does not parse, a name that is not text) becomes a
//! finding that blocks. Kinds that git cannot carry, links that escape and colliding names are seen by the
//! workspace and passed through as they came.

use crate::contract::{Action, CheckPatterns, FileSource, PathGlobs, TaskContract};
use crate::evidence::{ChangeKind, CheckChange, Finding};
use crate::vocab::{ActionId, MutationMode, Verdict, shown_bytes};

use super::secrets::Scanner;
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
    /// Whether a secret was found: the patch has to be withheld.
    pub has_secret: bool,
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
        inspect_secrets(change, scanner, &mut out);
    }
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
        if let Some(file) = contract.verification_files.iter().find(|file| file.path.as_bytes() == raw) {
            let origin = match file.from {
                FileSource::Base => "the base's own",
                FileSource::Sealed(_) => "the contract's own",
            };
            let sentence = format!("A verification file was changed; the verification used {origin}.");
            out.findings.push(at("patch.verification-file", &seen, &sentence, Verdict::Fail));
        }
        if let Some(pattern) = self.checks.matching_bytes(raw) {
            let permitted =
                self.may_change_checks.as_ref().is_some_and(|globs| globs.matches_bytes(raw, false));
            out.changes_to_checks.push(CheckChange { path: seen, pattern: pattern.to_owned(), permitted });
        }
    }
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

fn inspect_secrets(change: &ChangeView<'_>, scanner: &Scanner, out: &mut PatchInspection) {
    let mut found = |line: Option<u64>, rule: &str, digest: &str, bytes: &[u8]| {
        out.has_secret = true;
        scanner.learn(bytes);
        // The name itself may hold the secret.
        let path = scanner.redacted_text(&shown_bytes(change.path));
        out.findings.push(Finding {
            code: "patch.secret".to_owned(),
            path,
            line,
            sentence: format!("An added line holds a secret (rule `{rule}`, {digest})."),
            weight: Verdict::Blocked,
        });
    };
    for secret in scanner.scan(change.path) {
        found(None, secret.rule, &secret.mark(), secret.of(change.path));
    }
    for run in contiguous(&change.added) {
        let Some(first) = run.first() else { continue };
        let text = run.iter().map(|line| line.bytes).collect::<Vec<_>>().join(&b'\n');
        for secret in scanner.scan(&text) {
            let before = text.iter().take(secret.start).filter(|byte| **byte == b'\n').count() as u64;
            let line = (!change.binary).then_some(first.number + before);
            found(line, secret.rule, &secret.mark(), secret.of(&text));
        }
    }
}

/// Added lines in runs without a gap: a key block is many lines, and lines far apart are no block.
fn contiguous<'a, 'b>(added: &'b [AddedLine<'a>]) -> impl Iterator<Item = &'b [AddedLine<'a>]> {
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

#[cfg(test)]
mod tests {
    use super::super::verdict_tests::contract;
    use super::*;
    use crate::contract::VerificationFile;

    fn change<'a>(path: &'a str, lines: &[&'a str]) -> ChangeView<'a> {
        let added = (1..).zip(lines).map(|(number, text)| AddedLine { number, bytes: text.as_bytes() });
        ChangeView {
            path: path.as_bytes(),
            from: None,
            kind: ChangeKind::Modified,
            binary: false,
            size: 10,
            added: added.collect(),
        }
    }

    fn inspect(contract: &TaskContract, changes: &[ChangeView<'_>]) -> PatchInspection {
        inspect_changes(contract, changes, &[], &Scanner::embedded().unwrap())
    }

    fn codes(inspection: &PatchInspection) -> Vec<(&str, &str)> {
        inspection.findings.iter().map(|finding| (finding.code.as_str(), finding.path.as_str())).collect()
    }

    #[test]
    fn both_ends_of_a_rename_have_to_be_allowed() {
        assert_eq!(inspect(&contract(), &[change("src/a", &["x"])]), PatchInspection::default());
        assert_eq!(
            codes(&inspect(&contract(), &[change("srcs/a", &[])])),
            [("patch.outside-allowed-paths", "srcs/a")]
        );
        let moved = ChangeView { from: Some(b"docs/a"), kind: ChangeKind::Renamed, ..change("src/a", &[]) };
        assert_eq!(codes(&inspect(&contract(), &[moved])), [("patch.outside-allowed-paths", "docs/a")]);
    }

    #[test]
    fn a_name_that_is_not_text_is_matched_by_bytes_and_shown() {
        let odd = ChangeView { path: b"doc\xff\x1b", ..change("", &[]) };
        let inspection = inspect(&contract(), &[odd]);
        assert_eq!(inspection.findings.len(), 1);
        assert!(!inspection.findings[0].path.contains('\u{1b}'));
    }

    #[test]
    fn no_allowed_paths_allow_nothing_and_mode_none_takes_no_change() {
        let contract =
            TaskContract { allowed_paths: None, mutation_mode: Some(MutationMode::None), ..contract() };
        assert_eq!(inspect(&contract, &[]), PatchInspection::default());
        assert_eq!(
            codes(&inspect(&contract, &[change("src/a", &[])])),
            [("patch.not-empty", ""), ("patch.outside-allowed-paths", "src/a")]
        );
    }

    #[test]
    fn a_glob_that_cannot_be_applied_blocks() {
        let contract = TaskContract { may_change_checks: vec!["../x".to_owned()], ..contract() };
        let inspection = inspect(&contract, &[]);
        assert_eq!(codes(&inspection), [("check.errored", "")]);
        assert_eq!(inspection.findings[0].weight, Verdict::Blocked);
    }

    #[test]
    fn forbidden_paths_and_vendored_sources_are_attempts() {
        let ids = ["path:src/keep/**", "vendor-source.mutate", "git.push"];
        let contract = TaskContract {
            forbidden_actions: Some(ids.iter().map(|id| ActionId::parse(*id).unwrap()).collect()),
            allowed_paths: Some(vec!["src/**".to_owned(), "vendor/**".to_owned()]),
            ..contract()
        };
        let changes =
            [change("src/keep/a", &[]), change("vendor/lib/b.c", &[]), change("src/vendor.rs", &[])];
        let attempts = inspect(&contract, &changes).attempts;
        let attempts: Vec<_> = attempts.iter().map(|(id, path)| (id.as_str(), path.as_str())).collect();
        assert_eq!(attempts, [(ids[0], "src/keep/a"), (ids[1], "vendor/lib/b.c")]);
    }

    #[test]
    fn changes_to_checks_are_listed_with_and_without_permission() {
        let contract = TaskContract {
            allowed_paths: Some(vec!["**".to_owned()]),
            may_change_checks: vec!["tests/new.rs".to_owned()],
            ..contract()
        };
        let changes = [change("Cargo.toml", &[]), change("tests/new.rs", &[]), change("src/lib.rs", &[])];
        let inspection = inspect(&contract, &changes);
        let listed: Vec<_> =
            inspection.changes_to_checks.iter().map(|c| (c.path.as_str(), c.permitted)).collect();
        assert_eq!(listed, [("Cargo.toml", false), ("tests/new.rs", true)]);
        assert_eq!(inspection.findings, []);
    }

    #[test]
    fn a_touched_verification_file_is_not_a_pass() {
        let file = VerificationFile { path: "src/check.sh".to_owned(), from: FileSource::Base };
        let contract = TaskContract { verification_files: vec![file], ..contract() };
        let inspection = inspect(&contract, &[change("src/check.sh", &[])]);
        assert_eq!(codes(&inspection), [("patch.verification-file", "src/check.sh")]);
        assert_eq!(inspection.findings[0].weight, Verdict::Fail);
    }

    #[test]
    fn more_files_than_allowed_is_a_limit_reached() {
        let names: Vec<String> = (0..11).map(|n| format!("src/{n}")).collect();
        let changes: Vec<_> = names.iter().map(|name| change(name, &[])).collect();
        assert!(!inspect(&contract(), &changes[..10]).too_many_files);
        let inspection = inspect(&contract(), &changes);
        assert!(inspection.too_many_files);
        assert_eq!(codes(&inspection), [("patch.too-many-files", "")]);
    }

    #[test]
    fn a_secret_is_found_with_its_line_and_never_repeated() {
        let secret = format!("{}A{}", "AKI", "Q3EXPL5ZT7MWB2VN".replace("EXP", "KJH"));
        let line = format!("key = \"{secret}\"");
        let inspection = inspect(&contract(), &[change("src/a", &["one", &line])]);
        assert!(inspection.has_secret);
        let finding = &inspection.findings[0];
        assert_eq!((finding.code.as_str(), finding.line), ("patch.secret", Some(2)));
        assert!(!format!("{inspection:?}").contains(&secret));
    }

    #[test]
    fn a_secret_in_a_name_is_redacted_there_too() {
        let secret = format!("{}A{}", "AKI", "Q3EXPL5ZT7MWB2VN".replace("EXP", "KJH"));
        let name = format!("src/{secret}.txt");
        let contract = TaskContract { allowed_paths: Some(vec![]), ..contract() };
        let inspection = inspect(&contract, &[change(&name, &[])]);
        assert!(inspection.has_secret);
        assert!(!format!("{inspection:?}").contains(&secret), "{inspection:?}");
    }

    #[test]
    fn lines_far_apart_are_no_block() {
        let lines = [1_u64, 2, 5, 6, 9].map(|number| AddedLine { number, bytes: b"" });
        let runs: Vec<_> = contiguous(&lines).map(<[_]>::len).collect();
        assert_eq!(runs, [2, 2, 1]);
    }
}
