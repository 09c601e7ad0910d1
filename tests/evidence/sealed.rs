//! What a good bundle is: verified, bound to what the caller expects, closed to others, and free of secrets.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use cto_harness::home::Trust;
use cto_harness::verify::{CheckState, Expect, Outcome, verify};
use cto_harness::vocab::{SealingKey, Timestamp, Verdict};

use crate::made_up::{Bench, Plan, files, trust_in, wrong};

#[test]
fn a_sealed_bundle_is_verified_and_says_what_was_left() {
    let bench = Bench::new();
    let sealed = bench.sealed("b", &Plan { events: 700, ..Plan::default() });
    let report = bench.verify(&sealed.path);
    assert_eq!(wrong(&report), "");
    assert!(report.is_verified_pass());
    let left: Vec<_> =
        report.checks.iter().filter(|c| c.state == CheckState::NotDone).map(|c| c.name).collect();
    assert_eq!(left, ["trees", "replay"]);
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
        "verdict",
        "derived",
        "approvals",
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
    let good = ask(&[&contract, &base, &result, "max-age=60"], now);
    assert!(good.is_verified_pass(), "{}", wrong(&good));
    let other = format!("base={}", "4".repeat(40));
    for (texts, now) in [
        (vec![other.as_str()], now),
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
    for name in files(&sealed.path) {
        let text = fs::read(sealed.path.join(&name)).unwrap();
        assert!(!text.windows(secret.len()).any(|window| window == secret.as_bytes()), "{name}");
    }
}
