//! The proof of the gates: what it takes, what it starts, what it seals.

use std::fs;

use serde_json::Value;

use crate::bench::Bench;

fn report(bundle: &std::path::Path) -> Value {
    serde_json::from_slice(&fs::read(bundle.join("report.json")).unwrap()).unwrap()
}

#[test]
fn without_anything_case_is_blocked_with_every_missing_gate_reason_and_remedy() {
    let bench = Bench::new();
    let fixture = "task".to_owned();
    bench.stranger("task", "case");
    let answer = bench.run(&fixture, "case").ends(3);
    let all = [
        "gate.engine.adapter-contract",
        "gate.engine.enabled",
        "gate.engine.evidence-interface",
        "gate.engine.program",
        "gate.engine.stage",
        "gate.source.admission",
        "gate.source.license",
        "gate.spend.cap",
        "gate.target.ownership",
    ];
    assert_eq!(answer.codes(), all);
    bench.call(&["verify", "latest"]).ends(0);
    // The caller's word alone is no more, and neither is the contract's.
    let other = bench.fixture("other", "fixture");
    assert!(bench.run(&other, "case").ends(3).codes().contains(&"gate.engine.registered".to_owned()));
    let unnamed = bench.call(&["run", &fixture, "--json"]).ends(3).codes();
    assert!(unnamed.contains(&"gate.engine.enabled".to_owned()), "{unnamed:?}");
    let listed = bench.call(&["engine", "list", "--json"]).ends(0).out;
    let case: Value =
        serde_json::from_str(listed.lines().find(|line| line.contains("\"case\"")).unwrap()).unwrap();
    let lacks = ["gate", "admission", "installation", "licence", "enabling", "conformance"];
    assert_eq!(case["lacks"], serde_json::json!(lacks));
    assert_eq!(case["stage"], "unproven");
    assert!(bench.call(&["engine", "list"]).ends(0).out.contains("case lacks: gate, admission"));
}

#[test]
fn the_whole_matrix_is_gone_through_without_a_process_and_sealed() {
    let bench = Bench::new();
    bench.in_place("case");
    let answer = bench.prove("case").ends(0);
    let bundle = answer.bundle();
    let report = report(&bundle);
    let cells = report["sections"]["proof"]["cells"].as_array().unwrap();
    assert!(cells.len() > 120, "{}", cells.len());
    assert!(cells.iter().all(|cell| cell["ok"] == true));
    for mode in ["none", "copied-fixture", "sandbox-repo", "owned-noncritical-repo", "candidate-default"] {
        let of =
            |removed: &str| cells.iter().filter(|c| c["mode"] == mode && c["removed"] == removed).count();
        assert_eq!((of("nothing"), of("the admission"), of("the proof gate record")), (1, 1, 1), "{mode}");
    }
    // The second witness: nothing in the log was started, no sandbox stood, no program was seen.
    let events = fs::read_to_string(bundle.join("events.normalized.jsonl")).unwrap();
    assert!(events.contains("gate-matrix"));
    for kind in
        ["engine.started", "sandbox.established", "exec.observed", "workspace.prepared", "tool.called"]
    {
        assert!(!events.contains(&format!("\"{kind}\"")), "{kind}");
    }
    for section in ["engine", "sandbox", "processes", "patch", "verification"] {
        assert!(report["sections"][section].is_null(), "{section}");
    }
    let verified = bench.call(&["verify", "latest", "--json"]).ends(0).last();
    let checks = verified["result"]["verification"]["checks"].as_array().unwrap();
    assert!(checks.iter().any(|check| check["name"] == "proof" && check["state"] == "ok"), "{checks:?}");
    assert!(fs::read_to_string(bundle.join("report.md")).unwrap().contains("adapter `no-op/1`"));
}

