//! The command line from outside: exit codes, what goes to which stream, and the verbs as they are documented.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "a test says what it expects by failing"
)]

mod approval;
#[path = "../support/authenticator.rs"]
mod authenticator;
mod bench;
mod degrade;
mod engines;
mod learn;
mod limits;
#[path = "../../src/engine/component/tests/made.rs"]
#[allow(dead_code, unreachable_pub, reason = "the unit tests make more of them")]
mod made;
mod sandbox;
mod signals;
mod spend;
mod ssh;

use std::io::Read as _;
use std::process::{Command, Stdio};

use bench::{Answer, TestBench};

#[test]
fn wrong_calls_end_with_two_and_start_nothing() {
    let bench = TestBench::new();
    bench.write("broken.toml", "contract_version = \n");
    bench.write("unknown.toml", "contract_version = \"1\"\nsurprise = 1\n");
    for words in [
        &["run"][..],
        &["run", "absent.toml"],
        &["run", "broken.toml"],
        &["run", "unknown.toml"],
        &["run", "unknown.toml", "--engine", "No Such Name"],
        &["decide", "broken.toml"],
        &["nonsense"],
        &["runs", "--nonsense"],
        &["verify"],
        &["verify", "absent"],
        &["verify", ".", "--trust", "absent.toml"],
        &["verify", ".", "--trust", "."],
        &["show", "absent"],
        &["approve", "apr-1", "--as", "a", "--key", "k"],
        &["sandbox"],
        &["sandbox", "--limit", "wall=1", "--", "true"],
        &["sandbox", "--env", "x", "--", "true"],
        &["repo", "add", "."],
        &["repo", "add", ".", "--ownership", "sandbox"],
        &["principal", "add", "a", "--key", "k", "--role", "king"],
        &["resume", "x"],
        &["engine", "admit", "case"],
        &["serve"],
        &["spend", "--run", "latest"],
        &["spend", "--thread", "a/b"],
        &["spend", "--day", "yesterday"],
        &["spend", "--day", "2026-03-01", "--thread", "a"],
    ] {
        let answer = bench.call(words).ends(2);
        assert!(answer.out.is_empty(), "{words:?}: {}", answer.out);
        assert!(!answer.err.is_empty(), "{words:?}");
    }
    assert!(!bench.path().join("evidence").exists());
}

#[test]
fn a_mistake_in_a_contract_is_shown_at_its_place_with_a_remedy() {
    let bench = TestBench::new();
    bench.write("task.toml", "contract_version = \"1\"\nsurprise = 1\n");
    let answer = bench.call(&["run", "task.toml"]).ends(2);
    for part in ["task.toml:2", "surprise", "remedy"] {
        assert!(answer.err.to_lowercase().contains(part), "{part}: {}", answer.err);
    }
}

#[test]
fn help_is_an_answer_and_has_examples() {
    let bench = TestBench::new();
    let mut pages = vec![Vec::new()];
    let mut seen = 0;
    while let Some(page) = pages.pop() {
        let words: Vec<&str> = page.iter().map(String::as_str).chain(["--help"]).collect();
        let answer = bench.call(&words).ends(0);
        assert!(answer.out.contains("Example"), "{words:?}: {}", answer.out);
        assert!(answer.err.is_empty());
        let listed = answer.out.lines().skip_while(|line| *line != "Commands:").skip(1);
        let names = listed.take_while(|line| !line.is_empty()).filter_map(|line| {
            let name = line.strip_prefix("  ")?.split(' ').next()?;
            (!name.is_empty() && name != "help").then_some(name)
        });
        pages.extend(names.map(|name| [page.as_slice(), &[name.to_owned()]].concat()));
        seen += 1;
    }
    assert!(seen >= 25, "only {seen} pages were found");
    assert!(bench.call(&["--version"]).ends(0).out.starts_with("cto "));
}

