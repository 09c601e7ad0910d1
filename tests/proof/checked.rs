//! `cto engine check` of a gated engine: what its adapter makes of logs, before anything of it is started.

use serde_json::Value;

use super::bench::{Answer, Bench};

fn steps(answer: &Answer) -> Vec<(String, bool)> {
    let text = std::fs::read(answer.bundle().join("conformance.json")).unwrap();
    let document: Value = serde_json::from_slice(&text).unwrap();
    let steps = document["steps"].as_array().unwrap();
    steps.iter().map(|s| (s["step"].as_str().unwrap().to_owned(), s["ok"].as_bool().unwrap())).collect()
}

#[test]
fn the_adapter_is_asked_before_the_program_is_started_and_the_answer_opens_two_gates() {
    let bench = Bench::new();
    let missing = |codes: &[String]| {
        ["gate.engine.evidence-interface", "gate.engine.adapter-contract"]
            .map(|gate| codes.iter().any(|code| code == gate))
    };
    let fixture = bench.fixture("first", "case");
    let engine = "case";
    bench.open(engine);
    bench.admit(engine);
    bench.license(engine);
    bench.enable(engine);
    assert_eq!(missing(&bench.run(&fixture, engine).codes()), [true, true], "positive control");
    let proof = bench.prove(engine);
    assert_eq!((proof.code, missing(&proof.codes())), (3, [true, true]), "a proof is no check");
    let answer = bench.call(&["engine", "check", engine, "--json"]);
    assert_eq!(answer.code, 0, "{answer:?}");
    let steps = steps(&answer);
    let names: Vec<&str> = steps.iter().map(|(name, _)| name.as_str()).collect();
    let all = [
        "registration",
        "input-shape",
        "evidence-shape",
        "claims-stay-claims",
        "logs",
        "approvals",
        "program",
    ];
    assert_eq!(names, all);
    assert!(steps.iter().all(|(_, ok)| *ok), "{steps:?}");
    let events = std::fs::read_to_string(answer.bundle().join("events.normalized.jsonl")).unwrap();
    assert!(!events.contains("exec.observed") && !events.contains("engine.started"), "nothing was started");
    bench.call(&["verify", answer.bundle().to_str().unwrap()]).ends(0);
    assert_eq!(missing(&bench.run(&fixture, engine).codes()), [false, false]);
}

#[test]
fn without_a_gate_record_the_adapter_is_not_even_loaded() {
    let bench = Bench::new();
    let answer = bench.call(&["engine", "check", "case", "--json"]);
    assert_eq!(answer.code, 3, "{answer:?}");
    assert!(!answer.bundle().join("conformance.json").exists());
}

#[test]
fn a_check_of_a_program_that_nobody_admitted_opens_nothing() {
    let bench = Bench::new();
    bench.open("case");
    let answer = bench.call(&["engine", "check", "case", "--json"]);
    assert_ne!(answer.code, 0, "{answer:?}");
    let fixture = bench.fixture("first", "case");
    let codes = bench.run(&fixture, "case").codes();
    assert!(codes.iter().any(|code| code == "gate.engine.adapter-contract"), "{codes:?}");
}
