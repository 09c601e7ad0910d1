//! Limits in a whole run: held, and named with value and moment in event, row and reason; and what a killed one leaves.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::bench::{Said, TestBench, contract, fixture, until};

/// The fixture `output-flood` with other limits and another script; the value is the report.
fn run(bench: &TestBench, name: &str, limits: &str, script: &str, code: i32) -> (Value, String) {
    let folder = bench.work().join(name);
    let copied = Command::new("cp").args(["-r", &fixture("output-flood")]).arg(&folder).status().unwrap();
    assert!(copied.success());
    let contract = std::fs::read_to_string(folder.join("contract.toml")).unwrap();
    let changed = contract.replace("output_bytes = 1048576", limits);
    assert_ne!(changed, contract);
    std::fs::write(folder.join("contract.toml"), changed).unwrap();
    let first = "[[step]]\ndo = \"edit\"\npath = \"src/sum.sh\"\nfind = \"$1 - $2\"\nreplace = \"$1 + $2\"\n";
    let step = format!("[[step]]\ndo = \"run\"\nargv = [\"bash\", \"-c\", '''{script}''']\n");
    std::fs::write(folder.join("script.toml"), format!("{first}{step}")).unwrap();
    let said = bench.cto(&["run", name, "--json"]);
    said.expect(code, &[]);
    let bundle = said.result()["bundle"].as_str().unwrap().to_owned();
    bench.cto(&["verify", &bundle]).expect(0, &["VERIFIED"]);
    let report = std::fs::read_to_string(format!("{bundle}/report.json")).unwrap();
    (serde_json::from_str(&report).unwrap(), bundle)
}

fn row_of<'a>(report: &'a Value, name: &str) -> &'a Value {
    report["sections"]["limits"].as_array().unwrap().iter().find(|row| row["name"] == name).unwrap()
}

/// Whether the kernel holds memory for runs here.
fn grouped(report: &Value) -> bool {
    row_of(report, "memory_bytes")["holding"] == "hard"
}

#[test]
fn each_limit_of_the_tree_ends_the_run_and_is_named_with_value_and_moment() {
    let bench = TestBench::new();
    let hog = "python3 -c 'b = bytearray(600 << 20); import time; time.sleep(SECONDS)'; sleep SECONDS";
    let burn = "for i in 1 2 3; do (while :; do :; done) & done; sleep SECONDS; kill $(jobs -p)";
    let cases = [
        ("memory_bytes", 300 << 20, hog),
        ("processes", 40, "for i in $(seq 90); do sleep SECONDS & done; wait; sleep SECONDS"),
        ("tree_cpu_seconds", 2, burn),
        ("cpu_seconds", 1, burn),
        ("disk_bytes", 30 << 20, "head -c 80000000 /dev/zero > src/big; sleep SECONDS; rm src/big"),
        ("inodes", 300, "for i in $(seq 900); do : > src/$i; done; sleep SECONDS; rm src/[0-9]*"),
    ];
    for (name, value, script) in cases {
        let held = script.replace("SECONDS", "15");
        let (report, bundle) = run(&bench, name, &format!("{name} = {value}"), &held, 1);
        let row = row_of(&report, name);
        assert_eq!((&row["requested"], &row["enforced"]), (&value.into(), &value.into()));
        assert_eq!(row["reached"]["during"], "engine", "{name}: {row}");
        assert!(row["reached"]["at"].as_str().is_some_and(|at| at.contains('T')), "{row}");
        let reasons = report["reasons"].to_string();
        assert!(reasons.contains(&format!("limit.{}", name.replace('_', "-"))), "{reasons}");
        let events = std::fs::read_to_string(format!("{bundle}/events.normalized.jsonl")).unwrap();
        let told = events.lines().find(|line| line.contains("limit.reached")).unwrap_or_default();
        assert!(told.contains(&format!("\"{name}\"")) && told.contains(&value.to_string()), "{told}");
        // The same within the default is no matter.
        let (report, _) =
            run(&bench, &format!("{name}-fits"), "wall_seconds = 100", &script.replace("SECONDS", "1"), 0);
        let all = report["sections"]["limits"].as_array().unwrap();
        assert!(all.iter().all(|row| row["reached"].is_null()), "{name}: {all:?}");
    }
}

