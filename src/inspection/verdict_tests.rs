//! The verdict's table, condition by condition and in pairs.

use super::conclude;
use crate::contract::TaskContract;
use crate::evidence::{
    ActionResult, ActionRow, ChangeKind, ChangedFile, CheckChange, CommandOutcome, CommandResult, CommandRow,
    EngineOutcome, EngineSection, ExpectationRow, Finding, LayerRow, LimitReached, LimitRow, PatchSection,
    SandboxSection, Sections, Spend, Times, Usage, VerificationSection,
};
use crate::vocab::{Digest, GitId, LimitName, Reason, Timestamp, Verdict};

fn moment() -> Timestamp {
    Timestamp::from_unix_micros(1_750_000_000_000_000).unwrap()
}

pub(super) fn contract() -> TaskContract {
    serde_json::from_value(serde_json::json!({
        "contract_version": "1", "task_id": "t", "title": "t", "instructions": "t",
        "target_repository": "/repo", "base_ref": "HEAD",
        "authority_basis": {"kind": "task-contract", "reference": "T-1"},
        "risk_class": "RESTRICTED", "allowed_paths": ["src/**"], "forbidden_actions": [],
        "mutation_mode": "copied-fixture", "clean_start": true, "approval_required": false,
        "verification_commands": [], "verification_files": [], "may_change_checks": [], "toolchains": [],
        "inputs": [], "evidence_expectations": [], "engine": null,
        "limits": {"wall_seconds": 60, "idle_seconds": 60, "cpu_seconds": 60, "output_bytes": 1_000_000,
            "processes": 64, "open_files": 64, "file_bytes": 1_000_000, "changed_files": 10,
            "tmp_bytes": 1_000_000, "shm_bytes": 1_000_000, "tree_cpu_seconds": 600, "memory_bytes": 2_000_000_000,
            "disk_bytes": 1_000_000_000, "inodes": 100_000, "patch_bytes": 10_000_000, "grace_seconds": 1, "answer_seconds": 1},
        "spend": {"run_micro_usd": 1, "thread_micro_usd": 1},
        "unsupported": [], "network_allow": [], "permissions": [], "script": null, "requested_by": null
    }))
    .unwrap()
}

pub(super) fn patch() -> PatchSection {
    let id = GitId::new("0".repeat(40)).unwrap();
    PatchSection {
        base_commit: id.clone(),
        base_tree: id.clone(),
        result_tree: Some(id),
        files: vec![ChangedFile {
            path: "src/a".to_owned(),
            change: ChangeKind::Modified,
            from: None,
            old_mode: None,
            new_mode: None,
            binary: false,
            size: 1,
        }],
        ignored: 0,
        digest: Digest::of(b""),
        added_lines: 1,
        removed_lines: 0,
    }
}

pub(super) fn verification() -> VerificationSection {
    VerificationSection {
        commands: vec![CommandRow {
            command: "sh test.sh".to_owned(),
            expect: "pass".to_owned(),
            on_base: None,
            on_result: Some(CommandResult { status: "exited:0".to_owned(), micros: 1 }),
            outcome: CommandOutcome::Passed,
        }],
        sandbox_ok: true,
    }
}

fn layer(ok: bool) -> LayerRow {
    LayerRow { layer: "seccomp".to_owned(), requested: "a".to_owned(), enforced: "b".to_owned(), ok }
}

fn finding(code: &str, weight: Verdict) -> Finding {
    Finding { code: code.to_owned(), path: "x".to_owned(), line: None, sentence: "S.".to_owned(), weight }
}

fn good() -> Sections {
    Sections {
        processes: None,
        refused_gates: Vec::new(),
        stage_reached: "sealed".to_owned(),
        times: Times { started: moment(), finished: moment(), attempts: Vec::new() },
        engine: Some(EngineSection {
            id: "fixture".to_owned(),
            program: Digest::of(b""),
            version: None,
            adapter: Digest::of(b""),
            adapter_version: "fixture-player/1".to_owned(),
            model: None,
            thread_id: None,
            exit: Some("exited:0".to_owned()),
            outcome: EngineOutcome::Completed,
            message: None,
            prepared_by: None,
        }),
        sandbox: Some(SandboxSection {
            layers: vec![layer(true), LayerRow { layer: LayerRow::OBSERVATION.to_owned(), ..layer(true) }],
            workspace_form: "overlay".to_owned(),
            identity: "own-uid".to_owned(),
        }),
        limits: vec![LimitRow {
            name: LimitName::WallSeconds,
            holding: crate::evidence::Holding::Hard,
            requested: 60,
            enforced: Some(60),
            held_by: "watchdog".to_owned(),
            reached: None,
        }],
        actions: vec![ActionRow {
            action: "git.push".to_owned(),
            enforced_by: "no route".to_owned(),
            observable: "in the patch".to_owned(),
            attempts: Vec::new(),
            left_out: 0,
            result: ActionResult::NoneSeen,
        }],
        asked_first: Vec::new(),
        patch: Some(patch()),
        verification: Some(verification()),
        findings: vec![finding("patch.binary", Verdict::Pass)],
        changes_to_checks: vec![CheckChange {
            path: "t".to_owned(),
            pattern: "t".to_owned(),
            permitted: true,
        }],
        expectations: vec![ExpectationRow { expectation: "patch = non-empty".to_owned(), met: true }],
        claims: Vec::new(),
        unclaimed: Vec::new(),
        usage: Usage::default(),
        spend: Spend::default(),
        output: None,
        learning: None,
        proof: None,
        cut_off: None,
    }
}

