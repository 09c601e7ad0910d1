//! What a good bundle is: verified, bound to what the caller expects, closed to others, and free of secrets.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use cto_harness::home::Trust;
use cto_harness::verify::{CheckState, Expect, Outcome, verify};
use cto_harness::vocab::{SealingKey, Timestamp, Verdict};

use crate::made_up::{Bench, Plan, files, trust_in, wrong};
use crate::script;

#[test]
fn a_sealed_bundle_is_verified_and_says_what_was_left() {
    let bench = Bench::new();
    let sealed = bench.sealed("b", &Plan { events: 700, ..Plan::default() });
    let report = bench.verify(&sealed.path);
    assert_eq!(wrong(&report), "");
    assert!(report.is_verified_pass());
    let left: Vec<_> =
        report.checks.iter().filter(|c| c.state == CheckState::NotDone).map(|c| c.name).collect();
    assert_eq!(left, ["observed", "trees", "replay"]);
    let done: Vec<_> = report.checks.iter().filter(|c| c.state == CheckState::Ok).map(|c| c.name).collect();
    let expected = [
        "folder",
        "signature",
        "sums",
        "events",
        "checkpoints",
        "contract",
        "decision",
        "report",
        "patch",
        "withheld",
        "asked",
        "paths",
        "verdict",
        "programs",
        "money",
        "layers",
        "attempts",
        "derived",
        "approvals",
        "granted",
    ];
    assert_eq!(done, expected);
    let contents = report.contents.unwrap();
    assert!(contents.contract.is_some() && contents.files.contains_key("patch.diff"));
    assert_eq!(contents.root.events.count, 711);
}

#[test]
fn files_and_folders_are_closed_to_others() {
    let bench = Bench::new();
    let sealed = bench.sealed("b", &Plan::default());
    let mode = |name: &str| fs::metadata(sealed.path.join(name)).unwrap().permissions().mode() & 0o777;
    for name in files(&sealed.path) {
        assert_eq!(mode(&name), 0o600, "{name}");
    }
    assert_eq!((mode(""), mode("backend"), mode("inputs")), (0o700, 0o700, 0o700));
}

#[test]
fn without_a_trusted_key_the_signer_is_unknown() {
    let bench = Bench::new();
    let sealed = bench.sealed("b", &Plan::default());
    let stranger = SealingKey::generate().unwrap().public();
    for trust in [Trust::default(), trust_in(stranger)] {
        let report = verify(&sealed.path, &trust, &Expect::default(), Timestamp::now()).unwrap();
        assert_eq!(report.outcome, Outcome::IntactSignerUnknown);
        assert!(!report.is_verified_pass());
        assert!(report.reasons.iter().any(|reason| reason.code == "verify.signature"));
    }
}

#[test]
fn expectations_bind_the_answer() {
    let bench = Bench::new();
    let sealed = bench.sealed("b", &Plan::default());
    let contract = format!("contract={}", sealed.report.contract_digest);
    let (base, result) = (format!("base={}", "1".repeat(40)), format!("result={}", "3".repeat(40)));
    let now = Timestamp::now();
    let ask = |texts: &[&str], now| {
        verify(&sealed.path, &bench.trust(), &Expect::parse(texts.iter().copied()).unwrap(), now).unwrap()
    };
    let good = ask(&[&contract, &base, &result, "verdict=pass", "max-age=60"], now);
    assert!(good.is_verified_pass(), "{}", wrong(&good));
    let other = format!("base={}", "4".repeat(40));
    for (texts, now) in [
        (vec![other.as_str()], now),
        (vec!["verdict=fail"], now),
        (vec!["max-age=60"], now.plus_seconds(120).unwrap()),
        (vec!["max-age=60"], now.plus_seconds(-120).unwrap()),
    ] {
        let report = ask(&texts, now);
        assert_eq!(report.outcome, Outcome::Failed);
        assert_eq!(report.reasons[0].code, "verify.expect");
    }
}

#[test]
fn a_secret_is_nowhere_in_the_folder_and_the_bundle_still_verifies() {
    let bench = Bench::new();
    // Made at run time, so that no file holds it.
    let secret = format!("canary-{}", Timestamp::now().unix_micros());
    let line = format!("+token = {secret}\n");
    let plan = Plan {
        patch: line.clone().into_bytes(),
        raw: format!("{{\"out\":\"{secret}\"}}\n").into_bytes(),
        secret: secret.clone(),
        ..Plan::default()
    };
    let sealed = bench.sealed("b", &plan);
    let report = bench.verify(&sealed.path);
    assert_eq!(wrong(&report), "");
    assert_eq!((report.outcome, report.verdict), (Outcome::Verified, Some(Verdict::Blocked)));
    let names: Vec<_> = sealed.report.withheld.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["backend/stdout.jsonl", "patch.diff"]);
    nowhere(&sealed.path, &secret);
}

fn nowhere(bundle: &Path, secret: &str) {
    for name in files(bundle) {
        let text = fs::read(bundle.join(&name)).unwrap();
        assert!(!text.windows(secret.len()).any(|window| window == secret.as_bytes()), "{name}");
    }
}

#[test]
fn a_secret_that_is_learned_last_is_nowhere_either_and_the_bundle_still_verifies() {
    let bench = Bench::new();
    let secret = format!("canary-{}", Timestamp::now().unix_micros());
    let plan = Plan {
        events: 700,
        said: Some(format!("it is {secret}")),
        patch: format!("+{secret}\n").into_bytes(),
        // More than is held back of a raw log, so that the first of it is on disk by then.
        raw: format!("{secret}\n{}", format!("{}\n", "x".repeat(99)).repeat(2000)).into_bytes(),
        secret: secret.clone(),
        learned: Arc::default(),
        ..Plan::default()
    };
    let sealed = bench.sealed("b", &plan);
    nowhere(&sealed.path, &secret);
    let report = bench.verify(&sealed.path);
    assert_eq!(wrong(&report), "");
    assert_eq!((report.outcome, report.verdict), (Outcome::Verified, Some(Verdict::Blocked)));
    let names: Vec<_> = sealed.report.withheld.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["backend/stdout.jsonl", "events.normalized.jsonl", "patch.diff"]);
    assert_eq!(report.contents.unwrap().root.events.count, 712);
    assert_eq!(script::run(&bench, &sealed.path).0, 0);
}

#[test]
fn a_bundle_without_the_secret_is_not_written_again() {
    let bench = Bench::new();
    let plan = Plan { learned: Arc::default(), ..Plan::default() };
    let sealed = bench.sealed("b", &plan);
    assert!(bench.verify(&sealed.path).is_verified_pass());
    assert_eq!(sealed.report.withheld, []);
}

#[test]
fn words_that_a_report_is_made_of_are_never_taken_out_of_it() {
    let bench = Bench::new();
    for word in ["code", "sections", "observed", "passed", "patch.note", "11111111", "fixture"] {
        for learned in [true, false] {
            let plan = Plan { secret: word.to_owned(), learned: Arc::new(learned.into()), ..Plan::default() };
            let sealed = bench.sealed(&format!("{word}-{learned}"), &plan);
            let report = bench.verify(&sealed.path);
            assert_eq!(wrong(&report), "", "{word}");
            assert_eq!(sealed.report.sections.findings[0].code, "patch.note");
        }
    }
}