#[test]
fn a_run_for_programs_has_a_first_and_a_last_line_and_nothing_else() {
    let bench = TestBench::new();
    bench.fixture("fix-failing-test");
    let answer = bench.call(&["run", "fix-failing-test", "--json"]).ends(0);
    let lines = answer.json();
    assert_eq!(lines.len(), 2, "{}", answer.out);
    let (first, last) = (&lines[0]["launch"], &lines[1]["result"]);
    assert_eq!(first["run_id"], last["run_id"]);
    assert_eq!(last["verdict"], "pass");
    assert_eq!(last["exit_code"], 0);
    let bundle = last["bundle"].as_str().unwrap();
    assert!(bundle.contains(first["run_id"].as_str().unwrap()));
    assert!(
        bench.path().join("evidence/runs/.gitignore").exists()
            || bench.path().join("evidence/.gitignore").exists()
    );

    bench.call(&["verify", bundle]).ends(0);
    let verified = bench.call(&["verify", "latest", "--json"]).ends(0).json();
    assert_eq!(verified[0]["result"]["verification"]["outcome"], "verified");
    let shown = bench.call(&["show"]).ends(0).out;
    assert!(shown.contains("PASS") && !shown.contains('\u{1b}'), "{shown:?}");
    assert!(bench.call(&["runs"]).ends(0).out.contains("pass"));
    assert!(bench.call(&["events"]).ends(0).json().len() > 10);
    assert!(!bench.call(&["logs"]).ends(0).out.is_empty());
    let patch = std::fs::read_to_string(format!("{bundle}/patch.diff")).unwrap();
    assert_eq!(bench.call(&["diff"]).ends(0).out, patch, "exact when piped");
}

#[test]
fn an_error_for_programs_is_a_last_line_as_well() {
    let bench = TestBench::new();
    let answer = bench.call(&["run", "absent.toml", "--json"]).ends(2);
    let lines = answer.json();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["result"]["exit_code"], 2);
    assert!(lines[0]["result"]["bundle"].is_null());
    let reason = &lines[0]["result"]["reasons"][0];
    assert!(reason["code"] == "call.invalid" && !reason["remedy"].as_str().unwrap().is_empty(), "{reason}");
}

#[test]
fn words_that_make_no_sense_are_a_last_line_as_well() {
    let bench = TestBench::new();
    for words in [&["run", "--json"][..], &["run", "x", "--json", "--nonsense"], &["--json", "nonsense"]] {
        let lines = bench.call(words).ends(2).json();
        assert_eq!(lines.len(), 1, "{words:?}");
        let result = &lines[0]["result"];
        assert_eq!(result["exit_code"], 2);
        assert!(result["error"].as_str().is_some_and(|error| !error.is_empty()), "{result}");
        assert!(result["reasons"][0]["sentence"] == result["error"], "{result}");
    }
    assert!(bench.call(&["sandbox", "--", "/bin/echo", "--json"]).ends(0).out == "--json\n");
}

#[test]
fn a_bundle_that_is_gone_is_told_with_a_remedy() {
    let bench = TestBench::new();
    bench.fixture("does-nothing");
    let run = bench.call(&["run", "does-nothing", "--json"]).json();
    std::fs::remove_dir_all(run[1]["result"]["bundle"].as_str().unwrap()).unwrap();
    for verb in ["show", "events", "logs", "diff", "verify"] {
        let answer = bench.call(&[verb, "latest"]).ends(2);
        assert!(answer.err.contains("no longer") && answer.err.contains("remedy"), "{verb}: {}", answer.err);
    }
}

#[test]
fn a_person_gets_a_summary_and_the_bundles_place() {
    let bench = TestBench::new();
    bench.fixture("outside-allowed-paths");
    let answer = bench.call(&["run", "outside-allowed-paths"]).ends(3);
    for part in ["BLOCKED", "why", "evidence", "cto verify"] {
        assert!(answer.out.contains(part), "{part}: {}", answer.out);
    }
    assert!(answer.err.contains("engine"), "progress goes to standard error: {}", answer.err);
}

#[test]
fn a_decision_is_a_table_or_a_document() {
    let bench = TestBench::new();
    bench.fixture("fix-failing-test");
    bench.fixture("missing-gated-field");
    let table = bench.call(&["decide", "fix-failing-test"]).ends(0).out;
    assert!(table.contains("ELIGIBLE") && table.contains("host.sandbox"), "{table}");
    let document = &bench.call(&["decide", "missing-gated-field", "--json"]).ends(3).json()[0];
    assert_eq!(document["selected_backend"], "none");
    assert!(!document["missing_gates"].as_array().unwrap().is_empty());
    let case = bench.call(&["decide", "fix-failing-test", "--engine", "case"]).ends(3);
    assert!(case.out.contains("BLOCKED"), "{}", case.out);
    assert!(!bench.path().join("evidence").exists(), "deciding starts nothing");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let bench = TestBench::new();
    bench.fixture("fix-failing-test");
    bench.call(&["run", "fix-failing-test"]).ends(0);
    let mut child = bench.command(&["events"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), ""));
}

