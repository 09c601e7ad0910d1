//! Permission `commit`: a branch of the verified result in a registered repository, and nothing else, whoever tries.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use cto_harness::home::Home;

use super::bench::{Said, TestBench};
use super::reseal::reseal;

/// A registered repository `t`, and a contract that changes it and may commit.
pub(crate) struct Target {
    pub(crate) bench: TestBench,
    pub(crate) top: PathBuf,
}

impl Target {
    pub(crate) fn new(permissions: &str) -> Self {
        let bench = TestBench::new();
        let top = bench.repository("t");
        bench.file("script.toml", "[[step]]\ndo = \"write\"\npath = \"src/a.txt\"\ntext = \"two\\n\"\n");
        let text = super::bench::contract("t")
            .replace("\"SAFE\"", "\"RESTRICTED\"")
            .replace("\"none\"", "\"sandbox-repo\"")
            .replace("allowed_paths = []", "allowed_paths = [\"src/**\"]");
        let more = format!("script = \"script.toml\"\npermissions = [{permissions}]\n");
        bench.file("task.toml", &format!("{text}{more}"));
        let target = Self { bench, top };
        target.register(&[]);
        target
    }

    fn register(&self, more: &[&str]) {
        let words = [&["repo", "add", "t", "--ownership", "sandbox", "--owner", "ada"][..], more].concat();
        self.bench.cto(&words).expect(0, &[]);
    }

    pub(crate) fn run(&self) -> Said {
        self.bench.cto(&["run", "task.toml", "--json"])
    }

    pub(crate) fn git(&self, words: &[&str]) -> String {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=a", "-c", "user.email=a@b.invalid"]).args(words).current_dir(&self.top);
        let out = git.env("GIT_CONFIG_NOSYSTEM", "1").env("HOME", self.bench.work()).output().unwrap();
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    }

    pub(crate) fn branches(&self) -> String {
        self.git(&["for-each-ref", "--format=%(refname)", "refs/heads/cto"])
    }

    fn record(&self, run: &str) -> PathBuf {
        self.bench.state().join("runs").join(run).join("record.json")
    }

    /// Changes the record of a run, as a kill would have left it.
    pub(crate) fn rewrite(&self, run: &str, publication: Option<Value>) {
        let path = self.record(run);
        let mut record: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        match publication {
            Some(publication) => record["publication"] = publication,
            None => drop(record.as_object_mut().unwrap().remove("publication")),
        }
        std::fs::write(path, record.to_string()).unwrap();
    }

    fn audit(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.bench.state().join("audit.jsonl")).unwrap();
        let acts = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        acts.map(|entry| format!("{} {}", entry["act"].as_str().unwrap(), entry["object"].as_str().unwrap()))
            .collect()
    }

    /// A passing run whose branch was refused, because somebody protects it.
    fn refused() -> (Self, String, PathBuf) {
        let target = Self::new("\"commit\"");
        target.register(&["--protect", "cto/*"]);
        let said = target.run();
        said.expect(3, &["publish.protected"]);
        let (run, bundle) = names(&said);
        assert_eq!(said.result()["verdict"], "pass");
        assert_eq!(target.branches(), "");
        target.register(&["--protect", "main"]);
        (target, run, bundle)
    }

    pub(crate) fn publish(&self, run: &str) -> Said {
        self.bench.cto(&["publish", run, "--json"])
    }
}

pub(crate) fn names(said: &Said) -> (String, PathBuf) {
    let result = said.result();
    let text = |name: &str| result[name].as_str().unwrap().to_owned();
    (text("run_id"), PathBuf::from(text("bundle")))
}

#[test]
fn a_passing_run_publishes_its_branch_after_the_seal_and_leaves_everything_else() {
    let target = Target::new("\"commit\"");
    let (head, status) = (target.git(&["rev-parse", "main"]), target.git(&["status", "--porcelain"]));
    let said = target.run();
    said.expect(0, &[]);
    let (run, bundle) = names(&said);
    let branch = format!("cto/{run}");
    let publication = &said.result()["publication"];
    assert_eq!((&publication["state"], &publication["branch"]), (&json!("done"), &json!(branch)));
    assert_eq!(target.git(&["rev-parse", &branch]), publication["commit"].as_str().unwrap());
    assert_eq!(target.git(&["show", &format!("{branch}:src/a.txt")]), "two");
    assert_eq!(target.git(&["rev-parse", &format!("{branch}^")]), head);
    assert_eq!(target.git(&["rev-parse", "main"]), head);
    assert_eq!(target.git(&["status", "--porcelain"]), status);
    let report = std::fs::read_to_string(bundle.join("report.json")).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    let tree = &report["sections"]["patch"]["result_tree"];
    assert_eq!(&json!(target.git(&["rev-parse", &format!("{branch}^{{tree}}")])), tree);

    let audit = target.audit();
    let at = |what: &str| {
        audit.iter().position(|line| line.starts_with(what)).unwrap_or_else(|| panic!("{what}: {audit:?}"))
    };
    assert!(
        at("seal") < at("publish-branch cto/run-") && at("publish-branch") < at("record-publication done:")
    );
    target.bench.cto(&["runs"]).expect(0, &["pass, published"]);
    target.bench.cto(&["show", &run]).expect(0, &[&branch]);
    target.bench.cto(&["verify", &run, "--repo", "t"]).expect(0, &["VERIFIED"]);
    let packs = target.git(&["count-objects", "-v"]);
    target.publish(&run).expect(0, &["done"]);
    assert_eq!(target.git(&["count-objects", "-v"]), packs, "it is not made twice");
}

