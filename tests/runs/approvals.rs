//! Somebody has to say yes: asked, granted, spent, denied, granted to oneself.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::bench::{Said, TestBench};

/// A fixture whose contract wants an approval.
fn asking(bench: &TestBench) -> String {
    bench.file("f/repo/a.txt", "one\n");
    let text = super::bench::contract("repo")
        .replace("approval_required = false", "approval_required = true")
        .replace("mutation_mode = \"none\"", "mutation_mode = \"copied-fixture\"")
        .replace("allowed_paths = []", "allowed_paths = [\"**\"]");
    bench.file("f/contract.toml", &text);
    bench.work().join("f").display().to_string()
}

/// A key pair of the test's own: private and public file.
fn key(bench: &TestBench, name: &str) -> (PathBuf, PathBuf) {
    let (private, public) =
        (bench.work().join(format!("{name}.key")), bench.work().join(format!("{name}.pem")));
    let made = Command::new("openssl")
        .args(["genpkey", "-algorithm", "ed25519", "-out"])
        .arg(&private)
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(made.success());
    let mut write = Command::new("openssl");
    write.args(["pkey", "-pubout", "-in"]).arg(&private).arg("-out").arg(&public);
    assert!(write.status().unwrap().success());
    (private, public)
}

fn principal(bench: &TestBench, name: &str, account: Option<&str>) -> PathBuf {
    let (private, public) = key(bench, name);
    let public = public.display().to_string();
    let mut args = vec!["principal", "add", name, "--key", &public, "--role", "approve"];
    if let Some(account) = account {
        args.extend(["--account", account]);
    }
    bench.cto(&args).expect(0, &[]);
    private
}

fn run(bench: &TestBench, contract: &str) -> Said {
    bench.cto(&["run", contract, "--json"])
}

fn answer(bench: &TestBench, verb: &str, id: &str, name: &str, key: &Path) -> Said {
    bench.cto(&[verb, id, "--as", name, "--key", &key.display().to_string()])
}

fn pending(said: &Said) -> String {
    said.expect(3, &["gate.approval"]);
    said.result()["approval"].as_str().unwrap().to_owned()
}

#[test]
fn an_approval_is_asked_granted_and_spent_once() {
    let bench = TestBench::new();
    let contract = asking(&bench);
    let ada = principal(&bench, "ada", None);
    let id = pending(&run(&bench, &contract));
    answer(&bench, "approve", &id, "ada", &ada).expect(0, &[]);
    let said = run(&bench, &contract);
    said.expect(0, &[]);
    let bundle = said.result()["bundle"].as_str().unwrap().to_owned();
    assert_eq!(std::fs::read_dir(format!("{bundle}/approvals")).unwrap().count(), 1);
    let next = pending(&run(&bench, &contract));
    assert_ne!(next, id, "a spent approval does not count again");
}

#[test]
fn the_requester_cannot_approve_himself() {
    let bench = TestBench::new();
    let contract = asking(&bench);
    let decision = bench.cto(&["decide", &contract, "--json"]);
    let decision: serde_json::Value = serde_json::from_str(decision.out.lines().last().unwrap()).unwrap();
    let account = decision["facts"]["requester"]["account"].as_str().unwrap().to_owned();
    let me = principal(&bench, "me", Some(&account));
    let id = pending(&run(&bench, &contract));
    // The answer itself may be refused or recorded; either way it counts for nothing.
    let said = answer(&bench, "approve", &id, "me", &me);
    assert!(matches!(said.code, Some(0 | 2 | 3)), "{}", said.err);
    pending(&run(&bench, &contract));
}

#[test]
fn a_stranger_and_a_wrong_key_are_refused() {
    let bench = TestBench::new();
    let contract = asking(&bench);
    principal(&bench, "ada", None);
    let (stranger, _) = key(&bench, "stranger");
    let id = pending(&run(&bench, &contract));
    for name in ["nobody", "ada"] {
        let said = answer(&bench, "approve", &id, name, &stranger);
        assert_ne!(said.code, Some(0), "{name}: {}", said.out);
    }
    pending(&run(&bench, &contract));
}

#[test]
fn a_denial_keeps_the_run_blocked() {
    let bench = TestBench::new();
    let contract = asking(&bench);
    let ada = principal(&bench, "ada", None);
    let id = pending(&run(&bench, &contract));
    answer(&bench, "deny", &id, "ada", &ada).expect(0, &[]);
    run(&bench, &contract).expect(3, &["gate.approval"]);
}

