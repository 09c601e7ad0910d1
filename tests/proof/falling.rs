//! What was earned is lost with what it rests on: bytes, evidence, signers, time.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::bench::{Bench, MINE};
use crate::climbing::{at_copied_fixture, passing};

fn blocked(bench: &Bench, gate: &str, why: &str) {
    let codes = bench.run("probe", MINE).ends(3).codes();
    assert!(codes.contains(&gate.to_owned()), "{why}: {codes:?}");
}

#[test]
fn one_byte_mode_or_name_of_the_installation_blocks_and_what_runs_is_the_copy() {
    let bench = at_copied_fixture();
    bench.fixture("probe", MINE);
    bench.run("probe", MINE).ends(0);
    let file = bench.path("inst/lib/index.ts");
    let text = fs::read(&file).unwrap();
    fs::write(&file, b"// nothing!\n").unwrap();
    blocked(&bench, "gate.source.admission", "a changed byte");
    let said = bench.call(&["proof", "check"]).ends(1).out;
    assert!(said.contains("`lib/index.ts` was changed"), "{said}");
    fs::write(&file, &text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    blocked(&bench, "gate.source.admission", "a changed mode");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    bench.write("inst/more", "");
    blocked(&bench, "gate.source.admission", "an added file");
    fs::remove_file(bench.path("inst/more")).unwrap();
    fs::remove_file(bench.path("inst/lib/player")).unwrap();
    blocked(&bench, "gate.source.admission", "a missing link");
    std::os::unix::fs::symlink("../bin/player", bench.path("inst/lib/player")).unwrap();
    bench.run("probe", MINE).ends(0);

    a_copy_that_was_tampered_with_is_made_again(&bench);
}

fn a_copy_that_was_tampered_with_is_made_again(bench: &Bench) {
    let copies = fs::read_dir(bench.path("home/state/installations")).unwrap();
    let copy = copies.map(|entry| entry.unwrap().path()).find(|path| path.is_dir()).unwrap();
    let own = copy.join("lib/index.ts");
    let text = fs::read(&own).unwrap();
    fs::set_permissions(&own, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&own, b"other").unwrap();
    bench.run("probe", MINE).ends(0);
    assert_eq!(fs::read(&own).unwrap(), text);
    assert_eq!(fs::metadata(&own).unwrap().permissions().mode() & 0o7777, 0o444);
}

#[test]
fn an_ordinary_user_goes_the_same_way() {
    let Some(bench) = Bench::of_an_ordinary_user() else { return };
    bench.in_place(MINE);
    let proof = bench.prove(MINE).ends(0).bundle();
    bench.promote(MINE, "copied-fixture", "ann", &[proof]).ends(0);
    bench.fixture("probe", MINE);
    bench.run("probe", MINE).ends(0);
    a_copy_that_was_tampered_with_is_made_again(&bench);
    bench.write("inst/more", "");
    blocked(&bench, "gate.source.admission", "an added file");
}

#[test]
fn another_admission_ends_the_licence_the_enabling_and_every_stage() {
    let bench = at_copied_fixture();
    bench.fixture("probe", MINE);
    bench.write("inst/more", "");
    bench.admit(MINE);
    assert_eq!(bench.stage(MINE), "default-deny");
    for gate in ["gate.source.license", "gate.engine.enabled", "gate.engine.stage"] {
        blocked(&bench, gate, "the installation is another one");
    }
    bench.call(&["proof", "check"]).ends(1);
}

#[test]
fn tampered_evidence_and_lost_signers_demote() {
    let bench = at_copied_fixture();
    let bundles = passing(&bench, &["one", "two", "three"]);
    bench.promote(MINE, "sandbox-repo", "ann", &bundles).ends(0);
    bench.fixture("probe", MINE);
    let evidence = bench.record(MINE, "evidence");
    let names: Vec<_> = fs::read_dir(&evidence).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(names.len(), 4);
    let of_a_run = |path: &&std::path::PathBuf| fs::metadata(path.join("patch.diff")).is_ok();
    let one = names.iter().find(of_a_run).unwrap().join("report.json");
    let text = fs::read_to_string(&one).unwrap();
    fs::write(&one, text.replacen("pass", "fail", 1)).unwrap();
    assert_eq!(bench.stage(MINE), "copied-fixture", "one bundle of three was tampered with");
    bench.call(&["proof", "check"]).ends(1);
    fs::write(&one, text).unwrap();
    assert_eq!(bench.stage(MINE), "sandbox-repo");

    // A whole other bundle in the place of one that is named.
    let gone = names.iter().find(of_a_run).unwrap();
    let aside = bench.path("aside");
    fs::rename(gone, &aside).unwrap();
    assert_eq!(bench.stage(MINE), "copied-fixture", "it is gone");
    let other = bench.run("probe", MINE).ends(0).bundle();
    assert!(std::process::Command::new("cp").arg("-R").arg(&other).arg(gone).status().unwrap().success());
    assert_eq!(bench.stage(MINE), "copied-fixture", "it is another one");
    fs::remove_dir_all(gone).unwrap();
    fs::rename(&aside, gone).unwrap();
    assert_eq!(bench.stage(MINE), "sandbox-repo");

    bench.call(&["principal", "remove", "ann"]).ends(0);
    assert_eq!(bench.stage(MINE), "default-deny", "who promoted is nobody any more");
    blocked(&bench, "gate.engine.stage", "nothing is earned");
    bench.key("eve");
    bench.call(&["principal", "add", "ann", "--key", "eve.pub.pem", "--role", "approve"]).ends(0);
    assert_eq!(bench.stage(MINE), "default-deny", "the name alone is nothing");
}

#[test]
fn a_gate_record_that_ended_or_was_opened_again_earns_nothing() {
    let bench = at_copied_fixture();
    bench.fixture("probe", MINE);
    bench.run("probe", MINE).ends(0);
    let soon = cto_harness::vocab::Timestamp::now().plus_seconds(2).unwrap().to_string();
    bench.ops(&["proof", "open", MINE, "--expires", &soon]).ends(0);
    assert_eq!(bench.stage(MINE), "default-deny", "promotions were by another record");
    std::thread::sleep(std::time::Duration::from_millis(2_200));
    assert_eq!(bench.stage(MINE), "unproven");
    blocked(&bench, "gate.engine.stage", "it ended");
    assert!(bench.prove(MINE).ends(3).codes().contains(&"gate.engine.stage".to_owned()));
    bench.call(&["proof", "check"]).ends(1);
}

#[test]
fn who_may_not_sign_cannot_open_admit_or_promote() {
    let bench = Bench::new();
    let open = |name: &str, key: &str| bench.call(&["proof", "open", "case", "--as", name, "--key", key]);
    assert!(open("ann", "ann.pem").ends(2).err.contains("no role `operate`"));
    assert!(open("ops", "ann.pem").ends(2).err.contains("not a key of `ops`"));
    assert!(open("eve", "ops.pem").ends(2).err.contains("not in the file of principals"));
    assert!(!bench.record("case", "gate.json").exists());
    open("ops", "ops.pem").ends(0);
    assert!(bench.ops(&["proof", "open", "codex"]).ends(2).err.contains("nothing to prove"));
    assert!(bench.ops(&["engine", "enable", "case"]).ends(2).err.contains("nothing is admitted"));
    bench.ops(&["proof", "open", "case", "--promoter", "me"]).ends(0);
    bench.admit("case");
    bench.license("case");
    bench.enable("case");
    bench.conform("case");
    let proof = bench.prove("case").ends(0).bundle();
    let said = bench.promote("case", "copied-fixture", "ann", &[proof]).ends(3).err;
    assert!(said.contains("not one of those who may promote"), "{said}");
}
