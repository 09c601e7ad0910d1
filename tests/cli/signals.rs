//! What an interrupted or killed run leaves.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use cto_harness::engine::Catalog;
use cto_harness::home::Home;
use cto_harness::store::{ConformanceRecord, ConformanceRecords};
use cto_harness::vocab::{Digest, EngineId, RunId, Timestamp};

use crate::bench::TestBench;

/// Starts a run whose engine sleeps, and waits until the engine is at work.
fn sleeping(bench: &TestBench) -> (Child, String) {
    sleeping_with_grace(bench, 1)
}

fn sleeping_with_grace(bench: &TestBench, grace: u64) -> (Child, String) {
    let contract = bench.fixture("engine-never-ends").join("contract.toml");
    let text = std::fs::read_to_string(&contract).unwrap();
    let text = text.replace("wall_seconds = 2", "wall_seconds = 120");
    std::fs::write(&contract, text.replace("grace_seconds = 1", &format!("grace_seconds = {grace}")))
        .unwrap();
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
fn a_second_signal_does_not_wait_for_the_engine() {
    let bench = TestBench::new();
    bench.call(&["runs"]).ends(0);
    bench.write("home/config/config.toml", "[limits]\ngrace_seconds = 3600\n");
    let (mut child, bundle) = sleeping_with_grace(&bench, 3600);
    let log = || std::fs::read_to_string(format!("{bundle}/events.normalized.jsonl")).unwrap();
    signal(&child, "INT");
    wait_until(&mut child, |_| log().contains("stopping (SIGINT), up to 3600 s"));
    signal(&child, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!log().contains("limit.reached"), "nothing was waited for");
    bench.call(&["verify", &bundle]).ends(0);
}

/// A run whose engine's key is what `command` prints, started.
fn with_a_key_command(bench: &TestBench, contract: &str, command: &str) -> Child {
    bench.call(&["key", "show"]).ends(0);
    let program = std::fs::canonicalize("/bin/sleep").unwrap();
    let config = format!(
        "[engines.codex]\nprogram = \"{}\"\nendpoint = \"http://127.0.0.1:9/v1\"\nunpriced = true\n\
         model = \"m\"\nkey = {{ command = [\"/bin/sh\", \"-c\", \"{command}\"] }}\n",
        program.display()
    );
    bench.write("home/config/config.toml", &config);
    checked(bench, &program);
    let mut run = bench.command(&["run", contract, "--engine", "codex", "--json"]);
    run.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// Puts a check of `program` on record, as if it had passed one.
fn checked(bench: &TestBench, program: &std::path::Path) {
    let home = Home::at(&bench.path().join("home")).unwrap();
    let engine = EngineId::codex();
    let record = ConformanceRecord {
        adapter: Catalog::load(None).unwrap().get(&engine).unwrap().digest,
        engine,
        program: Digest::of(&std::fs::read(program).unwrap()),
        version: None,
        schema: None,
        harness: "a test".to_owned(),
        checked_at: Timestamp::now(),
        run_id: RunId::new(),
        root: Digest::of(b""),
        passed: true,
        prepared: Vec::new(),
    };
    ConformanceRecords::of(home.state()).keep(record, &[], &home.sealing_key().unwrap()).unwrap();
}

fn wait_until(child: &mut Child, what: impl Fn(&Child) -> bool) {
    while !what(child) {
        assert!(child.try_wait().unwrap().is_none(), "the run ended early");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// Whether a process has taken over SIGINT and SIGTERM.
fn listens(child: &Child) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    let both = 1 << (2 - 1) | 1 << (15 - 1);
    u64::from_str_radix(caught.trim(), 16).unwrap() & both == both
}

#[test]
fn a_signal_before_the_launch_ends_the_key_command_and_no_engine_starts() {
    let bench = TestBench::new();
    let fixture = bench.fixture("does-nothing");
    let contract = std::fs::read_to_string(fixture.join("contract.toml")).unwrap();
    std::fs::write(fixture.join("contract.toml"), contract.replace("\"fixture\"", "\"codex\"")).unwrap();
    std::fs::remove_file(fixture.join("script.toml")).ok();
    let begun = bench.path().join("begun");
    let command = format!("touch {}; exec sleep 1000", begun.display());
    let mut child = with_a_key_command(&bench, "does-nothing", &command);
    wait_until(&mut child, |_| begun.exists());
    signal(&child, "INT");
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(130), "{said}");
    let last: serde_json::Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(last["result"]["reasons"][0]["code"], "cancelled", "{last}");
    let bundle = last["result"]["bundle"].as_str().unwrap();
    let log = std::fs::read_to_string(format!("{bundle}/events.normalized.jsonl")).unwrap();
    assert!(!log.contains("engine.started"), "{log}");
    bench.call(&["verify", bundle]).ends(0);
}

#[test]
fn while_facts_are_gathered_one_signal_is_sealed_and_a_second_ends_at_once() {
    let bench = TestBench::new();
    let fixture = bench.fixture("does-nothing");
    // So much to read that it would take minutes, and nothing on the disk.
    let inputs = bench.path().join("inputs");
    std::fs::create_dir(&inputs).unwrap();
    std::fs::File::create(inputs.join("0")).unwrap().set_len(1 << 26).unwrap();
    (1..5000).for_each(|nth| std::fs::hard_link(inputs.join("0"), inputs.join(nth.to_string())).unwrap());
    let contract = std::fs::read_to_string(fixture.join("contract.toml")).unwrap();
    let line = format!("inputs = [{{ from = \"{}\", to = \"in\" }}]\n", inputs.display());
    std::fs::write(fixture.join("contract.toml"), format!("{line}{contract}")).unwrap();
    let start = || {
        let mut run = bench.command(&["run", "does-nothing", "--json"]);
        let mut child = run.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        wait_until(&mut child, listens);
        child
    };
    let child = start();
    signal(&child, "INT");
    signal(&child, "TERM");
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(130), 0));
    assert!(!bench.path().join("evidence").exists(), "nothing was recorded yet");
    // The same with one signal, and a blocked decision: the files that are gone cannot be read.
    let child = start();
    signal(&child, "INT");
    std::fs::remove_dir_all(&inputs).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(130), "{said}");
    let last: serde_json::Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(last["result"]["verdict"], "blocked", "{last}");
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
    assert!(runs.contains("resumable"), "{runs}");
    bench.call(&["verify", &bundle]).ends(1);
}
