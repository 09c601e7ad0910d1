//! Several runs at once, and what they leave in common: one audit log, one cache, no interference.

use std::process::{Command, Stdio};

use super::bench::{TestBench, fixture};

#[test]
fn four_runs_of_one_fixture_at_once_all_pass() {
    let bench = TestBench::new();
    let runs: Vec<_> = (0..4)
        .map(|_| {
            let mut call = bench.call(&["run", &fixture("fix-failing-test"), "--json"]);
            call.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for run in runs {
        let output = run.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(bench.leftovers().is_empty());
    let audit = std::fs::read_to_string(bench.state().join("audit.jsonl")).unwrap();
    for line in audit.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
    for act in ["open-run", "decide", "launch-engine", "verify", "seal"] {
        let needle = format!("\"act\":\"{act}\"");
        assert_eq!(audit.matches(&needle).count(), 4, "{act} in {audit}");
    }
}

#[test]
fn a_hundred_runs_at_once_all_pass_and_leave_nothing() {
    let bench = TestBench::new();
    // The first lays out the base that all share.
    bench.cto(&["run", &fixture("docs-only")]).expect(0, &["PASS"]);
    let start = |_| {
        let mut call = bench.call(&["run", &fixture("docs-only"), "--json"]);
        call.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let runs: Vec<_> = (0..100).map(start).collect();
    let pids: Vec<u32> = runs.iter().map(std::process::Child::id).collect();
    for run in runs {
        let output = run.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(bench.leftovers().is_empty(), "{:?}", bench.leftovers());
    let names = Command::new("find").args(["/sys/fs/cgroup", "-name", "cto-*"]).output().unwrap();
    let names = String::from_utf8_lossy(&names.stdout).into_owned();
    for pid in pids {
        assert!(!names.contains(&format!("-{pid}-")), "the group of {pid} is left: {names}");
    }
    let listed = bench.cto(&["runs", "--json"]);
    assert_eq!(listed.out.matches("\"state\":\"pass\"").count(), 101, "{}", listed.out);
}

#[test]
fn a_program_gets_two_lines_and_nothing_else() {
    let bench = TestBench::new();
    let said = bench.cto(&["run", &fixture("docs-only"), "--json"]);
    let lines: Vec<serde_json::Value> =
        said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "{}", said.out);
    assert_eq!(lines[0]["launch"]["run_id"], lines[1]["result"]["run_id"]);
    assert_eq!(lines[1]["result"]["verdict"], "pass");
    assert_eq!(lines[1]["result"]["exit_code"], 0);
}

#[test]
fn a_gated_engine_gives_a_complete_blocked_bundle() {
    let bench = TestBench::new();
    let said = bench.cto(&["run", &fixture("docs-only"), "--engine", "case", "--json"]);
    said.expect(3, &[]);
    let bundle = said.result()["bundle"].as_str().unwrap().to_owned();
    let decision = std::fs::read_to_string(format!("{bundle}/decision.json")).unwrap();
    for gate in
        ["engine.enabled", "engine.stage", "source.admission", "source.license", "engine.adapter-contract"]
    {
        assert!(decision.contains(&format!("\"{gate}\"")), "{gate} in {decision}");
    }
    bench.cto(&["verify", &bundle]).expect(0, &["VERIFIED", "BLOCKED"]);
}