#[test]
fn without_the_permission_or_without_a_pass_nothing_is_published() {
    let target = Target::new("");
    let said = target.run();
    said.expect(0, &[]);
    assert!(said.result()["publication"].is_null() && target.branches().is_empty());
    target.publish(&names(&said).0).expect(2, &["no branch to publish"]);
    target.bench.cto(&["runs"]).expect(0, &["pass"]);

    let target = Target::new("\"commit\"");
    let text = std::fs::read_to_string(target.bench.work().join("task.toml")).unwrap();
    let failing = text
        .replace("verification_commands = []", "verification_commands = [{ run = \"false\", timeout = 10 }]");
    target.bench.file("task.toml", &failing);
    let said = target.run();
    said.expect(1, &[]);
    assert!(said.result()["publication"].is_null() && target.branches().is_empty());
    target.publish(&names(&said).0).expect(2, &["no branch to publish"]);
}

#[test]
fn a_run_that_changed_nothing_has_no_branch_and_that_is_no_problem() {
    let target = Target::new("\"commit\"");
    target.bench.file("script.toml", "");
    let said = target.run();
    said.expect(0, &[]);
    assert_eq!(said.result()["publication"]["state"], "nothing");
    assert_eq!(target.branches(), "");
    target.bench.cto(&["runs"]).expect(0, &["pass, nothing to publish"]);
    target.publish(&names(&said).0).expect(0, &["nothing"]);
}

#[test]
fn what_has_no_executor_blocks_and_names_itself() {
    for permission in ["push", "merge", "deploy", "close"] {
        let target = Target::new(&format!("\"commit\", \"{permission}\""));
        let said = target.run();
        said.expect(3, &["gate.contract.supported", &format!("permissions.{permission}")]);
        let (run, _) = names(&said);
        assert_eq!(target.branches(), "", "{permission}");
        target.publish(&run).expect(2, &["no branch to publish"]);
        let log = std::fs::read_to_string(names(&said).1.join("events.normalized.jsonl")).unwrap();
        assert!(!log.contains("engine.started"), "{permission}: nothing started");
    }
    Target::new("\"commit\"").run().expect(0, &[]);
}

#[test]
fn a_protected_branch_is_refused_and_can_be_published_when_it_is_no_longer() {
    let (target, run, _) = Target::refused();
    target.bench.cto(&["runs"]).expect(0, &["pass, not published"]);
    target.bench.cto(&["show", &run]).expect(0, &["publish.protected", "remedy"]);
    assert!(target.audit().iter().any(|line| line == "record-publication refused: publish.protected"));
    target.publish(&run).expect(0, &["done"]);
    assert_eq!(target.branches(), format!("refs/heads/cto/{run}"));
}

type Attack = fn(&Target, &Path);

/// By somebody who has the sealing key: the root is another than the one that this run sealed.
fn seal_otherwise(target: &Target, bundle: &Path) {
    std::fs::copy(bundle.join("root.dsse.json"), target.bench.work().join("root")).unwrap();
    let home = Home::at(target.bench.state().parent().unwrap()).unwrap();
    reseal(bundle, &home.sealing_key().unwrap(), |root| {
        root.predicate.sealed_at = root.predicate.sealed_at.plus_seconds(1).unwrap();
    });
    target.bench.cto(&["verify", "latest"]).expect(0, &["VERIFIED"]);
}

