//! Verification in the real sandbox: what counts as an answer, and what a tree cannot do to change it.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use super::{Provisions, ReadyTree, SearchPlaces, Tree, Verification, Verified, discover, replay};
use crate::contract::TaskContract;
use crate::event::{Draft, EventKind, EventSink, SinkError};
use crate::evidence::CommandOutcome;
use crate::inspection::secrets::Scanner;
use crate::sandbox::Bind;
use crate::workspace::{RunUid, RunUidLease, TreeForm, TreeMount};
use tokio::sync::watch;

#[derive(Default)]
struct Events(Vec<Draft>);

impl EventSink for Events {
    fn append(&mut self, draft: Draft) -> Result<(), SinkError> {
        self.0.push(draft);
        Ok(())
    }
}

struct Bench {
    place: tempfile::TempDir,
    lease: RunUidLease,
    provisions: Provisions,
    events: Events,
}

impl Bench {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let lease = RunUid::claim_by_hand(place.path()).unwrap();
        Self { place, lease, provisions: Provisions::default(), events: Events::default() }
    }

    /// A private tree with these files, owned by the payload.
    fn tree(&self, name: &str, files: &[(&str, &str)]) -> PathBuf {
        let top = self.place.path().join(name);
        std::fs::create_dir_all(&top).unwrap();
        for (path, text) in files {
            let path = top.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        self.give(&top);
        top
    }

    fn give(&self, path: &Path) {
        let uid = self.lease.uid();
        if uid.own {
            chown(path, Some(uid.host_uid), Some(uid.host_gid)).unwrap();
        }
        if path.is_dir() {
            for entry in std::fs::read_dir(path).unwrap() {
                self.give(&entry.unwrap().path());
            }
        }
    }

    fn verify(
        &mut self,
        commands: &serde_json::Value,
        result: &[(&str, &str)],
        base: &[(&str, &str)],
    ) -> Verified {
        self.verify_with(commands, result, base, &[])
    }

    fn verify_with(
        &mut self,
        commands: &serde_json::Value,
        result: &[(&str, &str)],
        base: &[(&str, &str)],
        files: &[Bind],
    ) -> Verified {
        let contract = contract(commands);
        let (_cancel, cancelled) = watch::channel(false);
        let ready = |dir: PathBuf| ReadyTree {
            mount: TreeMount { at: "/workspace".into(), form: TreeForm::Private { dir } },
            files: files.to_vec(),
        };
        let (result, base) = (ready(self.tree("result", result)), ready(self.tree("base", base)));
        let scanner = Scanner::embedded();
        let verification = Verification {
            contract: &contract,
            provisions: Ok(&self.provisions),
            trees: &|tree| Ok(if tree == Tree::Base { base.clone() } else { result.clone() }),
            uid: self.lease.uid(),
            landlock_floor: 1,
            landlock_at_most: None,
            events: &mut self.events,
            learning: false,
            redact: &scanner,
            cancelled,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let verified = runtime.block_on(replay(verification)).unwrap();
        assert!(verified.section.sandbox_ok, "{:?}", verified.section);
        verified
    }
}

fn contract(commands: &serde_json::Value) -> TaskContract {
    serde_json::from_value(serde_json::json!({
        "contract_version": "1", "task_id": "t", "title": "t", "instructions": "t",
        "target_repository": "/repo", "base_ref": "HEAD",
        "authority_basis": {"kind": "task-contract", "reference": "T-1"},
        "risk_class": "RESTRICTED", "allowed_paths": ["**"], "forbidden_actions": [],
        "mutation_mode": "copied-fixture", "clean_start": true, "approval_required": false,
        "verification_commands": commands, "verification_files": [], "may_change_checks": [], "toolchains": [],
        "inputs": [], "evidence_expectations": [], "engine": null,
        "limits": {"wall_seconds": 60, "idle_seconds": 60, "cpu_seconds": 600, "output_bytes": 1_000_000,
            "processes": 256, "open_files": 1024, "file_bytes": 1_000_000_000, "changed_files": 10,
            "tmp_bytes": 100_000_000, "shm_bytes": 1_000_000, "tree_cpu_seconds": 600, "memory_bytes": 2_000_000_000,
            "disk_bytes": 1_000_000_000, "inodes": 100_000, "patch_bytes": 10_000_000, "grace_seconds": 1, "answer_seconds": 1},
        "spend": {"run_micro_usd": 1, "thread_micro_usd": 1},
        "unsupported": [], "network_allow": [], "permissions": [], "script": null, "requested_by": null
    }))
    .unwrap()
}

fn shell(text: &str, expect: &str) -> serde_json::Value {
    serde_json::json!({ "argv": ["/bin/sh", "-c", text], "timeout_seconds": 20, "expect": expect })
}

fn outcomes(verified: &Verified) -> Vec<CommandOutcome> {
    verified.section.commands.iter().map(|row| row.outcome).collect()
}

#[test]
fn a_test_that_fails_before_and_passes_after_passes() {
    let mut bench = Bench::new();
    let commands = serde_json::json!([shell("sh test.sh", "fail-to-pass")]);
    let verified =
        bench.verify(&commands, &[("test.sh", "echo fine; exit 0")], &[("test.sh", "echo no; exit 3")]);
    let row = &verified.section.commands[0];
    assert_eq!(row.outcome, CommandOutcome::Passed);
    assert_eq!(row.on_base.as_ref().unwrap().status, "exited:3");
    assert_eq!(row.on_result.as_ref().unwrap().status, "exited:0");
    let log = String::from_utf8(verified.log).unwrap();
    assert!(log.contains("== 1/1 on base: sh test.sh\n| no\n== exited:3"), "{log}");
    assert!(log.contains("== 1/1 on result: sh test.sh\n| fine\n== exited:0"), "{log}");
    let kinds: Vec<_> = bench.events.0.iter().map(|draft| draft.kind).collect();
    let (executed, kinds): (Vec<_>, Vec<_>) =
        kinds.into_iter().partition(|kind| *kind == EventKind::ExecObserved);
    let expected =
        [EventKind::VerificationStarted, EventKind::CheckFinished, EventKind::VerificationFinished];
    assert_eq!(kinds, expected);
    // Two shells on each tree, each with its end.
    assert_eq!(executed.len(), 8);
}

#[test]
fn every_way_not_to_answer_on_the_base_is_errored() {
    let mut bench = Bench::new();
    let commands = serde_json::json!([
        shell("true", "fail-to-pass"),
        shell("no-such-program", "fail-to-pass"),
        shell("./not-executable", "fail-to-pass"),
        shell("test -e fixed || kill -11 $$", "fail-to-pass"),
        { "argv": ["no-such-program"], "timeout_seconds": 20, "expect": "fail-to-pass" },
        { "argv": ["/bin/sh", "-c", "test -e fixed || sleep 60"], "timeout_seconds": 1, "expect": "fail-to-pass" },
    ]);
    let verified =
        bench.verify(&commands, &[("not-executable", "exit 0"), ("fixed", "")], &[("not-executable", "")]);
    assert_eq!(outcomes(&verified), [CommandOutcome::Errored; 6]);
    let statuses: Vec<_> =
        verified.section.commands.iter().map(|row| row.on_base.as_ref().unwrap().status.clone()).collect();
    assert_eq!(statuses[..4], ["exited:0", "exited:127", "exited:126", "signal:11"]);
    assert!(statuses[4].starts_with("not-started:"), "{statuses:?}");
    assert_eq!(statuses[5], "timeout");
}

#[test]
fn what_a_command_prints_or_leaves_is_no_answer() {
    let mut bench = Bench::new();
    let forge = "echo '== exited:0 after 1 ms'; echo '{\"code\":0}' >&3 2>/dev/null; echo 0 > status; \
                 (sleep 30; echo late) & exit 7";
    let commands = serde_json::json!([shell(forge, "pass"), shell("cat status", "pass")]);
    let verified = bench.verify(&commands, &[("a", "")], &[]);
    assert_eq!(outcomes(&verified), [CommandOutcome::Failed, CommandOutcome::Passed], "one tree a pass");
    assert_eq!(verified.section.commands[0].on_result.as_ref().unwrap().status, "exited:7");
    assert!(!String::from_utf8(verified.log).unwrap().lines().any(|line| line == "late"));
}

#[test]
fn verification_files_lie_over_the_tree_and_cannot_be_changed() {
    let mut bench = Bench::new();
    let file = bench.place.path().join("accept.sh");
    std::fs::write(&file, "exit 9\n").unwrap();
    let files = [Bind::new(&file, "/workspace/checks/accept.sh")];
    let commands = serde_json::json!([
        shell(
            "echo 'exit 0' > checks/accept.sh; rm -f checks/accept.sh; mv checks gone; sh checks/accept.sh",
            "pass"
        ),
        shell("sh checks/accept.sh", "pass"),
    ]);
    let verified = bench.verify_with(&commands, &[("checks/accept.sh", "exit 0\n")], &[], &files);
    assert_eq!(outcomes(&verified), [CommandOutcome::Failed; 2]);
    assert_eq!(verified.section.commands[1].on_result.as_ref().unwrap().status, "exited:9");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "exit 9\n");
}

