//! Approving with SSH keys, as people do it: files, an agent, a passphrase, a hardware key, and by hand.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::authenticator::{Authenticator, TOUCHED, VERIFIED};
use crate::bench::{Answer, TestBench};

const NAMESPACE: &str = "cto-harness@cto.invalid";

/// A fixture that waits for an approval.
fn bench() -> TestBench {
    let bench = TestBench::new();
    let contract = bench.fixture("fix-failing-test").join("contract.toml");
    let text = std::fs::read_to_string(&contract).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with("approval_required"));
    let lines: Vec<&str> = std::iter::once("approval_required = true").chain(lines).collect();
    std::fs::write(contract, lines.join("\n")).unwrap();
    bench
}

fn keygen(bench: &TestBench, name: &str, words: &[&str]) {
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-C", name, "-f", name]).args(words).current_dir(bench.path());
    assert!(keygen.stdin(Stdio::null()).status().unwrap().success());
}

fn principal(bench: &TestBench, name: &str, file: &str) {
    bench.call(&["principal", "add", name, "--key", file, "--role", "approve"]).ends(0);
}

fn ask(bench: &TestBench) -> String {
    let answer = bench.call(&["run", "fix-failing-test", "--json"]).ends(3);
    answer.json().pop().unwrap()["result"]["approval"].as_str().unwrap().to_owned()
}

/// Runs with the approval, trusts the approver's key and verifies; the bundle.
fn use_up(bench: &TestBench, name: &str, line: &str) -> PathBuf {
    let answer = bench.call(&["run", "fix-failing-test", "--json"]).ends(0);
    let bundle = PathBuf::from(answer.json().pop().unwrap()["result"]["bundle"].as_str().unwrap());
    bench.call(&["verify", "latest"]).ends(3);
    let trust = bench.path().join("home/config/trust.toml");
    let known = std::fs::read_to_string(&trust).unwrap();
    std::fs::write(&trust, format!("{known}\n[[approver]]\nname = \"{name}\"\nkey = \"{}\"\n", line.trim()))
        .unwrap();
    bench.call(&["verify", "latest"]).ends(0);
    bundle
}

/// The events of one type.
fn events(bundle: &std::path::Path, kind: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(bundle.join("events.normalized.jsonl")).unwrap();
    let all = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    all.filter(|event| event["type"] == kind).collect()
}

