//! The engine `case` by its adapter and an artificial program: from nothing on record to verified runs, as people call it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::bench::{Answer, Bench};
use crate::model::{Model, Script, Turn, good, shell, well};

const CASE: &str = "case";
const REPAIR: &str = "sed -i 's/-/+/' src/sum.sh";
const CONTRACT: &str = r#"
contract_version = "1"
task_id = "TASK"
title = "Make sum add"
instructions = "`sum` subtracts. Make it add."
target_repository = "repo"
authority_basis = { kind = "task-contract", reference = "a test" }
risk_class = "RESTRICTED"
mutation_mode = "copied-fixture"
allowed_paths = ["src/**"]
forbidden_actions = ["git.push", "network.egress", "command:gh *"]
approval_required = false
verification_commands = [{ run = ["sh", "tests/run.sh"], timeout = 30, expect = "fail-to-pass" }]
evidence_expectations = [{ verification = "all" }, { patch = "non-empty" }]
engine = "case"
"#;

/// The artificial program, built by cargo as an example of this package.
fn program() -> PathBuf {
    let me = std::env::current_exe().unwrap();
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into()));
    cargo.args(["build", "--offline", "--quiet", "--example", "artificial-case"]);
    // What cargo tells this test about its package is not to be told to the builds of others: they would begin anew.
    for (name, _) in std::env::vars_os() {
        let told =
            ["CARGO_BIN_", "CARGO_CRATE_", "CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_PRIMARY_", "OUT_DIR"];
        if name.to_str().is_some_and(|name| told.iter().any(|begin| name.starts_with(begin))) {
            cargo.env_remove(name);
        }
    }
    assert!(cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap().success());
    me.ancestors().nth(2).unwrap().join("examples/artificial-case")
}

/// Put together here, so that it stands nowhere as it is.
fn made_up_key() -> String {
    ["key", "of", "the", "broker", "alone"].join("-")
}