#[test]
fn standard_output_that_cannot_be_written_is_no_success() {
    let bench = TestBench::new();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let status = bench.command(&["key", "show"]).stdout(full).stderr(Stdio::null()).status().unwrap();
    assert_eq!(status.code(), Some(4));
}

#[test]
fn the_sealing_key_is_shown_rotated_and_never_private() {
    let bench = TestBench::new();
    bench.fixture("does-nothing");
    bench.call(&["run", "does-nothing"]).ends(0);
    let before = bench.call(&["key", "show"]).ends(0).out;
    assert!(before.starts_with("-----BEGIN PUBLIC KEY-----"), "{before}");
    let after = bench.call(&["key", "rotate"]).ends(0).out;
    assert_ne!(before, after);
    assert_eq!(bench.call(&["key", "show"]).ends(0).out, after);
    bench.call(&["verify", "latest"]).ends(0);
    bench.write("nobody.toml", "# nobody\n");
    bench.call(&["verify", "latest", "--trust", "nobody.toml"]).ends(3);
}

#[test]
fn repositories_are_registered_once_and_listed() {
    let bench = TestBench::new();
    std::fs::create_dir_all(bench.path().join("r/.git")).unwrap();
    let add = ["repo", "add", "r", "--ownership", "owned", "--owner", "Ada", "--criticality", "noncritical"];
    bench.call(&add).ends(0);
    bench.call(&add).ends(0);
    let listed = bench.call(&["repo", "list", "--json"]).ends(0).json();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["owner"], "Ada");
    let again = bench.call(&["repo", "add", "r", "--ownership", "sandbox"]).ends(0).out;
    for part in ["changed", "ownership: owned → sandbox", "owner: Ada", "criticality: noncritical"] {
        assert!(again.contains(part), "{part}: {again}");
    }
    let listed = bench.call(&["repo", "list", "--json"]).ends(0).json();
    assert_eq!((&listed[0]["owner"], &listed[0]["ownership"]), (&"Ada".into(), &"sandbox".into()));
}

#[test]
fn a_broken_configuration_is_named_and_nothing_runs() {
    let bench = TestBench::new();
    bench.fixture("does-nothing");
    bench.call(&["runs"]).ends(0);
    bench.write("home/config/config.toml", "[engines.codex]\nkey = \"plain\"\n");
    let answer = bench.call(&["run", "does-nothing"]).ends(2);
    assert!(answer.err.contains("config.toml"), "{}", answer.err);
    assert!(!bench.path().join("evidence").exists());
}

#[test]
fn an_evidence_folder_that_cannot_be_written_is_four() {
    let bench = TestBench::new();
    bench.fixture("does-nothing");
    bench.write("not-a-folder", "");
    bench.call(&["run", "does-nothing", "--out", "not-a-folder/x"]).ends(4);
}

