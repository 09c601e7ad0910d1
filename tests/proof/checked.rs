//! `cto engine check` of a gated engine: what its adapter makes of logs, before anything of it is started.

use cto_harness::vocab::Digest;
use serde_json::{Value, json};

use super::bench::{Answer, Bench};

/// A log as an operator's own installation may have left it.
const LOG: &str = include_str!("../../engines/case/recorded/happy/events.jsonl");

fn conformance(answer: &Answer) -> Value {
    serde_json::from_slice(&std::fs::read(answer.bundle().join("conformance.json")).unwrap()).unwrap()
}

/// A home in which nothing but the stage and the check is missing.
fn nearly() -> (Bench, String) {
    let bench = Bench::new();
    bench.open("case");
    bench.admit("case");
    bench.license("case");
    bench.enable("case");
    let fixture = bench.fixture("first", "case");
    (bench, fixture)
}

/// Whether the gate that a check opens is missing.
fn is_closed(bench: &Bench, fixture: &str) -> bool {
    bench.run(fixture, "case").codes().contains(&"gate.engine.adapter-contract".to_owned())
}

fn holds(folder: &std::path::Path, words: &str) -> bool {
    let grep = std::process::Command::new("grep").args(["-rqF", "--", words]).arg(folder).status();
    grep.unwrap().success()
}

