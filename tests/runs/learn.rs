//! `cto run --learn`: a run like any other, whose bundle also holds the smallest policy that would have been enough.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::bench::{Said, TestBench, contract, fixture};

/// Fields that a fragment may bring, and that are therefore taken out of the contract that it is put behind.
const LEARNED_FIELDS: [&str; 8] = [
    "risk_class",
    "mutation_mode",
    "allowed_paths",
    "may_change_checks",
    "toolchains",
    "forbidden_actions",
    "limits",
    "network",
];

fn json(bundle: &Path, name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(bundle.join(name)).unwrap()).unwrap()
}

fn bundle(said: &Said) -> std::path::PathBuf {
    said.result()["bundle"].as_str().unwrap().into()
}

/// A copy of a fixture whose contract is its own without what is learned, and `fragment` behind it.
fn with_fragment(bench: &TestBench, from: &str, name: &str, fragment: &toml::Table) {
    let folder = bench.work().join(name);
    assert!(Command::new("cp").args(["-r", &fixture(from)]).arg(&folder).status().unwrap().success());
    let text = std::fs::read_to_string(folder.join("contract.toml")).unwrap();
    let mut whole: toml::Table = toml::from_str(&text).unwrap();
    for field in LEARNED_FIELDS {
        whole.remove(field);
    }
    whole.extend(fragment.clone());
    std::fs::write(folder.join("contract.toml"), toml::to_string(&whole).unwrap()).unwrap();
}

fn learn(bench: &TestBench, name: &str) -> (std::path::PathBuf, String, toml::Table) {
    let said = bench.cto(&["run", "--learn", &fixture(name), "--json"]);
    said.expect(0, &[]);
    let bundle = bundle(&said);
    let text = std::fs::read_to_string(bundle.join("learned.toml")).unwrap();
    let table = toml::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    (bundle, text, table)
}

