//! Killed or interrupted at every step: nothing half-written is called sealed, and nothing is left behind.

use std::process::Child;

use super::bench::{TestBench, fixture, until};

const STEPS: [&str; 9] =
    ["facts", "decision", "workspace", "sandbox", "engine", "patch", "verification", "inspection", "seal"];

/// Sends a signal to a process that this test started.
fn signal(child: &Child, name: &str) {
    let sent =
        std::process::Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

fn bundles(bench: &TestBench) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(bench.work().join("evidence/runs")) else { return Vec::new() };
    let names = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    names.map(|path| path.display().to_string()).collect()
}

#[test]
fn killed_at_every_step_leaves_a_prefix_and_the_next_call_cleans_up() {
    let bench = TestBench::new();
    let docs = fixture("docs-only");
    let decide = ["decide", docs.as_str()];
    let verbs: [&[&str]; 9] = [
        &["runs"],
        &["key", "show"],
        &["repo", "list"],
        &["principal", "list"],
        &["engine", "list"],
        &["doctor"],
        &decide,
        &["sandbox", "--", "/bin/true"],
        &["runs", "--json"],
    ];
    let mut next = verbs.into_iter();
    for step in STEPS {
        let mut child = until(bench.call(&["run", &fixture("fix-failing-test")]), step);
        signal(&child, "KILL");
        // The last steps are so short that the run may be over before the signal arrives.
        assert!(!child.wait().unwrap().success() || ["inspection", "seal"].contains(&step), "{step}");
        let next = next.next().unwrap();
        bench.cto(next).expect(0, &[]);
        assert!(bench.leftovers().is_empty(), "{next:?} after {step}: {:?}", bench.leftovers());
    }
    for bundle in bundles(&bench) {
        let said = bench.cto(&["verify", &bundle]);
        // The kill of the last step may come after the seal; everything else is a prefix.
        match said.code {
            Some(1) => said.expect(1, &["INCOMPLETE"]),
            _ => said.expect(0, &["VERIFIED"]),
        }
    }
    bench.cto(&["run", &fixture("fix-failing-test")]).expect(0, &["PASS"]);
}

#[test]
fn an_engine_without_threads_begins_anew_in_the_same_run_and_the_next_run_says_that_it_can() {
    let bench = TestBench::new();
    let mut child = until(bench.call(&["run", &fixture("fix-failing-test")]), "verification");
    signal(&child, "KILL");
    assert!(!child.wait().unwrap().success());
    let bundle = bundles(&bench).pop().unwrap();
    let id = bundle.rsplit_once('/').unwrap().1.to_owned();
    bench.cto(&["verify", &bundle]).expect(1, &["INCOMPLETE"]);
    bench.cto(&["runs"]).expect(0, &["resumable"]);
    let hint = format!("cto resume {id}");
    bench.cto(&["run", &fixture("fix-failing-test")]).expect(0, &[hint.as_str()]);

    bench.cto(&["resume", &id]).expect(0, &["PASS"]);
    bench.cto(&["verify", &bundle]).expect(0, &["VERIFIED"]);
    let report = std::fs::read_to_string(format!("{bundle}/report.json")).unwrap();
    assert!(report.contains("harness-died"), "{report}");
    assert!(std::path::Path::new(&bundle).join("attempt-1/decision.json").exists());
    assert!(bench.leftovers().is_empty());
    bench.cto(&["resume"]).expect(0, &["no run can be gone on with"]);
    bench.cto(&["resume", &id]).expect(2, &["it is over"]);
}

#[test]
fn a_log_that_somebody_changed_is_not_gone_on_with() {
    let bench = TestBench::new();
    let mut child = until(bench.call(&["run", &fixture("fix-failing-test")]), "verification");
    signal(&child, "KILL");
    child.wait().unwrap();
    let bundle = bundles(&bench).pop().unwrap();
    let log = format!("{bundle}/events.normalized.jsonl");
    let text = std::fs::read_to_string(&log).unwrap();
    std::fs::write(&log, text.replacen("workspace.prepared", "sandbox.established", 1)).unwrap();
    let id = bundle.rsplit_once('/').unwrap().1;
    bench.cto(&["resume", id]).expect(4, &["signs other events"]);
    std::fs::write(&log, text).unwrap();
    bench.cto(&["resume", id]).expect(0, &["PASS"]);
}