/// Everything that may have changed between the seal and the branch. Each is undone, and the branch then made.
#[test]
fn everything_is_looked_at_again_before_the_branch_is_made() {
    let attacks: [(&str, Attack, Attack); 6] = [
        (
            "publish.bundle",
            |_, bundle| append(&bundle.join("patch.diff"), "\n"),
            |_, bundle| {
                let path = bundle.join("patch.diff");
                let text = std::fs::read_to_string(&path).unwrap();
                std::fs::write(path, text.strip_suffix('\n').unwrap()).unwrap();
            },
        ),
        ("publish.bundle", seal_otherwise, |target, bundle| {
            std::fs::copy(target.bench.work().join("root"), bundle.join("root.dsse.json")).unwrap();
        }),
        (
            "publish.base-moved",
            |target, _| drop(target.git(&["commit", "-q", "--allow-empty", "-m", "later"])),
            |target, _| drop(target.git(&["update-ref", "refs/heads/main", "main~"])),
        ),
        (
            "publish.registration-changed",
            |target, _| target.register(&["--criticality", "critical"]),
            |target, _| {
                let path = target.bench.state().parent().unwrap().join("config/repos.toml");
                let text = std::fs::read_to_string(&path).unwrap();
                std::fs::write(path, text.replace("criticality = \"critical\"\n", "")).unwrap();
            },
        ),
        (
            "publish.elsewhere",
            |target, _| {
                std::fs::rename(target.top.join(".git"), target.bench.work().join("elsewhere")).unwrap();
                std::os::unix::fs::symlink(target.bench.work().join("elsewhere"), target.top.join(".git"))
                    .unwrap();
            },
            |target, _| {
                std::fs::remove_file(target.top.join(".git")).unwrap();
                std::fs::rename(target.bench.work().join("elsewhere"), target.top.join(".git")).unwrap();
            },
        ),
        (
            "publish.branch-exists",
            |target, bundle| {
                let run = bundle.file_name().unwrap().to_str().unwrap();
                target.git(&["branch", &format!("cto/{run}"), "main"]);
            },
            |target, bundle| {
                let run = bundle.file_name().unwrap().to_str().unwrap();
                target.git(&["branch", "-D", &format!("cto/{run}")]);
            },
        ),
    ];
    let (target, run, bundle) = Target::refused();
    for (code, attack, undo) in attacks {
        attack(&target, &bundle);
        let before = target.git(&["for-each-ref"]);
        target.publish(&run).expect(3, &[code]);
        assert_eq!(target.git(&["for-each-ref"]), before, "{code}");
        undo(&target, &bundle);
    }
    target.publish(&run).expect(0, &["done"]);
    assert_eq!(target.git(&["show", &format!("cto/{run}:src/a.txt")]), "two");
}

fn append(path: &Path, text: &str) {
    let had = std::fs::read_to_string(path).unwrap();
    std::fs::write(path, had + text).unwrap();
}

#[test]
fn hooks_filters_and_monitors_of_the_target_never_run() {
    let target = Target::new("\"commit\"");
    let mark = target.bench.work().join("ran");
    let touch = format!("#!/bin/sh\ntouch {}\n", mark.display());
    for hook in ["reference-transaction", "post-commit", "pre-commit", "post-update", "update"] {
        let path = target.top.join(".git/hooks").join(hook);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &touch).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    target.run().expect(0, &["done"]);
    assert!(!mark.exists());
    target.git(&["branch", "positive-control"]);
    assert!(mark.exists(), "git itself would have run one");
}

#[test]
fn an_approver_who_is_one_no_longer_keeps_the_branch_from_being_made() {
    let target = Target::new("\"commit\"");
    let text = std::fs::read_to_string(target.bench.work().join("task.toml")).unwrap();
    let asking = text.replace("approval_required = false", "approval_required = true");
    target.bench.file("task.toml", &asking);
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-f", "ann"]).current_dir(target.bench.work());
    assert!(keygen.status().unwrap().success());
    let add = ["principal", "add", "ann", "--key", "ann.pub", "--role", "approve"];
    target.bench.cto(&add).expect(0, &[]);
    target.register(&["--protect", "cto/*"]);
    let said = target.run();
    said.expect(3, &["gate.approval"]);
    let id = said.result()["approval"].as_str().unwrap().to_owned();
    target.bench.cto(&["approve", &id, "--as", "ann", "--key", "ann"]).expect(0, &[]);
    let said = target.run();
    said.expect(3, &["publish.protected"]);
    target.register(&["--protect", "main"]);
    let run = names(&said).0;
    target.bench.cto(&["principal", "remove", "ann"]).expect(0, &[]);
    target.publish(&run).expect(3, &["publish.bundle", "ann"]);
    assert_eq!(target.branches(), "");
    target.bench.cto(&add).expect(0, &[]);
    target.publish(&run).expect(0, &["done"]);
}