fn signed(bundle: &std::path::Path) -> Value {
    let mut files = std::fs::read_dir(bundle.join("approvals")).unwrap();
    let path = files.next().unwrap().unwrap().path();
    assert!(files.next().is_none());
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn read(bench: &TestBench, name: &str) -> String {
    std::fs::read_to_string(bench.path().join(name)).unwrap()
}

#[test]
fn a_software_key_approves_and_openssh_itself_checks_the_signature_in_the_bundle() {
    for (kind, words) in [
        ("ssh-ed25519", &["-t", "ed25519", "-N", ""][..]),
        ("ecdsa-sha2-nistp256", &["-t", "ecdsa", "-N", ""]),
    ] {
        let bench = bench();
        keygen(&bench, "ada", words);
        principal(&bench, "ada", "ada.pub");
        let id = ask(&bench);
        let message = bench.command(&["approve", &id, "--as", "ada", "--print-message"]).output().unwrap();
        assert!(message.status.success() && message.stderr.is_empty());
        bench.call(&["approve", &id, "--as", "ada", "--key", "ada"]).ends(0);
        let bundle = use_up(&bench, "ada", &read(&bench, "ada.pub"));
        let granted = events(&bundle, "approval.granted");
        assert_eq!(granted.len(), 1);
        assert_eq!(granted[0]["data"]["signed_with"]["kind"], kind);

        std::fs::write(bench.path().join("message"), &message.stdout).unwrap();
        bench.write("sig", signed(&bundle)["signature"].as_str().unwrap());
        bench.write("allowed", &format!("ada namespaces=\"{NAMESPACE}\" {}", read(&bench, "ada.pub")));
        let check = |file: &str| {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-Y", "verify", "-f", "allowed", "-I", "ada", "-n", NAMESPACE, "-s", "sig"]);
            keygen.stdin(std::fs::File::open(bench.path().join(file)).unwrap()).current_dir(bench.path());
            Answer::of(&keygen.output().unwrap()).code
        };
        assert_eq!(check("message"), 0);
        assert_ne!(check("sig"), 0, "and it is over that message alone");
    }
}

/// An agent of this test's own, ended with it.
struct Agent(Child);

impl Agent {
    fn start(bench: &TestBench) -> Self {
        let mut agent = Command::new("ssh-agent");
        agent.args(["-D", "-a", "agent.sock"]).current_dir(bench.path());
        let child = agent.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let socket = bench.path().join("agent.sock");
        while !socket.exists() {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        Self(child)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn a_key_in_an_agent_signs_by_its_public_half() {
    let bench = bench();
    keygen(&bench, "ada", &["-t", "ecdsa", "-N", ""]);
    principal(&bench, "ada", "ada.pub");
    let id = ask(&bench);
    let agent = Agent::start(&bench);
    let socket = bench.path().join("agent.sock");
    let mut add = Command::new("ssh-add");
    add.arg("ada").env("SSH_AUTH_SOCK", &socket).current_dir(bench.path());
    assert!(add.stdin(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
    std::fs::remove_file(bench.path().join("ada")).unwrap();
    let words = ["approve", id.as_str(), "--as", "ada", "--key", "ada.pub"];
    let said = Answer::of(&bench.command(&words).output().unwrap()).ends(2);
    assert!(
        said.err.contains("ssh-keygen") && said.err.contains("remedy"),
        "without the agent: {}",
        said.err
    );
    Answer::of(&bench.command(&words).env("SSH_AUTH_SOCK", &socket).output().unwrap()).ends(0);
    drop(agent);
    let bundle = use_up(&bench, "ada", &read(&bench, "ada.pub"));
    let kinds = &events(&bundle, "approval.granted")[0]["data"]["signed_with"]["kind"];
    assert_eq!(kinds, "ecdsa-sha2-nistp256");
}

#[test]
fn a_key_with_a_passphrase_signs_where_ssh_keygen_asks_for_it() {
    let bench = bench();
    keygen(&bench, "ada", &["-t", "ed25519", "-N", "correct horse"]);
    principal(&bench, "ada", "ada.pub");
    let id = ask(&bench);
    let said = bench.call(&["approve", &id, "--as", "ada", "--key", "ada"]).ends(2);
    assert!(said.err.contains("encrypted") && said.err.contains("FILE.pub"), "{}", said.err);
    let script = |name: &str, word: &str| {
        let path = bench.write(name, &format!("#!/bin/sh\necho '{word}'\n"));
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        path
    };
    let answer = |asks: PathBuf| {
        let mut call = bench.command(&["approve", &id, "--as", "ada", "--key", "ada.pub"]);
        Answer::of(&call.env("SSH_ASKPASS", asks).env("SSH_ASKPASS_REQUIRE", "force").output().unwrap())
    };
    answer(script("wrong", "battery staple")).ends(2);
    answer(script("right", "correct horse")).ends(0);
    use_up(&bench, "ada", &read(&bench, "ada.pub"));
}

#[test]
fn a_hardware_keys_signature_from_elsewhere_counts_with_a_touch() {
    for key in [Authenticator::ed25519(), Authenticator::p256()] {
        let bench = bench();
        bench.write("ada.pub", &key.line());
        principal(&bench, "ada", "ada.pub");
        let id = ask(&bench);
        let message =
            bench.command(&["approve", &id, "--as", "ada", "--print-message"]).output().unwrap().stdout;
        let deny = bench.command(&["deny", &id, "--as", "ada", "--print-message"]).output().unwrap().stdout;
        let give = |verb: &str, signature: &str| {
            bench.write("sig", signature);
            bench.call(&[verb, &id, "--as", "ada", "--signature", "sig"])
        };
        let said = give("approve", &key.sign(NAMESPACE, &message, VERIFIED, 3)).ends(2);
        assert!(said.err.contains("without anybody touching it"), "{}", said.err);
        let said = give("approve", &key.sign(NAMESPACE, &deny, TOUCHED, 3)).ends(2);
        assert!(said.err.contains("--print-message"), "a no is no yes: {}", said.err);
        let said = give("approve", &key.sign("git", &message, TOUCHED, 3)).ends(2);
        assert!(said.err.contains("namespace"), "{}", said.err);
        let said = give("approve", &Authenticator::ed25519().sign(NAMESPACE, &message, TOUCHED, 3)).ends(2);
        assert!(said.err.contains("not a key of `ada`"), "{}", said.err);
        give("approve", "nonsense").ends(2);
        // No token is plugged in here: it is asked for, and the call says what to do.
        let said = bench.call(&["approve", &id, "--as", "ada", "--key", "ada.pub"]).ends(2);
        assert!(said.err.contains("--signature"), "{}", said.err);
        assert_eq!(ask(&bench), id, "nothing was recorded");

        give("approve", &key.sign(NAMESPACE, &message, TOUCHED | VERIFIED, 77)).ends(0);
        let bundle = use_up(&bench, "ada", &key.line());
        let word = &events(&bundle, "approval.granted")[0]["data"]["signed_with"]["hardware"];
        assert_eq!(
            (&word["user_present"], &word["user_verified"], &word["counter"]),
            (&true.into(), &true.into(), &77.into())
        );
        let decision: Value =
            serde_json::from_slice(&std::fs::read(bundle.join("decision.json")).unwrap()).unwrap();
        assert_eq!(&decision["facts"]["approvals"][0]["signed_with"]["hardware"], word);
    }
}

#[test]
fn the_request_says_with_which_kinds_of_keys_it_can_be_answered_and_a_no_its_own() {
    let bench = bench();
    keygen(&bench, "ada", &["-t", "ed25519", "-N", ""]);
    principal(&bench, "ada", "ada.pub");
    let id = ask(&bench);
    bench.call(&["deny", &id, "--as", "ada", "--key", "ada"]).ends(0);
    let answer = bench.call(&["run", "fix-failing-test", "--json"]).ends(3);
    let bundle = PathBuf::from(answer.json().pop().unwrap()["result"]["bundle"].as_str().unwrap());
    assert_eq!(events(&bundle, "approval.denied")[0]["data"]["signed_with"]["kind"], "ssh-ed25519");
    let first = std::fs::read_dir(bundle.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
    let first = first.into_iter().find(|path| path.is_dir() && *path != bundle).unwrap();
    assert_eq!(
        events(&first, "approval.requested")[0]["data"]["key_kinds"],
        serde_json::json!(["ssh-ed25519"])
    );
}

#[test]
fn a_signature_of_openssl_made_elsewhere_counts_as_well() {
    let bench = bench();
    let openssl = |words: &[&str]| {
        assert!(Command::new("openssl").args(words).current_dir(bench.path()).status().unwrap().success());
    };
    openssl(&["genpkey", "-algorithm", "ed25519", "-out", "ada.pem"]);
    openssl(&["pkey", "-in", "ada.pem", "-pubout", "-out", "ada.pub.pem"]);
    principal(&bench, "ada", "ada.pub.pem");
    let id = ask(&bench);
    let message = bench.command(&["approve", &id, "--as", "ada", "--print-message"]).output().unwrap();
    std::fs::write(bench.path().join("message"), message.stdout).unwrap();
    openssl(&["pkeyutl", "-sign", "-rawin", "-inkey", "ada.pem", "-in", "message", "-out", "sig"]);
    bench.call(&["approve", &id, "--as", "ada", "--signature", "sig"]).ends(0);
    bench.call(&["run", "fix-failing-test"]).ends(0);
}

#[test]
fn a_person_with_two_keys_is_one_person_and_answers_once() {
    let bench = bench();
    keygen(&bench, "ada", &["-t", "ed25519", "-N", ""]);
    let token = Authenticator::p256();
    bench.write("token.pub", &token.line());
    let add = ["principal", "add", "ada", "--key", "ada.pub", "--key", "token.pub", "--role", "approve"];
    bench.call(&add).ends(0);
    let listed = bench.call(&["principal", "list"]).ends(0).out;
    assert!(
        listed.contains("ssh-ed25519") && listed.contains("sk-ecdsa-sha2-nistp256@openssh.com"),
        "{listed}"
    );
    let id = ask(&bench);
    let message = bench.command(&["approve", &id, "--as", "ada", "--print-message"]).output().unwrap().stdout;
    bench.write("sig", &token.sign(NAMESPACE, &message, TOUCHED, 1));
    bench.call(&["approve", &id, "--as", "ada", "--signature", "sig"]).ends(0);
    let said = bench.call(&["approve", &id, "--as", "ada", "--key", "ada"]).ends(2);
    assert!(said.err.contains("has answered"), "{}", said.err);
    bench.call(&["run", "fix-failing-test"]).ends(0);
}

#[test]
fn keys_that_are_not_accepted_are_refused_with_the_reason() {
    let bench = bench();
    keygen(&bench, "rsa", &["-t", "rsa", "-b", "2048", "-N", ""]);
    keygen(&bench, "big", &["-t", "ecdsa", "-b", "521", "-N", ""]);
    keygen(&bench, "ada", &["-t", "ed25519", "-N", ""]);
    let add =
        |name: &str, key: &str| bench.call(&["principal", "add", name, "--key", key, "--role", "approve"]);
    let said = add("rsa", "rsa.pub").ends(2);
    assert!(said.err.contains("RSA") && said.err.contains("ssh-keygen -t ed25519"), "{}", said.err);
    assert!(add("big", "big.pub").ends(2).err.contains("nistp521"));
    add("private", "ada").ends(2);
    add("ada", "ada.pub").ends(0);
    let said = add("other", "ada.pub").ends(2);
    assert!(said.err.contains("belongs to `ada`"), "{}", said.err);
    let id = ask(&bench);
    std::fs::set_permissions(bench.path().join("ada"), std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .unwrap();
    let said = bench.call(&["approve", &id, "--as", "ada", "--key", "ada"]).ends(2);
    assert!(said.err.contains("chmod 600"), "{}", said.err);
    bench.call(&["approve", &id, "--as", "ada", "--key", "rsa"]).ends(2);
    bench.call(&["approve", &id, "--as", "ada"]).ends(2);
    bench.call(&["approve", &id, "--as", "ada", "--key", "ada", "--print-message"]).ends(2);
    assert_eq!(ask(&bench), id, "nothing was recorded");
}