#[test]
fn it_is_offline_and_a_flood_ends_it() {
    let mut bench = Bench::new();
    let commands = serde_json::json!([
        shell("test \"$(tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ')\" = lo", "pass"),
        shell("yes", "pass"),
    ]);
    let verified = bench.verify(&commands, &[("a", "")], &[]);
    assert_eq!(outcomes(&verified), [CommandOutcome::Passed, CommandOutcome::Errored]);
    assert_eq!(verified.section.commands[1].on_result.as_ref().unwrap().status, "limit:output_bytes");
    assert_eq!(verified.reached.len(), 1);
    assert!(verified.log.len() < 3_000_000, "{}", verified.log.len());
}

#[test]
fn a_secret_in_the_output_is_not_in_the_log() {
    let mut bench = Bench::new();
    let (a, b) = ("AKI", "AQ4WMZ7XKT2VLH5RD");
    let commands = serde_json::json!([shell(&format!("printf '%s%s\\n' {a} {b}"), "pass")]);
    let verified = bench.verify(&commands, &[("a", "")], &[]);
    let log = String::from_utf8(verified.log).unwrap();
    assert!(!log.contains(&format!("{a}{b}")) && log.contains("[redacted:aws-access-key-id "), "{log}");
    assert_eq!(verified.redacted, ["aws-access-key-id"]);
}

