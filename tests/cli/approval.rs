//! Asking, approving and using an approval, as people do it.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::bench::TestBench;

fn key(bench: &TestBench, name: &str) {
    let private = bench.path().join(format!("{name}.pem"));
    let public = bench.path().join(format!("{name}.pub.pem"));
    let openssl = |words: &[&str]| {
        let status = Command::new("openssl").args(words).current_dir(bench.path()).status().unwrap();
        assert!(status.success());
    };
    openssl(&["genpkey", "-algorithm", "ed25519", "-out", private.to_str().unwrap()]);
    openssl(&["pkey", "-in", private.to_str().unwrap(), "-pubout", "-out", public.to_str().unwrap()]);
    std::fs::set_permissions(private, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn bench_that_needs_approval() -> TestBench {
    let bench = TestBench::new();
    let contract = bench.fixture("fix-failing-test").join("contract.toml");
    let text = std::fs::read_to_string(&contract).unwrap();
    let line = text.lines().find(|line| line.starts_with("approval_required"));
    let text = match line {
        Some(line) => text.replace(line, "approval_required = true"),
        None => format!("approval_required = true\n{text}"),
    };
    std::fs::write(contract, text).unwrap();
    for name in ["ann", "bob"] {
        key(&bench, name);
        let public = format!("{name}.pub.pem");
        let role = if name == "ann" { "approve" } else { "submit" };
        bench.call(&["principal", "add", name, "--key", &public, "--role", role]).ends(0);
    }
    bench
}

fn ask(bench: &TestBench) -> String {
    let answer = bench.call(&["run", "fix-failing-test", "--json"]).ends(3);
    let result = answer.json().pop().unwrap();
    result["result"]["approval"].as_str().unwrap().to_owned()
}

#[test]
fn an_approval_is_asked_for_given_and_used_once() {
    let bench = bench_that_needs_approval();
    let id = ask(&bench);
    assert_eq!(ask(&bench), id, "asking again is the same request");
    let said = bench.call(&["approve", &id, "--as", "ann", "--key", "ann.pem"]).ends(0).out;
    assert!(said.contains("approved by ann"), "{said}");
    bench.call(&["run", "fix-failing-test"]).ends(0);
    let said = bench.call(&["verify", "latest"]).ends(3).out;
    let trust = bench.path().join("home/config/trust.toml").display().to_string();
    for part in ["INTACT, APPROVER NOT TRUSTED", &trust, "[[approver]]", "name = \"ann\""] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("SIGNER UNKNOWN"), "{said}");
    let key = std::fs::read_to_string(bench.path().join("ann.pub.pem")).unwrap();
    let known = std::fs::read_to_string(&trust).unwrap();
    std::fs::write(&trust, format!("{known}\n[[approver]]\nname = \"ann\"\nkey = \"\"\"\n{key}\"\"\"\n"))
        .unwrap();
    bench.call(&["verify", "latest"]).ends(0);
    assert_ne!(ask(&bench), id, "it is spent");
}

#[test]
fn answers_that_count_for_nothing_are_refused_at_once() {
    let bench = bench_that_needs_approval();
    let id = ask(&bench);
    for (name, file) in [("bob", "bob.pem"), ("ann", "bob.pem"), ("eve", "ann.pem"), ("ann", "ann.pub.pem")] {
        let answer = bench.call(&["approve", &id, "--as", name, "--key", file]).ends(2);
        assert!(answer.err.contains("remedy"), "{}", answer.err);
    }
    let open = bench.path().join("ann.pem");
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o644)).unwrap();
    bench.call(&["approve", &id, "--as", "ann", "--key", "ann.pem"]).ends(2);
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(ask(&bench), id, "nothing was recorded");
}

#[test]
fn a_denial_stands() {
    let bench = bench_that_needs_approval();
    let id = ask(&bench);
    bench.call(&["deny", &id, "--as", "ann", "--key", "ann.pem"]).ends(0);
    bench.call(&["run", "fix-failing-test"]).ends(3);
}

#[test]
fn principals_are_listed_and_removed_and_the_sealing_key_is_never_one() {
    let bench = bench_that_needs_approval();
    let listed = bench.call(&["principal", "list", "--json"]).ends(0).json();
    assert_eq!(listed.len(), 2);
    bench.call(&["principal", "remove", "bob"]).ends(0);
    bench.call(&["principal", "remove", "bob"]).ends(2);
    let sealing = bench.call(&["key", "show"]).ends(0).out;
    bench.write("sealing.pub.pem", &sealing);
    bench.call(&["principal", "add", "me", "--key", "sealing.pub.pem", "--role", "approve"]).ends(2);
}