#[test]
fn a_run_that_learns_says_so_everywhere_and_verifies() {
    let bench = TestBench::new();
    let (bundle, text, table) = learn(&bench, "adds-a-test-named");
    assert_eq!(table["mutation_mode"].as_str(), Some("copied-fixture"));
    assert_eq!(table["allowed_paths"].to_string(), r#"["/src/sum.sh", "/tests/large.sh"]"#);
    assert_eq!(table["may_change_checks"].to_string(), r#"["/tests/large.sh"]"#);
    assert!(text.contains("verification") && !text.contains("NOT WHOLE"), "{text}");
    let report = json(&bundle, "report.json");
    let learning = &report["sections"]["learning"];
    assert_eq!((&learning["fragment"], &learning["whole"]), (&"learned.toml".into(), &true.into()));
    assert!(report["artifacts"]["learned.toml"].is_string());
    assert_eq!(json(&bundle, "decision.json")["facts"]["learning"], true);
    assert_eq!(json(&bundle, "backend/sandbox-policy.json")["learning"], true);
    let layers = report["sections"]["sandbox"]["layers"].as_array().unwrap();
    let seccomp = layers.iter().find(|row| row["layer"] == "seccomp").unwrap();
    assert!(seccomp["enforced"].as_str().unwrap().contains("each refusal and each path told"), "{seccomp}");
    let bundle = bundle.to_str().unwrap();
    bench.cto(&["verify", bundle]).expect(0, &["VERIFIED"]);
    bench.cto(&["show", bundle]).expect(0, &["learned.toml"]);

    // Any other run says nothing of it, and has another request digest.
    let said = bench.cto(&["run", &fixture("adds-a-test-named"), "--json"]);
    let plain = self::bundle(&said);
    assert!(!plain.join("learned.toml").exists());
    assert!(json(&plain, "report.json")["sections"].get("learning").is_none());
    let digest = |bundle: &Path| json(bundle, "decision.json")["request_digest"].clone();
    assert_ne!(digest(&plain), digest(Path::new(bundle)));
}

/// The proof that the fragment is enough, and that nothing of what may change is too much.
#[test]
fn exactly_what_was_learned_is_enough_and_without_one_path_it_is_not() {
    let bench = TestBench::new();
    let (_, _, table) = learn(&bench, "adds-a-test-named");
    with_fragment(&bench, "adds-a-test-named", "again", &table);
    bench.cto(&["decide", "again"]).expect(0, &["ELIGIBLE"]);
    bench.cto(&["run", "again"]).expect(0, &["PASS"]);
    // And the same folder is no room for more.
    with_fragment(&bench, "adds-a-test-named", "more", &table);
    let script = bench.work().join("more/script.toml");
    let more = "\n[[step]]\ndo = \"write\"\npath = \"src/more.sh\"\ntext = \"x\"\n";
    std::fs::write(&script, std::fs::read_to_string(&script).unwrap() + more).unwrap();
    bench.cto(&["run", "more"]).expect(3, &["patch.outside-allowed-paths"]);
    let mut less = 0;
    for key in ["allowed_paths", "may_change_checks"] {
        let all = table[key].as_array().unwrap().clone();
        for without in 0..all.len() {
            let mut smaller = table.clone();
            smaller[key].as_array_mut().unwrap().remove(without);
            let name = format!("{key}-{without}");
            with_fragment(&bench, "adds-a-test-named", &name, &smaller);
            let said = bench.cto(&["run", &name]);
            assert!(matches!(said.code, Some(1 | 3)), "{name}: {}", said.out);
            less += 1;
        }
    }
    assert_eq!(less, 3);
}

#[test]
fn a_run_that_changes_nothing_is_told_to_need_mode_none() {
    let bench = TestBench::new();
    let (_, text, table) = learn(&bench, "does-nothing");
    assert_eq!(table["mutation_mode"].as_str(), Some("none"), "{text}");
    assert_eq!(table["risk_class"].as_str(), Some("SAFE"));
    with_fragment(&bench, "does-nothing", "again", &table);
    bench.cto(&["decide", "again"]).expect(0, &["ELIGIBLE"]);
    bench.cto(&["run", "again"]).expect(0, &["PASS"]);
}

#[test]
fn only_toolchains_that_were_used_are_learned() {
    let bench = TestBench::new();
    // Not below `/tmp`, where a sandbox has its own: a clone that lies there takes another place, where it may.
    let below_tmp = Path::new(env!("CARGO_TARGET_TMPDIR")).starts_with("/tmp");
    let place = tempfile::tempdir_in(if below_tmp { "/srv" } else { env!("CARGO_TARGET_TMPDIR") });
    let Ok(place) = place else {
        assert!(below_tmp, "the build's own folder for tests can be written to");
        return;
    };
    let open = |path: &Path| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(path, mode).unwrap();
    };
    open(place.path());
    for name in ["used", "unused"] {
        let folder = place.path().join(name).join("bin");
        std::fs::create_dir_all(&folder).unwrap();
        let program = folder.join(format!("tool-{name}"));
        std::fs::write(&program, "#!/bin/sh\nexit 0\n").unwrap();
        open(&program);
    }
    let chain = |name: &str| {
        let dir = place.path().join(name);
        format!("[toolchains.{name}]\nread_only = [{dir:?}]\npath = [{:?}]\n", dir.join("bin"))
    };
    bench.cto(&["runs"]).expect(0, &[]);
    bench.file("../home/config/config.toml", &[chain("used"), chain("unused")].concat());
    let folder = bench.work().join("f");
    let copied = Command::new("cp").args(["-r", &fixture("fix-failing-test")]).arg(&folder).status().unwrap();
    assert!(copied.success());
    let contract = std::fs::read_to_string(folder.join("contract.toml")).unwrap();
    std::fs::write(folder.join("contract.toml"), format!("{contract}toolchains = [\"used\", \"unused\"]\n"))
        .unwrap();
    let script = std::fs::read_to_string(folder.join("script.toml")).unwrap();
    std::fs::write(
        folder.join("script.toml"),
        format!("{script}\n[[step]]\ndo = \"run\"\nargv = [\"tool-used\"]\n"),
    )
    .unwrap();
    let said = bench.cto(&["run", "--learn", "f", "--json"]);
    said.expect(0, &[]);
    let text = std::fs::read_to_string(bundle(&said).join("learned.toml")).unwrap();
    assert!(text.contains("toolchains = [\"used\"]"), "{text}");
    assert!(text.contains("# The toolchain `unused` was not used."), "{text}");
}

#[test]
fn an_attempt_blocks_as_before_and_stands_in_the_fragment_as_a_comment() {
    let bench = TestBench::new();
    let said = bench.cto(&["run", "--learn", &fixture("forbidden-egress"), "--json"]);
    said.expect(3, &[]);
    let bundle = bundle(&said);
    let text = std::fs::read_to_string(bundle.join("learned.toml")).unwrap();
    assert!(text.contains("attempted, so forbidding it would block: \"network.egress\""), "{text}");
    let table: toml::Table = toml::from_str(&text).unwrap();
    assert!(!table["forbidden_actions"].to_string().contains("network.egress"), "{text}");
    bench.cto(&["verify", bundle.to_str().unwrap()]).expect(0, &["VERIFIED"]);
}

#[test]
fn learning_in_any_other_mode_is_a_refused_gate_and_sealed() {
    let bench = TestBench::new();
    let repo = bench.repository("r");
    bench.cto(&["repo", "add", "r", "--ownership", "sandbox", "--owner", "Ada"]).expect(0, &[]);
    let none = contract(repo.to_str().unwrap());
    let wide = none
        .replace("SAFE", "RESTRICTED")
        .replace("\"none\"", "\"sandbox-repo\"")
        .replace("allowed_paths = []", "allowed_paths = [\"src/**\"]");
    for (name, text) in [("none.toml", &none), ("wide.toml", &wide)] {
        bench.file(name, text);
        bench.cto(&["run", name]).expect(0, &[]);
        let said = bench.cto(&["run", "--learn", name, "--json"]);
        said.expect(3, &["gate.contract.supported", "learning is for mode `copied-fixture`"]);
        let bundle = bundle(&said);
        assert!(!bundle.join("learned.toml").exists());
        let report = json(&bundle, "report.json");
        assert_eq!(report["sections"]["stage_reached"], "decision");
        assert!(report["reasons"].to_string().contains("cto sandbox --learn"), "a way out: {report}");
        bench.cto(&["verify", bundle.to_str().unwrap()]).expect(0, &["VERIFIED"]);
    }
}