#[test]
fn a_patch_over_its_limit_is_refused_and_named() {
    let bench = TestBench::new();
    let script = "head -c 300000 /dev/urandom | base64 > src/new.txt";
    let (report, bundle) = run(&bench, "patch", "patch_bytes = 100000", script, 3);
    let row = row_of(&report, "patch_bytes");
    assert_eq!((&row["reached"]["during"], &row["holding"]), (&"patch".into(), &"hard".into()));
    let reasons = report["reasons"].to_string();
    assert!(reasons.contains("patch.too-large") && reasons.contains("limit.patch-bytes"), "{reasons}");
    assert!(!Path::new(&bundle).join("patch.diff").exists());
    let (report, _) = run(&bench, "patch-fits", "patch_bytes = 1000000", script, 0);
    assert!(report["sections"]["patch"]["files"].as_array().unwrap().len() == 2);
}

#[test]
fn the_evidence_tells_of_each_limit_what_holds_it_and_how_firmly() {
    let bench = TestBench::new();
    let (report, _) = run(&bench, "told", "wall_seconds = 100", "true", 0);
    for row in report["sections"]["limits"].as_array().unwrap() {
        assert!(!row["held_by"].as_str().unwrap().is_empty(), "{row}");
        assert!(["hard", "watched"].contains(&row["holding"].as_str().unwrap()), "{row}");
    }
    for name in ["disk_bytes", "inodes", "tree_cpu_seconds"] {
        assert_eq!(row_of(&report, name)["holding"], "watched");
    }
    let layers = report["sections"]["sandbox"]["layers"].as_array().unwrap();
    let layer = layers.iter().find(|row| row["layer"] == "cgroup.memory");
    assert_eq!(layer.is_some(), grouped(&report));
    if let Some(layer) = layer {
        assert!(layer["enforced"].as_str().unwrap().contains("4294967296; PID 1 is in it"), "{layer}");
    }
}

#[test]
fn what_is_elevated_demands_hard_limits_and_without_groups_the_remedy_is_told() {
    let bench = TestBench::new();
    bench.repository("repo");
    let elevated = contract("repo").replace("\"SAFE\"", "\"ELEVATED\"");
    bench.file("elevated.toml", &elevated);
    bench.file("safe.toml", &contract("repo"));
    let memory = |said: &str| -> Value {
        let answer: Value = serde_json::from_str(said).unwrap();
        answer["layers"].as_array().unwrap().iter().find(|row| row["layer"] == "memory").unwrap().clone()
    };
    let has_groups = memory(&bench.cto(&["doctor", "--json"]).out)["ok"] == true;
    bench.cto(&["run", "elevated.toml", "--json"]).expect(if has_groups { 0 } else { 3 }, &[]);
    if has_groups {
        let said = bench.cto(&["run", "elevated.toml", "--json"]);
        said.expect(0, &[]);
        let bundle = said.result()["bundle"].as_str().unwrap().to_owned();
        let policy = std::fs::read_to_string(format!("{bundle}/backend/sandbox-policy.json")).unwrap();
        assert!(policy.contains("\"demanded\""), "{policy}");
        bench.cto(&["verify", &bundle]).expect(0, &["VERIFIED"]);
    }
    // The same where no hierarchy is mounted, as in many containers.
    let without = |words: &[&str]| {
        let call = bench.call(words);
        let mut unshare = Command::new("unshare");
        let script = "umount -R /sys/fs/cgroup 2>/dev/null; exec \"$0\" \"$@\"";
        unshare.args(["-m", "sh", "-c", script]).arg(call.get_program()).args(call.get_args());
        unshare.current_dir(bench.work()).env("CTO_HOME", bench.work().parent().unwrap().join("home"));
        Said::of(&unshare.output().unwrap())
    };
    if Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|status| status.success()) {
        let row = memory(&without(&["doctor", "--json"]).out);
        assert!(row["ok"] == false && row["remedy"].as_str().unwrap().contains("Delegate=yes"), "{row}");
        without(&["run", "elevated.toml", "--json"]).expect(3, &["gate.host.sandbox", "Delegate=yes"]);
        let said = without(&["run", "safe.toml", "--json"]);
        said.expect(0, &[]);
        let bundle = said.result()["bundle"].as_str().unwrap().to_owned();
        let report = std::fs::read_to_string(format!("{bundle}/report.json")).unwrap();
        let report: Value = serde_json::from_str(&report).unwrap();
        assert_eq!(row_of(&report, "memory_bytes")["holding"], "watched");
        assert_eq!(row_of(&report, "processes")["holding"], "hard", "by the rlimit");
        let said = without(&["sandbox", "--limit", "memory_bytes=100000000", "--", "/bin/true"]);
        said.expect(0, &["memory is watched, not held"]);
    }
}

