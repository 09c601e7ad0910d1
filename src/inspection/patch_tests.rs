//! What a change shows, and what of it is a finding.

use std::collections::BTreeSet;

use super::patch::*;
use super::secrets::Scanner;
use super::verdict_tests::contract;
use crate::contract::{FileSource, TaskContract, VerificationFile};
use crate::evidence::ChangeKind;
use crate::vocab::{ActionId, MutationMode, Verdict};

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
    inspect_changes(contract, changes, &[], &Scanner::embedded())
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
    let changes = [change("src/keep/a", &[]), change("vendor/lib/b.c", &[]), change("src/vendor.rs", &[])];
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
    // A file or link above it and a file below it take its place as well.
    for path in ["src/check.sh", "src", "src/check.sh/in/it"] {
        let inspection = inspect(&contract, &[change(path, &[])]);
        assert!(codes(&inspection).contains(&("patch.verification-file", path)), "{path}");
        assert!(inspection.findings.iter().any(|finding| finding.weight == Verdict::Fail), "{path}");
    }
    assert_eq!(codes(&inspect(&contract, &[change("src/check.sh2", &[]), change("src/chec", &[])])), []);
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
    assert_eq!(inspection.with_secret, BTreeSet::from([0]));
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
    assert_eq!(inspection.with_secret, BTreeSet::from([0]));
    assert!(!format!("{inspection:?}").contains(&secret), "{inspection:?}");
}

#[test]
fn lines_far_apart_are_no_block() {
    let lines = [1_u64, 2, 5, 6, 9].map(|number| AddedLine { number, bytes: b"" });
    let runs: Vec<_> = contiguous(&lines).map(<[_]>::len).collect();
    assert_eq!(runs, [2, 2, 1]);
}

#[test]
fn what_one_change_tells_to_be_a_secret_is_one_in_every_other() {
    let value = ["x8Kq2LmP9vT4nR", "7wZ1cYb3Qe"].concat();
    let (name, line) = (format!("src/{value}"), format!("password = \"{value}\""));
    let binary = ChangeView { binary: true, ..change("src/a.bin", &[&value]) };
    let changes = [binary, change(&name, &["x"]), change("src/b", &["y"]), change("src/c", &[&line])];
    let inspection = inspect(&TaskContract { allowed_paths: None, ..contract() }, &changes);
    assert_eq!(inspection.with_secret, BTreeSet::from([0, 1, 3]));
    assert!(!format!("{inspection:?}").contains(&value), "{inspection:?}");
}