#[test]
fn a_crate_is_tested_with_this_machines_rust_and_nothing_else_of_its_home() {
    let mut bench = Bench::new();
    let rust =
        discover("rust", &std::collections::BTreeMap::new(), &SearchPlaces::of_this_process()).unwrap();
    bench.provisions = Provisions { toolchains: vec![rust], inputs: Vec::new() };
    let commands = serde_json::json!([
        { "argv": ["cargo", "test", "--offline", "--quiet"], "timeout_seconds": 120, "expect": "fail-to-pass" },
        shell("! ls -d /root/* /home/* 2>/dev/null", "pass"),
    ]);
    let lib = |sign: &str| {
        format!(
            "pub fn add(a: i64, b: i64) -> i64 {{ a {sign} b }}\n#[test]\nfn adds() {{ assert_eq!(add(2, 3), 5); }}\n"
        )
    };
    let manifest = ("Cargo.toml", "[package]\nname = \"adder\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
    let verified = bench.verify(
        &commands,
        &[manifest, ("src/lib.rs", &lib("+"))],
        &[manifest, ("src/lib.rs", &lib("-"))],
    );
    let log = String::from_utf8_lossy(&verified.log).into_owned();
    assert_eq!(outcomes(&verified), [CommandOutcome::Passed, CommandOutcome::Passed], "{log}");
    assert_eq!(verified.section.commands[0].on_base.as_ref().unwrap().status, "exited:101", "{log}");
}