fn steps(answer: &Answer) -> Vec<(String, bool)> {
    let document = conformance(answer);
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
        "recorded",
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
    bench.write("run.jsonl", LOG);
    for more in [&[][..], &["--log", "run.jsonl"]] {
        let answer = bench.call(&[&["engine", "check", "case", "--json"], more].concat());
        assert_eq!(answer.code, 3, "{answer:?}");
        assert!(!answer.bundle().join("conformance.json").exists());
    }
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

#[test]
fn the_logs_of_an_operator_are_held_named_by_digest_and_not_copied() {
    let (bench, fixture) = nearly();
    let log = LOG.replace("repaired", "a-word-of-this-log");
    assert_ne!(log, LOG);
    bench.write("logs/run one.jsonl", &log);
    bench.write("two.jsonl", LOG);
    let words = ["engine", "check", "case", "--json", "--log", "logs/run one.jsonl", "--log", "two.jsonl"];
    let answer = bench.call(&words).ends(0);
    let names = steps(&answer);
    let names: Vec<&str> = names.iter().map(|(name, ok)| if *ok { name.as_str() } else { "" }).collect();
    assert_eq!(names[6..], ["approvals", "log:run_one.jsonl", "log:two.jsonl", "program"]);
    let document = conformance(&answer);
    let entry = |name: &str, text: &str| json!({"name": name, "digest": Digest::of(text.as_bytes()), "bytes": text.len()});
    assert_eq!(document["logs"], json!([entry("run_one.jsonl", &log), entry("two.jsonl", LOG)]));
    let digest = Digest::of(log.as_bytes()).to_string();
    let detail = document["steps"][7]["detail"].as_str().unwrap();
    assert!(detail.starts_with(&digest) && detail.contains("0 lines not understood"), "{detail}");
    assert!(!holds(&answer.bundle(), "a-word-of-this-log"), "the text of a log is nobody's evidence");
    assert!(holds(&bench.path("logs"), "a-word-of-this-log"), "the control");
    let events = std::fs::read_to_string(answer.bundle().join("events.normalized.jsonl")).unwrap();
    assert!(!events.contains("exec.observed") && !events.contains("engine.started"), "nothing was started");
    assert!(!is_closed(&bench, &fixture));

    // The signed record says of which bundle it is, and so of which logs.
    let bundle = answer.bundle();
    let record = std::fs::read_dir(bench.path("home/state/conformance")).unwrap().next().unwrap().unwrap();
    let record: Value = serde_json::from_slice(&std::fs::read(record.path()).unwrap()).unwrap();
    let root = Digest::of(&std::fs::read(bundle.join("root.dsse.json")).unwrap());
    assert_eq!(record["record"]["root"], json!(root));

    // Whoever changes which logs it was about is found out.
    bench.call(&["verify", bundle.to_str().unwrap()]).ends(0);
    let text = std::fs::read_to_string(bundle.join("conformance.json")).unwrap();
    let other = text.replace(&digest, &Digest::of(b"another").to_string());
    assert_ne!(text, other);
    std::fs::remove_file(bundle.join("conformance.json")).unwrap();
    std::fs::write(bundle.join("conformance.json"), other).unwrap();
    assert_ne!(bench.call(&["verify", bundle.to_str().unwrap()]).code, 0);
}

#[test]
fn a_log_that_does_not_hold_fails_the_check_and_closes_what_an_earlier_one_opened() {
    let (bench, fixture) = nearly();
    bench.conform("case");
    assert!(!is_closed(&bench, &fixture), "positive control");
    bench.write("good.jsonl", LOG);
    let resumed = LOG.split_once('\n').unwrap().1;
    for (log, word) in [(resumed, "resumed log"), ("no log\n", "no event log"), (LOG.trim_end(), "no end")] {
        bench.write("bad.jsonl", log);
        let words = ["engine", "check", "case", "--json", "--log", "good.jsonl", "--log", "bad.jsonl"];
        let answer = bench.call(&words).ends(1);
        assert_eq!(answer.codes(), ["conformance.log"], "{answer:?}");
        let failed: Vec<String> =
            steps(&answer).into_iter().filter(|step| !step.1).map(|step| step.0).collect();
        assert_eq!(failed, ["log:bad.jsonl"]);
        let document = conformance(&answer);
        let detail = document["steps"][8]["detail"].as_str().unwrap();
        assert!(
            detail.contains(word) && detail.starts_with(&Digest::of(log.as_bytes()).to_string()),
            "{detail}"
        );
        assert!(is_closed(&bench, &fixture), "{word}");
        bench.call(&["verify", answer.bundle().to_str().unwrap()]).ends(0);
    }
}

#[test]
fn what_cannot_be_held_is_refused_before_anything_is_decided_and_no_other_run_takes_a_log() {
    let (bench, fixture) = nearly();
    bench.write("good.jsonl", LOG);
    bench.write("again/good.jsonl", LOG);
    std::fs::write(bench.path("latin.jsonl"), b"\xe4\n").unwrap();
    std::fs::write(bench.path("huge.jsonl"), vec![b'x'; (4 << 20) + 1]).unwrap();
    let audited = std::fs::read(bench.path("home/state/audit.jsonl")).unwrap();
    let check = ["engine", "check", "case", "--json"];
    for (logs, word) in [
        (&["--log", "missing.jsonl"][..], "missing.jsonl"),
        (&["--log", "latin.jsonl"], "latin.jsonl is not UTF-8"),
        (&["--log", "good.jsonl", "--log", "huge.jsonl"], "huge.jsonl has more than"),
        (&["--log", "good.jsonl", "--log", "again/good.jsonl"], "again/good.jsonl would be the second"),
        (&["--log", "good.jsonl"].repeat(17), "more than the 16"),
    ] {
        let answer = bench.call(&[&check[..], logs].concat()).ends(2);
        assert!(answer.err.contains(word) && answer.err.contains("remedy:"), "{answer:?}");
    }
    for engine in ["codex", "mine", "nobody"] {
        let answer = bench.call(&["engine", "check", engine, "--json", "--log", "good.jsonl"]).ends(2);
        assert!(answer.err.contains("reads no event logs"), "{answer:?}");
    }
    for words in [
        &["run", fixture.as_str(), "--engine", "case"][..],
        &["decide", &fixture, "--engine", "case"],
        &["proof", "run", "case", "--stage", "default-deny"],
        &["resume", "--all"],
    ] {
        bench.call(&[words, &["--json", "--log", "good.jsonl"]].concat()).ends(2);
    }
    assert_eq!(std::fs::read(bench.path("home/state/audit.jsonl")).unwrap(), audited, "something was done");
    assert!(!bench.path("evidence").exists(), "a run began");
}