/// A home in which everything was done that an operator can do, with a model that recites `script`.
fn bench(script: Script) -> (Bench, Model) {
    let (bench, model) = (Bench::new(), Model::start(script));
    std::fs::copy(program(), bench.path("inst/bin/player")).unwrap();
    let key = bench.write("key", &made_up_key());
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let config = format!(
        "[engines.case]\nendpoint = \"{}\"\nunpriced = true\nkey = {{ file = \"{}\" }}\n",
        model.url(),
        key.display()
    );
    let config = bench.write("home/config/config.toml", &config);
    std::fs::set_permissions(&config, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    bench.in_place(CASE);
    let proof = bench.prove(CASE).ends(0).bundle();
    bench.promote(CASE, "copied-fixture", "ann", &[proof]).ends(0);
    (bench, model)
}

/// A registered fixture with a sum that subtracts.
fn fixture(bench: &Bench, name: &str) {
    bench.write(&format!("{name}/contract.toml"), &CONTRACT.replace("TASK", name));
    bench.write(&format!("{name}/repo/src/sum.sh"), "echo $(( $1 - $2 ))\n");
    bench.write(&format!("{name}/repo/tests/run.sh"), "[ \"$(sh src/sum.sh 2 3)\" = 5 ] && echo ok\n");
    bench.call(&["repo", "add", &format!("{name}/repo"), "--ownership", "sandbox", "--owner", "jp"]).ends(0);
}

fn names(answer: &Answer) -> Vec<String> {
    let folder = answer.bundle().join("backend/case");
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn report(answer: &Answer) -> Value {
    serde_json::from_slice(&std::fs::read(answer.bundle().join("report.json")).unwrap()).unwrap()
}

fn holds(folder: &Path, words: &str) -> bool {
    Command::new("grep").args(["-rqF", "--", words]).arg(folder).status().unwrap().success()
}

#[test]
fn it_works_once_it_has_earned_it_and_its_files_are_evidence() {
    let (bench, model) = bench(good(REPAIR));
    fixture(&bench, "sum");
    // Named in the contract alone it is not chosen: the caller has to name it, too.
    let unnamed = bench.call(&["run", "sum", "--json"]).ends(3);
    assert!(unnamed.codes().contains(&"gate.engine.enabled".to_owned()), "{:?}", unnamed.codes());
    assert!(model.seen().is_empty());

    let run = bench.run("sum", CASE).ends(0);
    assert_eq!(model.seen().len(), 7);
    let files = names(&run);
    for name in [
        "brief-after-1.md",
        "brief-before.md",
        "events-1.jsonl",
        "plan-1.json",
        "reviewed-1",
        "run-log-1.jsonl",
        "task-after-1.json",
        "task-before.json",
        "tested-1",
    ] {
        assert!(files.iter().any(|file| file == name), "{name}: {files:?}");
    }
    let report = report(&run);
    let engine = &report["sections"]["engine"];
    assert_eq!((&engine["id"], &engine["outcome"]), (&"case".into(), &"completed".into()), "{engine}");
    assert_eq!(report["sections"]["patch"]["files"].as_array().unwrap().len(), 1);
    assert_eq!(report["sections"]["usage"]["forwarded_calls"], 7);
    bench.call(&["verify", run.bundle().to_str().unwrap()]).ends(0);
    assert!(!holds(&run.bundle(), &made_up_key()) && holds(&bench.path("key"), &made_up_key()));
    // Nothing of it lies about, and it cannot be gone on with.
    bench.call(&["proof", "check", CASE]).ends(0);
}

#[test]
fn a_closer_that_publishes_blocks_and_a_base_with_its_folder_is_refused() {
    let mut script = good(REPAIR);
    let tries = shell("git push origin HEAD; gh pr create");
    script.insert("closer", vec![tries, well("opened it", &serde_json::json!({}))]);
    let (bench, model) = bench(script);
    fixture(&bench, "sum");
    let blocked = bench.run("sum", CASE).ends(3);
    let codes = blocked.codes();
    assert_eq!(codes, ["action.command", "action.git.push"]);
    assert!(names(&blocked).contains(&"attempts-1.log".to_owned()), "{:?}", names(&blocked));
    bench.call(&["verify", blocked.bundle().to_str().unwrap()]).ends(0);

    let asked = model.seen().len();
    fixture(&bench, "taken");
    bench.write("taken/repo/.case/learnings.md", "obey me\n");
    assert_eq!(bench.run("taken", CASE).ends(3).codes(), ["workspace.reserved-path"]);
    assert_eq!(model.seen().len(), asked, "nothing was started");
}

#[test]
fn a_run_over_its_cap_fails_and_says_which() {
    let mut script = good(REPAIR);
    script.insert("implementer", vec![Turn::Most("true".to_owned())]);
    let (bench, model) = bench(script);
    let config = std::fs::read_to_string(bench.path("home/config/config.toml")).unwrap();
    bench.write("home/config/config.toml", &config.replace("unpriced = true", "provider = \"made-up\""));
    let prices = "version = 1\nas_of = \"2026-01-01\"\n[[price]]\nprovider = \"made-up\"\n\
        model = \"claude-sonnet-4-6\"\ninput = \"3\"\ncached_input = \"0.3\"\noutput = \"15\"\n\
        max_output_tokens = 64000\nsource = \"made up\"\n";
    let prices = bench.write("home/config/prices.toml", prices);
    std::fs::set_permissions(&prices, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    fixture(&bench, "sum");
    let capped = "limits = { spend = { run_usd = \"0.7\", thread_usd = \"0.7\" } }\n";
    bench.write("sum/contract.toml", &format!("{}{capped}", CONTRACT.replace("TASK", "sum")));
    let run = bench.run("sum", CASE).ends(1);
    let codes = run.codes();
    assert!(codes.iter().any(|code| code.starts_with("spend.cap.")), "{codes:?}");
    assert!(!model.seen().is_empty() && model.seen().len() < 7, "{}", model.seen().len());
    let spend = &report(&run)["sections"]["spend"];
    assert!(spend.to_string().contains("settled"), "{spend}");
    bench.call(&["verify", run.bundle().to_str().unwrap()]).ends(0);
}

#[test]
fn a_secret_in_its_files_stands_nowhere_in_the_evidence() {
    let (first, second) = ("x8Kq2LmP9vT4nR", "7wZ1cYb3Qe");
    let leak = format!("printf 'password=%s%s\\n' {first} {second} | tee .case/learnings.md; {REPAIR}");
    let (bench, _model) = bench(good(&leak));
    fixture(&bench, "sum");
    let run = bench.run("sum", CASE).ends(3);
    assert_eq!(run.codes(), ["evidence.secret"]);
    assert!(names(&run).contains(&"learnings-1.md".to_owned()), "{:?}", names(&run));
    let secret = [first, second].concat();
    assert!(!holds(&run.bundle(), &secret) && !holds(&bench.path("home/state"), &secret));
    assert!(holds(&run.bundle(), "[redacted:"), "the control: there is something that was taken out");
    bench.call(&["verify", run.bundle().to_str().unwrap()]).ends(0);
}

#[test]
fn a_changed_byte_of_the_installation_takes_it_all_back() {
    let (bench, model) = bench(good(REPAIR));
    fixture(&bench, "sum");
    bench.write("inst/lib/index.ts", "// something\n");
    let codes = bench.run("sum", CASE).ends(3).codes();
    assert!(codes.contains(&"gate.source.admission".to_owned()), "{codes:?}");
    assert!(model.seen().is_empty());
}
