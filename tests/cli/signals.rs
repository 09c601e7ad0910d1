//! What an interrupted or killed run leaves.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use crate::bench::TestBench;

/// Starts a run whose engine sleeps, and waits until the engine is at work.
fn sleeping(bench: &TestBench) -> (Child, String) {
    let contract = bench.fixture("engine-never-ends").join("contract.toml");
    let text = std::fs::read_to_string(&contract).unwrap();
    std::fs::write(&contract, text.replace("wall_seconds = 2", "wall_seconds = 120")).unwrap();
    let mut command = bench.command(&["run", "engine-never-ends", "--json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
    let launch: serde_json::Value = serde_json::from_str(&first).unwrap();
    let bundle = launch["launch"]["bundle"].as_str().unwrap().to_owned();
    let log = format!("{bundle}/events.normalized.jsonl");
    while !std::fs::read_to_string(&log).is_ok_and(|text| text.contains("engine.started")) {
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!(child.try_wait().unwrap().is_none(), "the run ended early");
    }
    (child, bundle)
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

#[test]
fn an_interrupted_run_seals_its_bundle_first() {
    for name in ["INT", "TERM"] {
        let bench = TestBench::new();
        let (mut child, bundle) = sleeping(&bench);
        signal(&child, name);
        assert_eq!(child.wait().unwrap().code(), Some(130), "{name}");
        let log = std::fs::read_to_string(format!("{bundle}/events.normalized.jsonl")).unwrap();
        assert!(log.contains(&format!("stopping (SIG{name}), up to 1 s")), "what is waited for is told");
        bench.call(&["verify", &bundle]).ends(0);
        let shown = bench.call(&["show", &bundle, "--json"]).ends(0).json().pop().unwrap();
        assert_eq!(shown["verdict"], "fail");
        assert!(shown["sections"]["cut_off"].is_object(), "{shown}");
    }
}

#[test]
fn a_killed_run_is_incomplete_and_the_next_call_cleans_up() {
    let bench = TestBench::new();
    let (mut child, bundle) = sleeping(&bench);
    signal(&child, "KILL");
    child.wait().unwrap();
    let said = bench.call(&["verify", &bundle]).ends(1).out;
    assert!(said.contains("INCOMPLETE"), "{said}");
    bench.fixture("does-nothing");
    bench.call(&["run", "does-nothing"]).ends(0);
    let runs = bench.call(&["runs"]).ends(0).out;
    assert!(runs.contains("incomplete"), "{runs}");
    bench.call(&["verify", &bundle]).ends(1);
}
