//! A made-up run with realistic parts, sealed by the real writer.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cto_harness::contract::{NoFiles, SealedContract, WireSource, parse};
use cto_harness::eligibility::{self, Facts};
use cto_harness::event::{Draft, EventKind, EventSink, Redact};
use cto_harness::evidence::{
    BundleWriter, CONTRACT, DECISION, PATCH, Report, SealStatement, SealedBundle, Sections, basis,
};
use cto_harness::home::{Trust, TrustedKey};
use cto_harness::inspection::conclude;
use cto_harness::verify::{CheckState, Expect, VerifyReport, verify};
use cto_harness::vocab::{Digest, GitId, PublicKey, RunId, SealingKey, Timestamp};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Redacts one word, from when it is learned; by default one that stands nowhere.
pub(crate) struct Word {
    pub(crate) word: String,
    pub(crate) learned: Arc<AtomicBool>,
}

impl Redact for Word {
    fn redact(&self, bytes: &[u8]) -> Option<(Vec<u8>, Vec<String>)> {
        let text = String::from_utf8_lossy(bytes);
        (self.learned() == 1 && text.contains(&self.word))
            .then(|| (text.replace(&self.word, "[withheld]").into_bytes(), vec!["test.word".to_owned()]))
    }

    fn learned(&self) -> usize {
        usize::from(self.learned.load(Ordering::Relaxed))
    }
}

/// What a made-up run is made of.
pub(crate) struct Plan {
    pub(crate) events: usize,
    /// Length of the text in each event.
    pub(crate) filler: usize,
    pub(crate) patch: Vec<u8>,
    pub(crate) raw: Vec<u8>,
    /// The word that is redacted, and whether it is known from the beginning or only when everything is written.
    pub(crate) secret: String,
    pub(crate) learned: Arc<AtomicBool>,
    /// What the engine says, where it says anything.
    pub(crate) said: Option<String>,
    /// Added to the report's sections before the verdict is concluded.
    pub(crate) sections: fn(&mut Sections),
    pub(crate) approvals: BTreeMap<String, Vec<u8>>,
    pub(crate) contract: SealedContract,
    /// Those of [`facts`] when not given.
    pub(crate) facts: Option<Facts>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            events: 40,
            filler: 40,
            patch: b"diff --git a/src/a b/src/a\n--- a/src/a\n+++ b/src/a\n@@ -1 +1 @@\n-a\n+b\n".to_vec(),
            raw: b"{\"said\":\"hello\"}\n{\"said\":\"done\"}\n".to_vec(),
            secret: "nowhere-to-be-found".to_owned(),
            learned: Arc::new(AtomicBool::new(true)),
            said: None,
            sections: |_| {},
            approvals: BTreeMap::new(),
            contract: contract(),
            facts: None,
        }
    }
}

/// A folder with bundles in it, and the key that seals them.
pub(crate) struct Bench {
    pub(crate) place: TempDir,
    pub(crate) key: Arc<SealingKey>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self { place: tempfile::tempdir().unwrap(), key: Arc::new(SealingKey::generate().unwrap()) }
    }

    pub(crate) fn trust(&self) -> Trust {
        trust_in(self.key.public())
    }

    pub(crate) fn sealed(&self, name: &str, plan: &Plan) -> SealedBundle {
        make(&self.place.path().join(name), &self.key, plan)
    }

    /// A copy of a bundle, to be tampered with.
    pub(crate) fn copy(&self, of: &Path, name: &str) -> PathBuf {
        let to = self.place.path().join(name);
        copy_tree(of, &to);
        to
    }

    pub(crate) fn verify(&self, path: &Path) -> VerifyReport {
        verify(path, &self.trust(), &Expect::default(), Timestamp::now()).unwrap()
    }
}

pub(crate) fn trust_in(key: PublicKey) -> Trust {
    Trust { sealing: vec![TrustedKey { name: "here".to_owned(), key }], approver: Vec::new() }
}