/// Groups of that process, wherever this process may make some.
fn groups_of(pid: u32) -> Vec<PathBuf> {
    let mine = format!("-{pid}-");
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            let name = entry.file_name().into_string().unwrap_or_default();
            if name.starts_with("cto-") && name.contains(&mine) {
                found.push(entry.path());
            }
            folders.push(entry.path());
        }
    }
    found
}

#[test]
fn groups_of_a_killed_harness_are_removed_with_what_is_in_them_and_nobody_elses() {
    let bench = TestBench::new();
    let start = || {
        let script = "echo ready >&2; read line";
        let words = ["sandbox", "--limit", "memory_bytes=100000000", "--", "/bin/sh", "-c", script];
        let mut call = bench.call(&words);
        call.stdin(Stdio::piped());
        until(call, "ready")
    };
    let (mut dead, mut alive) = (start(), start());
    let (of_the_dead, of_the_living) = (groups_of(dead.id()), groups_of(alive.id()));
    if of_the_living.is_empty() {
        alive.kill().unwrap();
        dead.kill().unwrap();
        drop((alive.wait(), dead.wait()));
        return;
    }
    assert_eq!(of_the_dead.len(), of_the_living.len());
    bench.cto(&["doctor", "--clean"]).expect(0, &[]);
    assert_eq!(groups_of(dead.id()), of_the_dead, "it lives");
    dead.kill().unwrap();
    dead.wait().unwrap();
    assert_eq!(groups_of(dead.id()), of_the_dead, "what a kill leaves");
    // One that has nothing of the harness's but its group.
    let mut stray = Command::new("sleep").arg("600").spawn().unwrap();
    let mut bystander = Command::new("sleep").arg("600").spawn().unwrap();
    std::fs::write(of_the_dead[0].join("cgroup.procs"), stray.id().to_string()).unwrap();
    let said = bench.cto(&["doctor", "--clean"]);
    said.expect(0, &["removed control group", &format!("killed {}", stray.id())]);
    assert_eq!(groups_of(dead.id()), [""; 0].map(PathBuf::from));
    assert!(!stray.wait().unwrap().success());
    assert!(bystander.try_wait().unwrap().is_none(), "nobody else is touched");
    assert_eq!(groups_of(alive.id()), of_the_living);
    assert!(alive.try_wait().unwrap().is_none());
    bystander.kill().unwrap();
    bystander.wait().unwrap();
    drop(alive.stdin.take());
    assert!(alive.wait().unwrap().code().is_some());
    assert_eq!(groups_of(alive.id()), [""; 0].map(PathBuf::from), "an orderly end leaves nothing");
}
