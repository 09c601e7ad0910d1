//! The request digest covers what is bound and nothing that is volatile; the decision id covers everything.

use super::samples::*;
use crate::contract::{EngineChoice, TaskContract};
use crate::eligibility::*;
use crate::vocab::{Digest, GitId, MutationMode as Mode, PrincipalName, RiskClass as Risk};

fn sample() -> (TaskContract, Facts) {
    let c = contract(false, Some(Mode::SandboxRepo), Risk::Restricted);
    let f = facts(false, &c);
    (c, f)
}

fn digest(c: &TaskContract, f: &Facts) -> Digest {
    decided(c, f).document().request_digest
}

#[test]
fn a_changed_volatile_fact_leaves_the_request_digest_and_changes_the_id() {
    let (c, f) = sample();
    let changes: Vec<fn(&mut Facts)> = vec![
        |f| f.gathered_at = at(60),
        |f| f.approvals.clear(),
        |f| f.requester.account = "1001:other".to_owned(),
        |f| f.requester.principal = PrincipalName::parse("carl").ok(),
        |f| f.requester.owns_principals = true,
        |f| f.host = Observed::Error("busy".to_owned()),
        |f| f.registry = Observed::Absent("gone".to_owned()),
        |f| {
            let Observed::Seen(target) = &mut f.target else { panic!("sample") };
            target.dirt = Some(vec!["a".to_owned()]);
        },
        |f| f.named_engine = None,
        |f| f.engines.get_mut(&id(BUILT_IN)).unwrap().spend = SpendFacts::Unbounded,
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let mut other = f.clone();
        change(&mut other);
        assert_eq!(digest(&c, &f), digest(&c, &other), "change {n}");
        assert_ne!(
            decided(&c, &f).document().decision_id,
            decided(&c, &other).document().decision_id,
            "change {n}"
        );
    }
}

#[test]
fn a_changed_bound_fact_changes_the_request_digest() {
    fn target(f: &mut Facts, change: fn(&mut TargetFacts)) {
        let Observed::Seen(target) = &mut f.target else { panic!("sample") };
        change(target);
    }
    fn engine(f: &mut Facts, change: fn(&mut EngineFacts)) {
        change(f.engines.get_mut(&id(BUILT_IN)).unwrap());
    }
    let (c, f) = sample();
    let changes: Vec<fn(&mut TaskContract, &mut Facts)> = vec![
        |c, _| c.mutation_mode = Some(Mode::None),
        |c, _| c.risk_class = Risk::Elevated,
        |_, f| f.learning = true,
        |c, _| c.limits.wall_seconds = 11,
        |c, _| c.limits.grace_seconds = 11,
        |c, _| c.limits.answer_seconds = 11,
        |c, _| c.engine = Some(EngineChoice { id: id(BUILT_IN), model: Some("m-2".to_owned()) }),
        |_, f| f.policy = Digest::of(b"other"),
        |_, f| target(f, |t| t.identity = "/srv/other".to_owned()),
        |_, f| target(f, |t| t.commit = GitId::new("3".repeat(40)).unwrap()),
        |_, f| target(f, |t| t.tree = GitId::new("3".repeat(40)).unwrap()),
        |_, f| f.target = Observed::Absent("gone".to_owned()),
        |_, f| f.authority = Observed::Seen(AuthorityFacts { digest: Digest::of(b"other") }),
        |_, f| {
            f.provisions.insert("toolchain:rust".to_owned(), Observed::Seen(Digest::of(b"other")));
        },
        |_, f| engine(f, |e| e.adapter = Digest::of(b"other")),
        |_, f| engine(f, |e| e.model = None),
        |_, f| {
            engine(f, |e| {
                e.program = Observed::Seen(ProgramFacts { digest: Digest::of(b"other"), version: None });
            });
        },
        |_, f| f.named_engine = Some(id("fixture")),
        |_, f| f.engines.clear(),
    ];
    let mut seen = vec![digest(&c, &f)];
    for (n, change) in changes.into_iter().enumerate() {
        let (mut c2, mut f2) = (c.clone(), f.clone());
        change(&mut c2, &mut f2);
        let other = digest(&c2, &f2);
        assert!(!seen.contains(&other), "change {n}");
        seen.push(other);
    }
    let elsewhere = decide::decide_task(&c, Digest::of(b"another contract"), &f);
    assert!(!seen.contains(&elsewhere.document().request_digest));
}

#[test]
fn the_document_reads_back_agrees_with_its_derivation_and_every_change_shows() {
    let (c, f) = sample();
    let decision = decided(&c, &f).stamped(at(5), "somebody");
    let text = serde_json::to_string_pretty(decision.document()).unwrap();
    let read: DecisionDocument = serde_json::from_str(&text).unwrap();
    assert_eq!(&read, decision.document());
    let derived = decided(&c, &read.facts);
    assert!(read.agrees_with(derived.document()), "when and by whom it was made do not matter");
    assert_eq!(read.derive_id().unwrap(), read.decision_id);

    let mut forged = read.clone();
    forged.allowed_mutation_mode = Some(Mode::CandidateDefault);
    assert!(!forged.agrees_with(derived.document()) && forged.derive_id().unwrap() != read.decision_id);
    let mut forged = read.clone();
    forged.passed_gates[0].proof.push('!');
    assert!(!forged.agrees_with(derived.document()) && forged.derive_id().unwrap() != read.decision_id);

    let blocked = DecisionDocument { selected_backend: None, ..read };
    let text = serde_json::to_string(&blocked).unwrap();
    assert!(text.contains("\"selected_backend\":\"none\""));
    assert_eq!(serde_json::from_str::<DecisionDocument>(&text).unwrap(), blocked);
}

#[test]
fn the_document_fits_its_schema() {
    let schema = serde_json::to_value(schemars::schema_for!(DecisionDocument)).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for (gated, mode, risk) in allowed() {
        let c = contract(gated, Some(mode), risk);
        let mut f = facts(gated, &c);
        let yes = serde_json::to_value(decided(&c, &f).document()).unwrap();
        assert!(validator.is_valid(&yes));
        f.host = Observed::Error("broken".to_owned());
        let no = serde_json::to_value(decided(&c, &f).document()).unwrap();
        assert!(validator.is_valid(&no));
    }
    assert!(!validator.is_valid(&serde_json::json!({"decision_id": "x"})));
}
