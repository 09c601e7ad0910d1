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
    for step in STEPS {
        let mut child = until(bench.call(&["run", &fixture("fix-failing-test")]), step);
        signal(&child, "KILL");
        // The last step is so short that the run may be over before the signal arrives.
        assert!(!child.wait().unwrap().success() || step == "seal", "{step}");
        bench.cto(&["runs"]).expect(0, &[]);
        assert!(bench.leftovers().is_empty(), "after {step}: {:?}", bench.leftovers());
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
