//! A run that was killed leaves a prefix: never a result, and good up to its last signed head.

use std::fs;
use std::io::Write as _;

use cto_harness::home::Trust;
use cto_harness::verify::{Expect, Outcome, verify};
use cto_harness::vocab::Timestamp;

use crate::made_up::{Bench, Plan, begin, wrong};
use crate::script;

fn killed(bench: &Bench, name: &str) -> std::path::PathBuf {
    let path = bench.place.path().join(name);
    // The writer is dropped in the middle of the run, as a kill drops it.
    drop(begin(&path, &bench.key, &Plan { events: 300, ..Plan::default() }));
    path
}

#[test]
fn the_prefix_is_good_up_to_its_last_checkpoint() {
    let bench = Bench::new();
    let path = killed(&bench, "b");
    let report = bench.verify(&path);
    assert_eq!((report.outcome, report.verdict), (Outcome::Incomplete, None));
    assert_eq!(wrong(&report), "");
    assert!(
        report.checks[0].detail.starts_with("306 of 306 events, up to checkpoint `engine.finished`"),
        "{report:?}"
    );

    // A line and a head that were being written.
    let append = |name: &str, bytes: &[u8]| {
        fs::OpenOptions::new().append(true).open(path.join(name)).unwrap().write_all(bytes).unwrap();
    };
    append("events.normalized.jsonl", b"{\"seq\":307,\"ti");
    append("checkpoints", "cto-harness/run-0\n3\n\u{2014}".as_bytes().split_last().unwrap().1);
    // And a folder whose first file was not there yet.
    fs::create_dir(path.join("approvals")).unwrap();
    let report = bench.verify(&path);
    assert_eq!(report.outcome, Outcome::Incomplete, "{}", wrong(&report));
    assert_eq!(script::run(&bench, &path).0, 1);
}

#[test]
fn a_prefix_that_was_tampered_with_is_not_a_prefix() {
    let bench = Bench::new();
    let path = killed(&bench, "b");
    let log = path.join("events.normalized.jsonl");
    let text = fs::read_to_string(&log).unwrap();
    let lines: Vec<_> = text.split_inclusive('\n').collect();
    for (what, changed) in [
        ("cut", lines[..100].concat()),
        ("changed", text.replacen("shell", "shelf", 1)),
        ("removed", [&lines[..5], &lines[6..]].concat().concat()),
    ] {
        fs::write(&log, changed).unwrap();
        assert_eq!(bench.verify(&path).outcome, Outcome::Failed, "{what}");
    }
    fs::write(&log, &text).unwrap();
    let stranger = verify(&path, &Trust::default(), &Expect::default(), Timestamp::now()).unwrap();
    assert_eq!(stranger.outcome, Outcome::Incomplete);
    assert!(stranger.reasons.iter().any(|reason| reason.code == "verify.prefix"));
}

#[test]
fn a_folder_that_is_no_bundle_is_told() {
    let bench = Bench::new();
    let other = bench.place.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("README.txt"), "x").unwrap();
    assert_eq!(bench.verify(&other).outcome, Outcome::Failed);
    // A log without its checkpoints had some: they are written together.
    fs::rename(other.join("README.txt"), other.join("events.normalized.jsonl")).unwrap();
    assert_eq!(bench.verify(&other).outcome, Outcome::Failed);
    let nowhere = bench.place.path().join("nowhere");
    assert!(verify(&nowhere, &bench.trust(), &Expect::default(), Timestamp::now()).is_err());
}

#[test]
fn a_run_killed_before_its_first_line_is_incomplete() {
    let bench = Bench::new();
    let path = bench.place.path().join("b");
    fs::create_dir(&path).unwrap();
    for file in ["", "events.normalized.jsonl", "checkpoints"] {
        if !file.is_empty() {
            fs::write(path.join(file), "").unwrap();
        }
        let report = bench.verify(&path);
        assert_eq!(report.outcome, Outcome::Incomplete, "after {file:?}: {report:?}");
        assert!(report.checks[0].detail.contains("before it recorded anything"), "{report:?}");
    }
}
