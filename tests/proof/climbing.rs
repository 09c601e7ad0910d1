//! From `default-deny` to `sandbox-repo`, by evidence; and every way that is none.

use std::path::PathBuf;

use crate::bench::{Bench, MINE};

/// At `copied-fixture`.
pub fn at_copied_fixture() -> Bench {
    let bench = Bench::new();
    bench.in_place(MINE);
    let proof = bench.prove(MINE).ends(0).bundle();
    bench.promote(MINE, "copied-fixture", "ann", &[proof]).ends(0);
    bench
}

/// The bundles of passing runs on these fixtures.
pub fn passing(bench: &Bench, names: &[&str]) -> Vec<PathBuf> {
    names.iter().map(|name| bench.run(&bench.fixture(name, MINE), MINE).ends(0).bundle()).collect()
}

#[test]
fn the_first_run_is_earned_by_the_proof_of_the_gates_and_a_yes_of_somebody_else() {
    let bench = Bench::new();
    bench.in_place(MINE);
    let fixture = bench.fixture("first", MINE);
    let blocked = bench.run(&fixture, MINE).ends(3);
    assert_eq!(blocked.codes(), ["gate.engine.stage"], "everything else is in place");
    assert_eq!(bench.stage(MINE), "default-deny");

    let proof = [bench.prove(MINE).ends(0).bundle()];
    for (to, by, part) in [
        ("sandbox-repo", "ann", "after stage `default-deny` comes `copied-fixture`"),
        ("copied-fixture", "me", "nobody promotes on evidence of own runs"),
    ] {
        assert!(bench.promote(MINE, to, by, &proof).ends(3).err.contains(part), "{to} {by}");
    }
    assert!(bench.promote(MINE, "copied-fixture", "ops", &proof).ends(2).err.contains("no role `approve`"));
    // A blocked run is no evidence, and neither is a run of another engine.
    let said = bench.promote(MINE, "copied-fixture", "ann", &[blocked.bundle()]).ends(3).err;
    assert!(said.contains("its verdict is `blocked`"), "{said}");
    let other = bench.fixture("other", "fixture");
    let other = bench.run(&other, "fixture").ends(0).bundle();
    let said = bench.promote(MINE, "copied-fixture", "ann", &[other]).ends(3).err;
    assert!(said.contains("not of the engine `mine`"), "{said}");
    assert_eq!(bench.stage(MINE), "default-deny");

    bench.promote(MINE, "copied-fixture", "ann", &proof).ends(0);
    assert_eq!(bench.stage(MINE), "copied-fixture");
    let run = bench.run(&fixture, MINE).ends(0);
    bench.call(&["verify", run.bundle().to_str().unwrap()]).ends(0);
    bench.call(&["proof", "check"]).ends(0);
    let log = std::fs::read_to_string(bench.path("home/state/audit.jsonl")).unwrap();
    assert!(log.matches("\"keep-record\"").count() >= 5 && log.contains("\"prove-gates\""), "{log}");
}

#[test]
fn a_wider_stage_takes_the_recorded_number_of_bundles_on_different_fixtures() {
    let bench = at_copied_fixture();
    let bundles = passing(&bench, &["one", "two", "three"]);
    let refused = |bundles: &[PathBuf], part: &str| {
        let said = bench.promote(MINE, "sandbox-repo", "ann", bundles).ends(3).err;
        assert!(said.contains(part), "{part}: {said}");
    };
    refused(&bundles[..2], "it takes 3 bundles");
    refused(&[bundles[0].clone(), bundles[0].clone(), bundles[1].clone()], "the same root");
    let again = bench.run("one", MINE).ends(0).bundle();
    refused(&[bundles[0].clone(), again, bundles[1].clone()], "the same contract");
    let proof = bench.prove(MINE).ends(0).bundle();
    refused(&[bundles[0].clone(), bundles[1].clone(), proof], "it is of the stage `default-deny`");
    assert_eq!(bench.stage(MINE), "copied-fixture");
    bench.promote(MINE, "sandbox-repo", "ann", &bundles).ends(0);
    assert_eq!(bench.stage(MINE), "sandbox-repo");
    bench.call(&["proof", "check", MINE]).ends(0);
    // Nothing comes after the last stage of the record.
    assert!(bench.promote(MINE, "candidate-default", "ann", &bundles).ends(3).err.contains("comes nothing"));
}

#[test]
fn records_and_their_evidence_are_carried_in_a_folder_and_checked_there() {
    let bench = at_copied_fixture();
    let copied = std::process::Command::new("cp")
        .arg("-R")
        .args([bench.path("home/config/proof"), bench.path("carried")])
        .status()
        .unwrap();
    assert!(copied.success());
    std::fs::create_dir(bench.path("carried/mine/.git")).unwrap();
    bench.call(&["proof", "check", MINE, "--records", "carried"]).ends(0);
    let shown = bench.call(&["proof", "show", MINE, "--records", "carried", "--json"]).ends(0).last();
    assert_eq!(shown["stage"], "copied-fixture");
    std::fs::remove_file(bench.path("carried/mine/gate.json")).unwrap();
    bench.call(&["proof", "check", MINE, "--records", "carried"]).ends(1);
    bench.call(&["proof", "check", "case", "--records", "carried"]).ends(3);
    bench.call(&["proof", "check", "--records", "nowhere"]).ends(3);
}