#[test]
fn a_yes_and_a_no_of_one_person_are_a_no_and_both_are_evidence() {
    for answers in [["approve", "deny"], ["deny", "approve"]] {
        let bench = TestBench::new();
        let contract = asking(&bench);
        let ada = principal(&bench, "ada", None);
        let id = pending(&run(&bench, &contract));
        for verb in answers {
            answer(&bench, verb, &id, "ada", &ada).expect(0, &[]);
        }
        let said = run(&bench, &contract);
        said.expect(3, &["gate.approval"]);
        let bundle = bench.work().join(said.result()["bundle"].as_str().unwrap());
        assert!(bundle.join("root.dsse.json").is_file(), "{answers:?}");
        assert_eq!(std::fs::read_dir(bundle.join("approvals")).unwrap().count(), 2, "{answers:?}");
    }
}

#[test]
fn what_could_not_be_prepared_has_used_up_no_approval() {
    let bench = TestBench::new();
    let contract = asking(&bench);
    let ada = principal(&bench, "ada", None);
    let id = pending(&run(&bench, &contract));
    answer(&bench, "approve", &id, "ada", &ada).expect(0, &[]);
    let bases = bench.state().parent().unwrap().join("cache/bases");
    std::fs::write(&bases, "in the way").unwrap();
    run(&bench, &contract).expect(3, &["internal.workspace"]);
    std::fs::remove_file(&bases).unwrap();
    run(&bench, &contract).expect(0, &[]);
}

#[test]
fn an_answer_that_cannot_be_read_blocks_whatever_else_is_granted() {
    let bench = TestBench::new();
    let contract = asking(&bench);
    let ada = principal(&bench, "ada", None);
    let id = pending(&run(&bench, &contract));
    answer(&bench, "approve", &id, "ada", &ada).expect(0, &[]);
    let torn = bench.state().join(format!("approvals/denied/{id}.bob.json"));
    std::fs::write(&torn, "{").unwrap();
    run(&bench, &contract).expect(3, &["gate.approval", "bob.json"]);
    std::fs::remove_file(&torn).unwrap();
    run(&bench, &contract).expect(0, &[]);
}

#[test]
fn an_account_that_names_nobody_makes_every_approval_unclear() {
    let bench = TestBench::new();
    let contract = asking(&bench);
    let (_, public) = key(&bench, "bob");
    let public = public.display().to_string();
    let bob =
        ["principal", "add", "bob", "--key", &public, "--role", "approve", "--account", "surely-nobody"];
    bench.cto(&bob).expect(2, &["surely-nobody", "numeric uid"]);
    let ada = principal(&bench, "ada", Some("4000000001"));
    let id = pending(&run(&bench, &contract));
    answer(&bench, "approve", &id, "ada", &ada).expect(0, &[]);
    let file = bench.state().parent().unwrap().join("config/principals.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, good.replace("4000000001", "surely-nobody")).unwrap();
    run(&bench, &contract).expect(3, &["gate.approval", "surely-nobody"]);
    std::fs::write(&file, &good).unwrap();
    run(&bench, &contract).expect(0, &[]);
}

#[test]
fn a_waiting_run_goes_on_when_somebody_says_yes() {
    let bench = TestBench::new();
    let contract = asking(&bench);
    let ada = principal(&bench, "ada", None);
    let mut child = super::bench::until(bench.call(&["run", &contract, "--wait"]), "approval");
    let id = requests(&bench).remove(0);
    answer(&bench, "approve", &id, "ada", &ada).expect(0, &[]);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// The ids of all requests on record.
fn requests(bench: &TestBench) -> Vec<String> {
    let names = std::fs::read_dir(bench.state().join("approvals/pending")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| name.strip_suffix(".json").map(str::to_owned)).collect()
}

#[test]
fn a_waiting_run_asks_anew_when_what_was_approved_has_changed() {
    let bench = TestBench::new();
    let contract = asking(&bench);
    let ada = principal(&bench, "ada", None);
    let mut child = super::bench::until(bench.call(&["run", &contract, "--wait"]), "approval");
    let first = requests(&bench).remove(0);
    bench.file("f/repo/a.txt", "another base\n");
    answer(&bench, "approve", &first, "ada", &ada).expect(0, &[]);
    let second = loop {
        if let Some(other) = requests(&bench).into_iter().find(|id| *id != first) {
            break other;
        }
        assert!(child.try_wait().unwrap().is_none(), "the run ended early");
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    answer(&bench, "approve", &second, "ada", &ada).expect(0, &[]);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(requests(&bench).len(), 2);
    let spent = std::fs::read_dir(bench.state().join("approvals/spent")).unwrap();
    let spent: Vec<_> = spent.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(spent, [format!("{second}.json")]);
}