/// The details of every check that does not hold.
pub(crate) fn wrong(report: &VerifyReport) -> String {
    let bad = report.checks.iter().filter(|c| matches!(c.state, CheckState::Failed | CheckState::Untrusted));
    bad.map(|c| format!("{}: {}", c.name, c.detail)).collect::<Vec<_>>().join("\n")
}

pub(crate) fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Names of all files of a bundle, sorted.
pub(crate) fn files(path: &Path) -> Vec<String> {
    fn walk(root: &Path, at: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, found);
            } else {
                found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let mut found = Vec::new();
    walk(path, path, &mut found);
    found.sort();
    found
}

pub(crate) fn contract() -> SealedContract {
    contract_like(|_| {})
}

/// The same, and it asks for an approval.
pub(crate) fn contract_asking() -> SealedContract {
    contract_like(|contract| contract["approval_required"] = json!(true))
}

/// The same with changes.
pub(crate) fn contract_like(change: impl FnOnce(&mut Value)) -> SealedContract {
    let mut text = json!({
        "contract_version": "1", "task_id": "repair-parser", "title": "Repair the parser",
        "instructions": "Make the failing test pass.", "target_repository": "/srv/repo", "base_ref": "HEAD",
        "authority_basis": {"kind": "task-contract", "reference": "TC-1"},
        "risk_class": "RESTRICTED", "allowed_paths": ["src/**"], "forbidden_actions": ["git.push"],
        "mutation_mode": "copied-fixture", "approval_required": false,
        "verification_commands": [{"run": ["sh", "test.sh"], "timeout": 60, "expect": "pass"}],
        "evidence_expectations": [{"verification": "all"}], "engine": "fixture",
    });
    change(&mut text);
    let source = WireSource::from_bytes(None, text.to_string().into_bytes()).unwrap();
    parse(&source, Some(Path::new("/srv")), &NoFiles).unwrap()
}

pub(crate) fn facts(contract: &SealedContract) -> Facts {
    let digest = |text: &str| Digest::of(text.as_bytes());
    let absent = json!({"absent": "none"});
    let mut ceilings = contract.task().limits.clone();
    ceilings.wall_seconds *= 8;
    serde_json::from_value(json!({
        "named_engine": "fixture",
        "target": {"seen": {"identity": "/srv/repo", "commit": "1".repeat(40), "tree": "2".repeat(40),
            "is_fixture": true, "dirt": [], "unreadable_forms": []}},
        "registry": {"seen": {"ownership": "sandbox", "owner": "jp", "criticality": "noncritical"}},
        "authority": {"seen": {"digest": digest("authority")}},
        "engines": {"fixture": {"gated": false, "adapter": digest("adapter"),
            "program": {"seen": {"digest": digest("program"), "version": null}}, "model": null, "spend": "free",
            "enabled": false, "stage": "unproven", "conformance": absent, "admission": absent, "licence": absent}},
        "host": {"seen": {"namespaces": eligibility::NAMESPACES, "seccomp": true, "landlock_abi": 6,
            "overlay": true, "hard_memory": false, "hard_processes": true}},
        "provisions": {}, "policy": digest("policy"), "ceilings": ceilings,
        "spend_ceilings": contract.task().spend,
        "requester": {"account": "1000:dev", "principal": null, "owns_principals": true, "is_root": false},
        "approvals": [], "target_remedy": "", "approval_errors": [], "gathered_at": Timestamp::now(),
    }))
    .unwrap()
}

/// Of a sandbox that stood and was observed.
pub(crate) fn layers() -> Value {
    json!([
        {"layer": "seccomp", "requested": "allow list", "enforced": "allow list", "ok": true},
        {"layer": "observation", "requested": "all", "enforced": "traced", "ok": true},
    ])
}