#[test]
fn nothing_is_loaded_the_no_op_adapter_included_until_the_gate_record_is_there_and_holds() {
    let bench = Bench::new();
    bench.in_place("case");
    bench.prove("case").ends(0);
    let gate = bench.record("case", "gate.json");
    let text = fs::read_to_string(&gate).unwrap();
    let blocked = |why: &str| {
        let answer = bench.prove("case").ends(3);
        assert_eq!(answer.codes(), ["gate.engine.stage"], "{why}");
        let report = report(&answer.bundle());
        assert!(report["sections"]["proof"].is_null(), "{why}: nothing was loaded");
        bench.call(&["verify", "latest"]).ends(0);
    };
    fs::remove_file(&gate).unwrap();
    blocked("it is not there");
    fs::write(&gate, text.replacen("\"bundles\": 3", "\"bundles\": 1", 1)).unwrap();
    blocked("it was altered");
    fs::write(&gate, &text).unwrap();
    bench.prove("case").ends(0);
    bench.call(&["principal", "remove", "ops"]).ends(0);
    assert!(
        bench.prove("case").ends(3).codes().contains(&"gate.engine.stage".to_owned()),
        "its signer is gone"
    );
}

#[test]
fn every_record_is_wanted_before_the_gates_are_proven() {
    let bench = Bench::new();
    bench.in_place("case");
    for (record, gate) in [
        ("admission.json", "gate.source.admission"),
        ("licence.json", "gate.source.license"),
        ("enabling.json", "gate.engine.enabled"),
    ] {
        let path = bench.record("case", record);
        let text = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let codes = bench.prove("case").ends(3).codes();
        assert!(codes.contains(&gate.to_owned()), "{record}: {codes:?}");
        fs::write(&path, &text).unwrap();
    }
    bench.prove("case").ends(0);
    bench.ops(&["engine", "disable", "case"]).ends(0);
    assert_eq!(bench.prove("case").ends(3).codes(), ["gate.engine.enabled"]);
    bench.enable("case");
    bench.ops(&["engine", "license", "case", "--spdx", "NOASSERTION", "--widest-mode", "none"]).ends(0);
    assert_eq!(bench.prove("case").ends(3).codes(), ["gate.source.license"]);
    let decided = ["engine", "license", "case", "--decision", "For this test.", "--widest-mode", "none"];
    assert!(bench.ops(&decided).ends(3).err.contains("has to end"), "a decision has to end");
    bench.ops(&[&decided[..], &["--expires", "2100-01-01"]].concat()).ends(0);
    bench.prove("case").ends(0);
}

#[test]
fn a_proof_that_was_altered_and_sealed_again_by_the_right_key_does_not_follow() {
    let bench = Bench::new();
    bench.in_place("case");
    let bundle = bench.prove("case").ends(0).bundle();
    let key = bench.home().sealing_key().unwrap();
    let path = bundle.join("report.json");
    let text = fs::read_to_string(&path).unwrap();
    crate::reseal::reseal(&bundle, &key, |_| {});
    bench.call(&["verify", bundle.to_str().unwrap()]).ends(0);
    let changed = text.replacen("source.license missing", "source.admission missing", 1);
    assert_ne!(changed, text);
    fs::write(&path, changed).unwrap();
    crate::reseal::reseal(&bundle, &key, |_| {});
    let said = bench.call(&["verify", bundle.to_str().unwrap()]).ends(1).out;
    assert!(said.contains("give other cells"), "{said}");
    assert!(
        bench.promote("case", "copied-fixture", "ann", &[bundle]).ends(3).err.contains("does not verify")
    );
}

#[test]
fn cells_do_not_make_a_pass_of_a_run_that_was_no_proof() {
    use cto_harness::evidence::Report;
    let bench = Bench::new();
    bench.in_place("case");
    let read = |bundle: &std::path::Path| -> Report {
        serde_json::from_slice(&fs::read(bundle.join("report.json")).unwrap()).unwrap()
    };
    let proof = read(&bench.prove("case").ends(0).bundle()).sections.proof;
    let fixture = bench.fixture("task", "fixture");
    let bundle = bench.run(&fixture, "fixture").ends(0).bundle();
    let mut report = read(&bundle);
    let sections = &mut report.sections;
    (sections.engine, sections.sandbox, sections.processes) = (None, None, None);
    (sections.patch, sections.verification, sections.proof) = (None, None, proof);
    let text = serde_json::to_string_pretty(&report).unwrap() + "\n";
    fs::write(bundle.join("report.json"), text).unwrap();
    crate::reseal::reseal(&bundle, &bench.home().sealing_key().unwrap(), |_| {});
    let said = bench.call(&["verify", bundle.to_str().unwrap()]).ends(1).out;
    assert!(said.contains("the decision is about no proof"), "{said}");
}
