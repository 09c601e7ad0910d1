//! Places that cannot be used: configuration, evidence folder, engine program, a full disk.

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;

use super::bench::{TestBench, contract, fixture};

#[test]
fn configuration_mistakes_name_the_file_and_the_field() {
    let bench = TestBench::new();
    bench.cto(&["key", "show"]).expect(0, &["BEGIN PUBLIC KEY"]);
    let config = bench.state().parent().unwrap().join("config/config.toml");
    for (text, names) in [
        ("[engines.codex]\nprogramme = \"/x\"\n", ["config.toml", "programme"]),
        ("[engines.codex]\nkey = \"plain\"\n", ["config.toml", "key"]),
        ("[limits]\nwall_seconds = \"long\"\n", ["config.toml", "wall_seconds"]),
    ] {
        std::fs::write(&config, text).unwrap();
        std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o600)).unwrap();
        bench.cto(&["run", &fixture("docs-only")]).expect(2, &names);
    }
}

#[test]
fn an_engine_without_a_program_or_endpoint_is_a_decision() {
    let bench = TestBench::new();
    bench.repository("repo");
    bench.cto(&["key", "show"]).expect(0, &[]);
    let config = bench.state().parent().unwrap().join("config/config.toml");
    std::fs::write(&config, "[engines.codex]\nprogram = \"/nowhere/codex\"\n").unwrap();
    bench.file("contract.toml", &contract("repo").replace("engine = \"fixture\"", "engine = \"codex\""));
    bench.cto(&["run", "contract.toml", "--json"]).expect(3, &["gate.engine.program", "gate.spend.cap"]);
    let script = bench.file("codex.js", "#!/usr/bin/env node\n");
    let text = format!("[engines.codex]\nprogram = \"{}\"\n", script.display());
    std::fs::write(&config, text).unwrap();
    bench.cto(&["run", "contract.toml", "--json"]).expect(3, &["gate.engine.program", "script"]);
}

#[test]
fn a_configured_key_is_never_handed_in_nor_is_what_lies_beside_it() {
    let bench = TestBench::new();
    bench.repository("repo");
    bench.file("keys/real", "made-up\n");
    bench.file("keys/beside", "made-up\n");
    bench.file("named/other", "made-up\n");
    bench.file("deps/a", "a\n");
    std::os::unix::fs::symlink(bench.work().join("keys/real"), bench.work().join("named/key")).unwrap();
    bench.cto(&["key", "show"]).expect(0, &[]);
    let config = bench.state().parent().unwrap().join("config/config.toml");
    let named = bench.work().join("named/key");
    let text = format!("[engines.codex]\nkey = {{ file = \"{}\" }}\n", named.display());
    std::fs::write(&config, text).unwrap();
    let with = |input: &str| {
        let from = bench.work().join(input);
        let line = format!("inputs = [{{ from = \"{}\", to = \"in\" }}]\nengine", from.display());
        bench.file("contract.toml", &contract("repo").replace("engine", &line));
        bench.cto(&["decide", "contract.toml"])
    };
    for input in ["keys/real", "keys", "keys/beside", "named/key", "named/other", "."] {
        with(input).expect(3, &["contract.supported", "keeps to itself"]);
    }
    with("deps").expect(0, &["ELIGIBLE"]);
    // What was sealed earlier, wherever it was put.
    bench.cto(&["run", "contract.toml", "--out", "sealed"]).expect(0, &[]);
    with("sealed").expect(3, &["contract.supported", "keeps to itself"]);
    let handed_in = |folder: &str| bench.cto(&["sandbox", "--ro", folder, "--", "/bin/true"]);
    handed_in("deps").expect(0, &[]);
    for folder in ["sealed", "keys"] {
        handed_in(folder).expect(2, &["keeps to itself", "remedy"]);
    }
}

#[test]
fn paths_that_are_not_utf8_are_refused_at_the_door() {
    let bench = TestBench::new();
    let odd = std::ffi::OsStr::from_bytes(b"od\xffd");
    std::fs::create_dir_all(bench.work().join(odd).join(".git")).unwrap();
    std::os::unix::fs::symlink(odd, bench.work().join("link")).unwrap();
    let refused = |call: &mut std::process::Command| {
        let output = call.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("is not UTF-8") && said.contains("remedy"), "{said}");
    };
    let fixture = fixture("does-nothing");
    refused(bench.call(&["run", &fixture, "--out"]).arg(odd));
    refused(&mut bench.call(&["run", &fixture, "--out", "link/runs"]));
    refused(bench.call(&["run", &fixture]).current_dir(bench.work().join(odd)));
    refused(bench.call(&["run", &fixture]).env("CTO_HOME", bench.work().join(odd)));
    refused(bench.call(&["repo", "add", "--ownership", "sandbox"]).arg(odd));
    assert_eq!(std::fs::read_dir(bench.work().join(odd)).unwrap().count(), 1, "nothing was made there");
}

#[test]
fn a_file_of_principals_that_is_not_one_is_refused_with_a_remedy() {
    let bench = TestBench::new();
    bench.cto(&["key", "show"]).expect(0, &[]);
    std::fs::write(bench.state().parent().unwrap().join("config/principals.toml"), "[[principal]]\n")
        .unwrap();
    bench.cto(&["run", &fixture("does-nothing")]).expect(2, &["principals.toml", "remedy"]);
}

#[test]
fn an_evidence_folder_that_refuses_is_named_and_leaves_no_record() {
    let bench = TestBench::new();
    bench.cto(&["run", &fixture("does-nothing"), "--out", "/proc"]).expect(4, &["/proc/run-", "remedy"]);
    assert!(bench.cto(&["runs", "--json"]).out.is_empty());
}

#[test]
fn a_full_state_folder_is_said_and_no_fault_of_the_program() {
    let small = tempfile::tempdir().unwrap();
    let mount = ["-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs"];
    let mounted = std::process::Command::new("mount").args(mount).arg(small.path()).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        // Only root can make a small file system.
        return;
    }
    let bench = TestBench::new();
    let output = bench.call(&["run", &fixture("does-nothing")]).env("CTO_HOME", small.path()).output();
    let unmounted = std::process::Command::new("umount").arg(small.path()).status().unwrap();
    assert!(unmounted.success());
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("No space left") && said.contains("free disk space"), "{said}");
}

#[test]
fn evidence_that_cannot_be_written_is_exit_4_before_anything_runs() {
    let bench = TestBench::new();
    bench.file("in-the-way", "");
    let said = bench.cto(&["run", &fixture("docs-only"), "--out", "in-the-way"]);
    said.expect(4, &["remedy"]);
    assert!(bench.leftovers().is_empty());
}

#[test]
fn a_full_disk_is_said_and_nothing_is_called_sealed() {
    let small = tempfile::tempdir().unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
        .arg(small.path())
        .output()
        .is_ok_and(|output| output.status.success());
    if !mounted {
        // Only root can make a small file system; as an ordinary user there is none to fill.
        return;
    }
    let bench = TestBench::new();
    let out = small.path().join("runs");
    let said = bench.cto(&["run", &fixture("output-flood"), "--out", &out.display().to_string()]);
    let sealed = std::fs::read_dir(&out)
        .is_ok_and(|entries| entries.flatten().any(|entry| entry.path().join("root.dsse.json").exists()));
    let unmounted = std::process::Command::new("umount").arg(small.path()).status().unwrap();
    assert!(unmounted.success());
    said.expect(4, &["remedy"]);
    assert!(!sealed);
    assert!(bench.leftovers().is_empty(), "{:?}", bench.leftovers());
    bench.cto(&["runs"]).expect(0, &["unrecorded"]);
}