pub(crate) fn sections(patch: &[u8]) -> Sections {
    let now = Timestamp::now();
    let lines = |sign: char| {
        let lines = String::from_utf8_lossy(patch);
        lines.lines().filter(|l| l.starts_with(sign) && !l.starts_with(&sign.to_string().repeat(3))).count()
    };
    let limits: Vec<Value> = contract()
        .task()
        .limits
        .named()
        .map(|(name, value)| json!({"name": name, "requested": value, "enforced": value, "held_by": "watchdog", "holding": "watched", "reached": null}))
        .into();
    serde_json::from_value(json!({
        "refused_gates": [], "stage_reached": "sealed", "times": {"started": now, "finished": now},
        "engine": {"id": "fixture", "program": Digest::of(b"program"), "adapter": Digest::of(b"adapter"),
            "version": null, "adapter_version": "fixture-player/1", "model": null, "thread_id": null, "exit": "exited:0", "outcome": "completed", "message": null},
        "sandbox": {"layers": layers(),
            "workspace_form": "overlay", "identity": "own-uid"},
        "limits": limits,
        "actions": [{"action": "git.push", "enforced_by": "no route", "observable": "at the listener only",
            "attempts": [], "left_out": 0, "result": "none seen"}],
        "patch": {"base_commit": "1".repeat(40), "base_tree": "2".repeat(40), "result_tree": "3".repeat(40),
            "files": [{"path": "src/a", "change": "modified", "from": null, "old_mode": null, "new_mode": null,
                "binary": false, "size": 2}],
            "ignored": 0, "digest": Digest::of(patch), "added_lines": lines('+'), "removed_lines": lines('-')},
        "verification": {"commands": [{"command": "sh test.sh", "expect": "pass", "on_base": null,
            "on_result": {"status": "exited:0", "micros": 1200}, "outcome": "passed"}], "sandbox_ok": true},
        "findings": [{"code": "patch.note", "path": "src/a b", "line": 1, "sentence": "A note.", "weight": "pass"}],
        "changes_to_checks": [], "expectations": [{"expectation": "verification = all", "met": true}],
        "claims": [], "unclaimed": [],
        "processes": {"complete": true, "executed": 0, "processes": 1, "left_out": 0, "refused_calls": {}, "sought": {}, "rows": []},
         "usage": {"claimed_input_tokens": 12, "claimed_output_tokens": 3, "input_tokens": 0, "cached_input_tokens": 0,
                   "output_tokens": 0, "last_call": null, "forwarded_calls": 0,
            "refused_calls": 0},
        "spend": "nothing",
        "cut_off": null,
    }))
    .unwrap()
}

/// Writes the first part of a run: everything up to the engine's end.
pub(crate) fn begin(
    path: &Path,
    key: &Arc<SealingKey>,
    plan: &Plan,
) -> (BundleWriter, SealedContract, Facts) {
    let redact = Arc::new(Word { word: plan.secret.clone(), learned: Arc::clone(&plan.learned) });
    let mut writer = BundleWriter::create(path, RunId::new(), redact, Arc::clone(key)).unwrap();
    let contract = plan.contract.clone();
    let facts = plan.facts.clone().unwrap_or_else(|| facts(&contract));
    writer.chain().append(Draft::observed(EventKind::RunStarted, json!({}))).unwrap();
    writer.write(CONTRACT, contract.document()).unwrap();
    let decision = eligibility::decide(&contract, &facts).stamped(Timestamp::now(), "cto test");
    assert!(decision.document().eligible(), "{:?}", decision.document().missing_gates);
    writer.write(DECISION, &serde_json::to_vec_pretty(decision.document()).unwrap()).unwrap();
    let (chain, raw) = {
        writer.open_raw("backend/stdout.jsonl").unwrap();
        writer.sinks()
    };
    let mut log = |kind, data| chain.append(Draft::observed(kind, data)).unwrap();
    log(EventKind::DecisionEmitted, json!({"decision_id": decision.document().decision_id}));
    log(EventKind::WorkspacePrepared, json!({"form": "overlay"}));
    log(EventKind::SandboxEstablished, json!({"layers": layers()}));
    log(EventKind::EngineStarted, json!({"engine": "fixture"}));
    if let Some(text) = &plan.said {
        chain.append(Draft::claimed(EventKind::Message, json!({"text": text, "key": {text: 1.5}}))).unwrap();
    }
    for index in 0..plan.events {
        let call =
            json!({"call": format!("c{}", index / 2), "tool": "shell", "text": "x".repeat(plan.filler)});
        let kind = if index % 2 == 0 { EventKind::ToolCalled } else { EventKind::ToolFinished };
        chain.append(Draft::claimed(kind, call)).unwrap();
    }
    raw.append("backend/stdout.jsonl", &plan.raw).unwrap();
    chain.append(Draft::observed(EventKind::EngineFinished, json!({"exit": "exited:0"}))).unwrap();
    (writer, contract, facts)
}