type Condition = (&'static str, Verdict, fn(&mut Sections));

/// Every line of the table, as a change to a good run.
const CONDITIONS: &[Condition] = &[
    ("gate.target.base", Verdict::Blocked, |s| {
        s.refused_gates.push(Reason::observed("gate.target.base", "S.", "R."));
    }),
    ("action.git.push", Verdict::Blocked, |s| s.actions[0].attempts.push("POST".to_owned())),
    ("patch.outside-allowed-paths", Verdict::Blocked, |s| {
        s.findings.push(finding("patch.outside-allowed-paths", Verdict::Blocked));
    }),
    ("patch.secret", Verdict::Blocked, |s| s.findings.push(finding("patch.secret", Verdict::Blocked))),
    ("check.errored", Verdict::Blocked, |s| s.findings.push(finding("check.errored", Verdict::Blocked))),
    ("sandbox.layer-not-enforced", Verdict::Blocked, |s| {
        s.sandbox.as_mut().unwrap().layers.push(layer(false));
    }),
    ("evidence.observation-missing", Verdict::Blocked, |s| {
        s.sandbox.as_mut().unwrap().layers.retain(|row| row.layer != LayerRow::OBSERVATION);
    }),
    ("evidence.layers-missing", Verdict::Blocked, |s| s.sandbox.as_mut().unwrap().layers.clear()),
    ("verification.layer-not-enforced", Verdict::Blocked, |s| {
        s.verification.get_or_insert_with(verification).sandbox_ok = false;
    }),
    ("evidence.exit-missing", Verdict::Blocked, |s| {
        let engine = s.engine.as_mut().unwrap();
        engine.exit = None;
        engine.outcome = EngineOutcome::Completed;
    }),
    ("engine.lost", Verdict::Blocked, |s| {
        s.engine.as_mut().unwrap().exit = Some("lost:limits are not held".to_owned());
    }),
    ("verification.lost", Verdict::Blocked, |s| {
        let mut row = verification().commands.remove(0);
        row.outcome = CommandOutcome::Errored;
        row.on_result = Some(CommandResult { status: "lost:limits are not held".to_owned(), micros: 1 });
        s.verification.as_mut().unwrap().commands.push(row);
    }),
    ("internal:disk-full", Verdict::Blocked, |s| {
        s.cut_off = Some(Reason::observed("internal:disk-full", "S.", "R."));
    }),
    ("verification.failed", Verdict::Fail, |s| set_outcome(s, CommandOutcome::Failed)),
    ("verification.errored", Verdict::Fail, |s| set_outcome(s, CommandOutcome::Errored)),
    ("limit.wall-seconds", Verdict::Fail, |s| {
        s.limits[0].reached = Some(LimitReached { at: moment(), during: "engine".to_owned() });
    }),
    ("engine.crashed", Verdict::Fail, |s| set_engine(s, EngineOutcome::Crashed)),
    ("engine.gave-up", Verdict::Fail, |s| set_engine(s, EngineOutcome::Failed)),
    ("engine.interrupted", Verdict::Fail, |s| set_engine(s, EngineOutcome::Interrupted)),
    ("expectation.unmet", Verdict::Fail, |s| s.expectations[0].met = false),
    ("check.changed-without-permission", Verdict::Fail, |s| s.changes_to_checks[0].permitted = false),
    ("patch.verification-file", Verdict::Fail, |s| {
        s.findings.push(finding("patch.verification-file", Verdict::Fail));
    }),
    ("cancelled", Verdict::Fail, |s| s.cut_off = Some(Reason::observed("cancelled", "S.", "R."))),
];

/// Sections whose absence blocks a run that nothing else explains.
const ABSENCES: &[Condition] = &[
    ("evidence.engine-missing", Verdict::Blocked, |s| s.engine = None),
    ("evidence.sandbox-missing", Verdict::Blocked, |s| s.sandbox = None),
    ("evidence.patch-missing", Verdict::Blocked, |s| s.patch = None),
    ("evidence.verification-missing", Verdict::Blocked, |s| s.verification = None),
];

fn set_outcome(sections: &mut Sections, outcome: CommandOutcome) {
    let mut row = verification().commands.remove(0);
    row.outcome = outcome;
    sections.verification.as_mut().unwrap().commands.push(row);
}

/// Leaves the exit as it is, so that a pair with the missing exit stays a pair.
fn set_engine(sections: &mut Sections, outcome: EngineOutcome) {
    sections.engine.as_mut().unwrap().outcome = outcome;
}

fn has(sections: &Sections, code: &str) -> bool {
    conclude(sections).reasons.iter().any(|reason| reason.code == code)
}

#[test]
fn nothing_wrong_passes_without_a_reason() {
    let conclusion = conclude(&good());
    assert_eq!((conclusion.verdict, conclusion.reasons), (Verdict::Pass, Vec::new()));
}

#[test]
fn each_condition_alone_gives_its_verdict_and_code() {
    for (code, verdict, deviate) in CONDITIONS.iter().chain(ABSENCES) {
        let mut sections = good();
        deviate(&mut sections);
        let conclusion = conclude(&sections);
        assert_eq!(conclusion.verdict, *verdict, "{code}");
        let codes: Vec<_> = conclusion.reasons.iter().map(|reason| reason.code.as_str()).collect();
        assert_eq!(codes, [*code]);
        assert!(!conclusion.reasons[0].remedy.is_empty(), "{code} has a remedy");
    }
}

#[test]
fn of_every_two_conditions_the_worse_wins() {
    // These write the same field, so that the later one replaces the earlier one.
    let same_field = |a: &str, b: &str| {
        let engine = [
            "evidence.exit-missing",
            "engine.lost",
            "engine.crashed",
            "engine.gave-up",
            "engine.interrupted",
        ];
        let cut = ["internal:disk-full", "cancelled"];
        (engine.contains(&a) && engine.contains(&b)) || (cut.contains(&a) && cut.contains(&b))
    };
    for (i, (a, va, first)) in CONDITIONS.iter().enumerate() {
        for (b, vb, second) in CONDITIONS.iter().skip(i + 1).filter(|(b, ..)| !same_field(a, b)) {
            let mut sections = good();
            second(&mut sections);
            first(&mut sections);
            let conclusion = conclude(&sections);
            // Clearing the layers and adding a bad one are both bad, whichever came last.
            assert_eq!(conclusion.verdict, *va.max(vb), "{a} and {b}");
            let weights: Vec<_> = conclusion.reasons.iter().map(|reason| reason.code.as_str()).collect();
            assert!(weights.contains(a) || weights.contains(b), "{a} and {b}: {weights:?}");
        }
    }
}

#[test]
fn absence_never_makes_a_verdict_better() {
    for (code, _, absent) in ABSENCES {
        for (other, verdict, deviate) in CONDITIONS {
            let mut sections = good();
            deviate(&mut sections);
            let before = conclude(&sections).verdict;
            absent(&mut sections);
            // The absence of the section that told of a failure is itself evidence missing.
            let after = conclude(&sections).verdict;
            let explained = sections.cut_off.is_some() || !sections.refused_gates.is_empty();
            assert!(after >= before || explained, "{code} after {other}");
            assert!(after >= Verdict::Fail, "{code} after {other} ({verdict})");
        }
    }
}

#[test]
fn a_cancelled_run_without_sections_is_a_fail_and_says_only_that() {
    let sections = Sections {
        engine: None,
        sandbox: None,
        patch: None,
        verification: None,
        cut_off: Some(Reason::observed("cancelled", "S.", "R.")),
        ..good()
    };
    let conclusion = conclude(&sections);
    assert_eq!((conclusion.verdict, conclusion.reasons.len()), (Verdict::Fail, 1));
}

#[test]
fn completed_is_only_a_claim() {
    for (exit, crashed) in
        [("exited:0", false), ("signal:15", false), ("exited:3", true), ("signal:11", true)]
    {
        let mut sections = good();
        sections.engine.as_mut().unwrap().exit = Some(exit.to_owned());
        assert_eq!(has(&sections, "engine.crashed"), crashed, "{exit}");
    }
}

#[test]
fn a_thousand_paths_are_one_reason() {
    let mut sections = good();
    sections.findings = (0..1000)
        .map(|n| Finding {
            path: format!("f{n}"),
            ..finding("patch.outside-allowed-paths", Verdict::Blocked)
        })
        .collect();
    let reasons = conclude(&sections).reasons;
    assert_eq!(reasons.len(), 1);
    assert!(reasons[0].sentence.contains("f0, f1, f2, and 997 more"), "{}", reasons[0].sentence);
}

#[test]
fn the_worst_reason_stands_first() {
    let mut sections = good();
    sections.expectations[0].met = false;
    sections.findings.push(finding("patch.secret", Verdict::Blocked));
    let codes: Vec<_> = conclude(&sections).reasons.into_iter().map(|reason| reason.code).collect();
    assert_eq!(codes, ["patch.secret", "expectation.unmet"]);
}