#[test]
fn a_contract_comes_from_standard_input() {
    let bench = TestBench::new();
    let mut command = bench.command(&["decide", "-", "--json"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(
        &mut child.stdin.take().unwrap(),
        b"{\"contract_version\": \"1\", \"surprise\": 1}",
    )
    .unwrap();
    let answer = Answer::of(&child.wait_with_output().unwrap()).ends(2);
    assert!(answer.err.contains("surprise"), "{}", answer.err);
}

#[test]
fn doctor_tells_what_there_is_and_cleans_up() {
    let bench = TestBench::new();
    let answer = &bench.call(&["doctor", "--json"]).ends(0).json()[0];
    assert_eq!(answer["can_run"], true);
    assert!(answer["layers"].as_array().unwrap().len() >= 4);
    let state = answer["places"]["state"].as_str().unwrap();
    assert!(std::path::Path::new(state).is_dir(), "{state}");
    for tool in answer["toolchains"].as_array().unwrap() {
        assert_eq!(tool["ok"] == true, tool["remedy"] == "", "{tool}");
    }
    bench.call(&["doctor", "--clean"]).ends(0);
}

#[test]
fn doctor_says_no_where_every_run_would_be_blocked() {
    let bench = TestBench::new();
    bench.fixture("fix-failing-test");
    let without_namespaces = |words: &str| {
        let script = format!("echo 0 > /proc/sys/user/max_user_namespaces; exec \"$0\" {words}");
        let mut unshare = Command::new("unshare");
        unshare.args(["-Ur", "bash", "-euc", &script, env!("CARGO_BIN_EXE_cto")]);
        unshare.current_dir(bench.path()).env("CTO_HOME", bench.path().join("home"));
        Answer::of(&unshare.output().unwrap())
    };
    let said = without_namespaces("doctor --json").ends(3).json();
    assert_eq!(said[0]["can_run"], false);
    let said = without_namespaces("run fix-failing-test").ends(3);
    assert!(said.out.contains("gate.host.sandbox"), "{}", said.out);
}

#[test]
fn where_state_lies_on_an_overlay_runs_have_a_private_tree_and_say_so() {
    let bench = TestBench::new();
    bench.fixture("fix-failing-test");
    let script = "mkdir t; mount -t tmpfs t t; cd t; mkdir l u w m
                  mount -t overlay o -o userxattr,lowerdir=l,upperdir=u,workdir=w m
                  export CTO_HOME=$PWD/m/home; cd ..
                  \"$0\" run fix-failing-test --out out; \"$0\" sandbox --workspace fix-failing-test -- /bin/ls";
    let mut unshare = Command::new("unshare");
    unshare.args(["-Urm", "bash", "-euc", script, env!("CARGO_BIN_EXE_cto")]).current_dir(bench.path());
    Answer::of(&unshare.output().unwrap()).ends(0);
    let bundles = std::fs::read_dir(bench.path().join("out")).unwrap().map(|entry| entry.unwrap().path());
    let bundle = bundles.into_iter().find(|path| path.is_dir()).unwrap();
    let report = std::fs::read_to_string(bundle.join("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["sections"]["sandbox"]["workspace_form"], "private", "{report}");
}

#[test]
fn engines_are_listed_with_the_place_where_they_were_found() {
    let bench = TestBench::new();
    let list = |path: &std::path::Path, words: &[&str]| {
        Answer::of(&bench.command(words).env("PATH", path).output().unwrap()).ends(0)
    };
    let empty = bench.path().join("empty");
    let shown = list(&empty, &["engine", "list"]).out;
    let codex = shown.lines().find(|line| line.starts_with("codex")).unwrap();
    assert!(codex.contains("not found") && !codex.contains("from PATH"), "{codex}");
    let program = bench.write("bin/codex", "");
    let listed = list(program.parent().unwrap(), &["engine", "list", "--json"]).json();
    let codex = listed.iter().find(|row| row["engine"] == "codex").unwrap();
    assert_eq!(codex["program"], program.to_str().unwrap());
}

#[test]
fn an_ordinary_user_runs_the_whole_flow() {
    let Some(bench) = TestBench::of_an_ordinary_user() else { return };
    bench.fixture("fix-failing-test");
    bench.call_as_ordinary_user(&["run", "fix-failing-test"]).ends(0);
    bench.call_as_ordinary_user(&["verify", "latest"]).ends(0);
    // One that is cut off before its sandbox stands is sealed and verified like any other.
    let bases = bench.path().join("home/cache/bases");
    std::fs::remove_dir_all(&bases).unwrap();
    std::fs::write(&bases, "in the way").unwrap();
    bench.call_as_ordinary_user(&["run", "fix-failing-test"]).ends(3);
    bench.call_as_ordinary_user(&["verify", "latest"]).ends(0);
    std::fs::remove_file(&bases).unwrap();
    bench.call_as_ordinary_user(&["doctor", "--clean"]).ends(0);
}

#[test]
fn folders_closed_to_their_owner_are_in_an_ordinary_users_patch() {
    let Some(bench) = TestBench::of_an_ordinary_user() else { return };
    bench.write("w/old/file", "one\n");
    let own = Command::new("chown").args(["-R", "65534:65534"]).arg(bench.path().join("w")).status().unwrap();
    assert!(own.success());
    let script =
        "echo two > old/file; for m in 000 0100 0300 0400 0500; do mkdir $m; echo x > $m/f; chmod $m $m; done
                  chmod 0400 old";
    let words = ["sandbox", "--workspace", "w", "--patch", "p.diff", "--", "/bin/sh", "-c", script];
    bench.call_as_ordinary_user(&words).ends(0);
    let patch = std::fs::read_to_string(bench.path().join("p.diff")).unwrap();
    for path in ["old/file", "000/f", "0100/f", "0300/f", "0400/f", "0500/f"] {
        assert!(patch.contains(&format!("+++ b/{path}\n")), "{path} in {patch}");
    }
}