/// A whole run.
pub(crate) fn make(path: &Path, key: &Arc<SealingKey>, plan: &Plan) -> SealedBundle {
    let (mut writer, contract, facts) = begin(path, key, plan);
    writer.write(PATCH, &plan.patch).unwrap();
    writer.write("test.log", b"ok 1\n").unwrap();
    writer.write("inputs/instructions.txt", b"Make the failing test pass.").unwrap();
    for (name, bytes) in &plan.approvals {
        writer.write(name, bytes).unwrap();
    }
    let mut sections = sections(&plan.patch);
    (plan.sections)(&mut sections);
    plan.learned.store(true, Ordering::Relaxed);
    let withheld = writer.withheld(&mut sections).unwrap();
    for one in &withheld {
        let finding = json!({"code": "patch.secret", "path": one.name, "line": null,
            "sentence": "A secret was withheld.", "weight": "blocked"});
        sections.findings.push(serde_json::from_value(finding).unwrap());
        if one.name == PATCH {
            sections.patch.as_mut().unwrap().result_tree = None;
        }
    }
    let chain = writer.chain();
    let micros = json!({"command": "sh test.sh", "on_base": null, "on_result": {"status": "exited:0", "micros": 1200}, "outcome": "passed"});
    for (kind, data) in [
        (EventKind::VerificationStarted, json!({})),
        (EventKind::CheckFinished, micros),
        (EventKind::VerificationFinished, json!({})),
    ] {
        chain.append(Draft::observed(kind, data)).unwrap();
    }
    let conclusion = conclude(&sections);
    for (kind, data) in [
        (EventKind::VerdictReached, json!({"verdict": conclusion.verdict})),
        (EventKind::RunFinished, json!({})),
    ] {
        chain.append(Draft::observed(kind, data)).unwrap();
    }
    let decision = eligibility::decide(&contract, &facts);
    let decision = decision.document();
    let report = Report {
        report_version: "1".to_owned(),
        harness: "0.1.0".to_owned(),
        basis: basis(),
        run_id: writer.run_id().clone(),
        task_id: contract.task().task_id.clone(),
        contract_digest: contract.digest(),
        decision_id: decision.decision_id,
        risk_class: contract.task().risk_class,
        mutation_mode: contract.task().mutation_mode,
        verdict: conclusion.verdict,
        reasons: conclusion.reasons,
        sections,
        artifacts: BTreeMap::new(),
        withheld,
    };
    let statement = SealStatement {
        policy: decision.policy_digest,
        gate_set: decision.gate_set,
        base_commit: Some(GitId::new("1".repeat(40)).unwrap()),
        base_tree: Some(GitId::new("2".repeat(40)).unwrap()),
        programs: BTreeMap::from([("fixture".to_owned(), Digest::of(b"program"))]),
        harness: "0.1.0".to_owned(),
        sealed_at: Timestamp::now(),
    };
    writer.seal(report, statement).unwrap()
}
