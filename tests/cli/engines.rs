//! The registry of engines that are not built in: installed, listed, removed; and what is not taken.

use std::path::PathBuf;

use super::bench::TestBench;
use super::made;

const MANIFEST: &str = r#"id = "other"
display = "Other"
gated = false
adapter = "component"
spends = false

[program]
discover = "configured"
name = "other"
form = "native"
"#;

fn folder(bench: &TestBench, name: &str, manifest: &str, module: &[u8]) -> PathBuf {
    let folder = bench.path().join(name);
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("engine.toml"), manifest).unwrap();
    std::fs::write(folder.join("adapter.wasm"), module).unwrap();
    folder
}

fn listed(bench: &TestBench) -> Option<serde_json::Value> {
    let answer = bench.call(&["engine", "list", "--json"]).ends(0);
    let rows = answer.out.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    rows.into_iter().find(|row| row["engine"] == "other")
}

#[test]
fn an_engine_is_installed_gated_with_its_origin_and_removed() {
    let bench = TestBench::new();
    let module = made::harmless();
    folder(&bench, "module", MANIFEST, &module);
    let answer = bench.call(&["engine", "install", "module"]).ends(0);
    let digest = cto_harness::vocab::Digest::of(&module).to_string();
    assert!(answer.out.contains(&digest), "{}", answer.out);
    let audit = std::fs::read_to_string(bench.path().join("home/state/audit.jsonl")).unwrap();
    assert!(audit.contains(&format!("engine: install other {digest}")), "{audit}");

    let row = listed(&bench).unwrap();
    assert_eq!((row["gated"].as_bool(), row["module"].as_str()), (Some(true), Some(digest.as_str())));
    assert!(row["origin"]["from"].as_str().unwrap().ends_with("/module"), "{row}");
    let table = bench.call(&["engine", "list"]).ends(0);
    assert!(table.out.contains(&format!("other: adapter {digest} from ")), "{}", table.out);

    let again = bench.call(&["engine", "install", "module"]).ends(2);
    assert!(again.err.contains("installed already") && again.err.contains("remedy"), "{}", again.err);
    bench.call(&["engine", "remove", "other"]).ends(0);
    assert!(listed(&bench).is_none());
    assert!(std::fs::read_dir(bench.path().join("home/config/engines")).unwrap().next().is_none());
    bench.call(&["engine", "remove", "other"]).ends(2);
    bench.call(&["engine", "install", "module/engine.toml", "module/adapter.wasm"]).ends(0);
    assert!(listed(&bench).is_some());
}

#[test]
fn what_is_no_module_or_wants_anothers_place_is_not_installed() {
    let bench = TestBench::new();
    let module = made::harmless();
    folder(&bench, "codex", &MANIFEST.replace("\"other\"", "\"codex\""), &module);
    folder(&bench, "player", &MANIFEST.replace("\"component\"", "\"fixture-player\""), &module);
    folder(&bench, "strange", &format!("surprise = 1\n{MANIFEST}"), &module);
    folder(&bench, "text", MANIFEST, b"hello");
    folder(&bench, "traps", MANIFEST, &made::module(&[("opening", "unreachable")], ""));
    let linked = folder(&bench, "linked", MANIFEST, &module);
    std::fs::rename(linked.join("adapter.wasm"), linked.join("there.wasm")).unwrap();
    std::os::unix::fs::symlink("there.wasm", linked.join("adapter.wasm")).unwrap();
    std::fs::create_dir(bench.path().join("empty")).unwrap();
    for (name, word) in [
        ("codex", "built in"),
        ("player", "component"),
        ("strange", "surprise"),
        ("text", "no module"),
        ("traps", "broke down"),
        ("linked", "adapter.wasm"),
        ("empty", "engine.toml"),
        ("absent", "engine.toml"),
    ] {
        let answer = bench.call(&["engine", "install", name]).ends(2);
        assert!(answer.err.contains(word) && answer.err.contains("remedy"), "{name}: {}", answer.err);
    }
    assert!(!bench.path().join("home/config/engines").exists());
    for built_in in ["codex", "case", "fixture"] {
        let answer = bench.call(&["engine", "remove", built_in]).ends(2);
        assert!(answer.err.contains("built in"), "{}", answer.err);
    }
}

#[test]
fn an_installation_that_was_killed_halfway_is_no_engine_and_in_nobodys_way() {
    let bench = TestBench::new();
    folder(&bench, "module", MANIFEST, &made::harmless());
    bench.call(&["engine", "list"]).ends(0);
    let part = bench.path().join("home/config/engines/.part-other");
    std::fs::create_dir_all(&part).unwrap();
    std::fs::write(part.join("adapter.wasm"), "half").unwrap();
    assert!(listed(&bench).is_none());
    bench.call(&["engine", "install", "module"]).ends(0);
    assert!(listed(&bench).is_some() && !part.exists());
}

#[test]
fn a_module_that_is_gone_or_broken_stops_every_decision_and_can_be_removed() {
    let bench = TestBench::new();
    folder(&bench, "module", MANIFEST, &made::harmless());
    bench.call(&["engine", "install", "module"]).ends(0);
    std::fs::remove_file(bench.path().join("home/config/engines/other/adapter.wasm")).unwrap();
    let answer = bench.call(&["engine", "list"]).ends(2);
    assert!(answer.err.contains("adapter.wasm") && answer.err.contains("remedy"), "{}", answer.err);
    bench.call(&["engine", "remove", "other"]).ends(0);
    bench.call(&["engine", "list"]).ends(0);
}