#[test]
fn a_signal_ends_the_engine_and_still_seals() {
    for name in ["INT", "TERM"] {
        let bench = TestBench::new();
        let mut child = until(bench.call(&["run", &fixture("engine-never-ends")]), "engine");
        signal(&child, name);
        assert_eq!(child.wait().unwrap().code(), Some(130), "SIG{name}");
        let bundle = bundles(&bench).pop().unwrap();
        bench.cto(&["verify", &bundle]).expect(0, &["VERIFIED", "FAIL"]);
        let report = std::fs::read_to_string(format!("{bundle}/report.json")).unwrap();
        assert!(report.contains("\"cancelled\""), "{report}");
        assert!(bench.leftovers().is_empty());
    }
}

#[test]
fn a_signal_during_verification_is_a_cancelled_run_too() {
    let bench = TestBench::new();
    let mut child = until(bench.call(&["run", &fixture("fix-failing-test")]), "verification");
    signal(&child, "INT");
    // The check may be over before the signal is heard; a run is then either whole or cancelled, never torn.
    let code = child.wait().unwrap().code();
    assert!(matches!(code, Some(130)), "{code:?}");
    let bundle = bundles(&bench).pop().unwrap();
    bench.cto(&["verify", &bundle]).expect(0, &["VERIFIED"]);
}

#[test]
fn a_killed_sandbox_by_hand_and_a_half_made_base_are_removed_by_the_next_call() {
    let bench = TestBench::new();
    bench.file("w/a", "one\n");
    let words = ["sandbox", "--workspace", "w", "--", "/bin/sh", "-c", "echo ready >&2; read line"];
    let mut call = bench.call(&words);
    call.stdin(std::process::Stdio::piped());
    let mut child = until(call, "ready");
    bench.cto(&["key", "show"]).expect(0, &[]);
    assert_eq!(bench.leftovers().len(), 1, "it lives");
    signal(&child, "KILL");
    child.wait().unwrap();
    let half = bench.state().parent().unwrap().join("cache/bases/.tree-1000.new/tree");
    std::fs::create_dir_all(&half).unwrap();
    // A second look at once: the kernel frees the lock with the last process that holds it.
    bench.cto(&["principal", "list"]).expect(0, &[]);
    assert!(bench.leftovers().is_empty(), "{:?}", bench.leftovers());
    assert!(!half.exists());
}

#[test]
fn a_run_killed_after_its_root_was_published_is_sealed_and_not_incomplete() {
    let bench = TestBench::new();
    bench.cto(&["run", &fixture("docs-only")]).expect(0, &["PASS"]);
    // As the kill leaves it: the root is there, and the record has not heard of it.
    let run = std::fs::read_dir(bench.state().join("runs")).unwrap().next().unwrap().unwrap().path();
    let record = std::fs::read_to_string(run.join("record.json")).unwrap();
    let running = record.replace(r#"{"state":"sealed","verdict":"pass"}"#, r#"{"state":"running"}"#);
    assert_ne!(record, running, "{record}");
    let cut_short = |bundle: &str| {
        std::fs::write(run.join("record.json"), running.replace("/evidence/", bundle)).unwrap();
        std::fs::create_dir_all(bench.state().join("live").join(run.file_name().unwrap())).unwrap();
        let said = bench.cto(&["runs", "--json"]);
        serde_json::from_str::<serde_json::Value>(&said.out).unwrap()["state"].clone()
    };
    assert_eq!(cut_short("/evidence/"), "pass");
    assert_eq!(cut_short("/elsewhere/"), "incomplete");
}
