//! Each gate where the table of spoiled facts is too coarse: modes, risks, owners, engines, approvers.

use super::samples::*;
use crate::contract::{Authority, AuthorityKind, EngineChoice, Permission};
use crate::eligibility::*;
use crate::vocab::{ActionId, Digest, MutationMode as Mode, RiskClass as Risk, Stage};

/// The state in which `gate` refuses, or `None` when it passed.
fn refusal(decision: &Decision, gate: GateId) -> Option<RefusalState> {
    let document = decision.document();
    assert!(document.required_gates.contains(&gate), "{gate} is not required here");
    document.missing_gates.iter().find(|row| row.gate == gate).map(|row| row.state)
}

fn reason(decision: &Decision, gate: GateId) -> String {
    decision.document().missing_gates.iter().find(|row| row.gate == gate).unwrap().reason.clone()
}

#[test]
fn a_risk_class_bounds_the_mode() {
    for &risk in Risk::ALL {
        for &mode in Mode::ALL {
            let c = contract(false, Some(mode), risk);
            let refused = refusal(&decided(&c, &facts(false, &c)), GateId::ContractMutationMode);
            assert_eq!(refused, (mode > risk.widest_mode()).then_some(RefusalState::Failed), "{risk} {mode}");
        }
    }
}

#[test]
fn local_planning_reaches_up_to_sandbox_repo() {
    for &mode in Mode::ALL {
        let mut c = contract(false, Some(mode), Risk::Critical);
        c.authority_basis = Authority { kind: AuthorityKind::LocalPlanning, reference: "PLAN.md".to_owned() };
        let refused = refusal(&decided(&c, &facts(false, &c)), GateId::ContractAuthority);
        assert_eq!(refused, (mode > Mode::SandboxRepo).then_some(RefusalState::Failed), "{mode}");
    }
    let mut c = contract(false, Some(Mode::None), Risk::Safe);
    c.authority_basis = Authority { kind: AuthorityKind::CoreRoute, reference: String::new() };
    assert_eq!(decided(&c, &facts(false, &c)).document().escalation_path, Escalation::CoreRoute);
}

#[test]
fn only_mode_none_may_name_no_path() {
    for &mode in Mode::ALL {
        let mut c = contract(false, Some(mode), Risk::Critical);
        c.allowed_paths = Some(Vec::new());
        let refused = refusal(&decided(&c, &facts(false, &c)), GateId::ContractAllowedPaths);
        assert_eq!(refused.is_none(), mode == Mode::None, "{mode}");
    }
}

#[test]
fn learning_is_for_fixtures() {
    for &mode in Mode::ALL {
        let c = contract(false, Some(mode), Risk::Critical);
        let mut f = facts(false, &c);
        f.learning = true;
        let decision = decided(&c, &f);
        let refused = refusal(&decision, GateId::ContractSupported);
        assert_eq!(refused, (mode != Mode::CopiedFixture).then_some(RefusalState::Missing), "{mode}");
        if refused.is_some() {
            assert!(reason(&decision, GateId::ContractSupported).contains("learning"), "{mode}");
        }
    }
}

#[test]
fn committing_needs_a_mode_that_reaches_a_repository_and_is_not_forbidden() {
    for &mode in Mode::ALL {
        let mut c = contract(false, Some(mode), Risk::Critical);
        c.permissions.insert(Permission::Commit);
        let refused = refusal(&decided(&c, &facts(false, &c)), GateId::ContractPermissions);
        assert_eq!(refused, (mode < Mode::SandboxRepo).then_some(RefusalState::Failed), "{mode}");
        c.forbidden_actions = Some(vec![ActionId::parse("git.commit").unwrap()]);
        assert!(refusal(&decided(&c, &facts(false, &c)), GateId::ContractPermissions).is_some());
    }
}

#[test]
fn ownership_and_criticality_must_allow_the_mode() {
    use Criticality::{Critical, Noncritical};
    use Ownership::{Owned, Sandbox};
    use RefusalState::{Failed, Missing};
    let cases = [
        (Mode::SandboxRepo, Sandbox, Some("jp"), None, None),
        (Mode::SandboxRepo, Sandbox, None, None, Some(Missing)),
        (Mode::SandboxRepo, Sandbox, Some(" "), Some(Noncritical), Some(Missing)),
        (Mode::SandboxRepo, Owned, Some("jp"), Some(Noncritical), Some(Failed)),
        (Mode::OwnedNoncriticalRepo, Sandbox, Some("jp"), Some(Noncritical), Some(Failed)),
        (Mode::OwnedNoncriticalRepo, Owned, Some("jp"), Some(Noncritical), None),
        (Mode::OwnedNoncriticalRepo, Owned, Some("jp"), Some(Critical), Some(Failed)),
        (Mode::OwnedNoncriticalRepo, Owned, Some("jp"), None, Some(Missing)),
        (Mode::OwnedNoncriticalRepo, Owned, Some(" "), Some(Noncritical), Some(Missing)),
        (Mode::OwnedNoncriticalRepo, Owned, None, Some(Noncritical), Some(Missing)),
        (Mode::CandidateDefault, Owned, Some("jp"), Some(Critical), None),
        (Mode::CandidateDefault, Owned, Some("jp"), None, Some(Missing)),
        (Mode::CandidateDefault, Sandbox, Some("jp"), Some(Noncritical), Some(Failed)),
    ];
    for (mode, ownership, owner, criticality, expected) in cases {
        let c = contract(false, Some(mode), Risk::Elevated);
        let mut f = facts(false, &c);
        let owner = owner.map(str::to_owned);
        f.registry = Observed::Seen(RegistryFacts { ownership, owner: owner.clone(), criticality });
        let decision = decided(&c, &f);
        assert_eq!(refusal(&decision, GateId::TargetOwnership), expected, "{mode} {ownership:?} {owner:?}");
    }
}

#[test]
fn a_fixture_is_for_modes_that_touch_nothing_and_needs_no_cleanliness() {
    let c = contract(false, Some(Mode::CopiedFixture), Risk::Safe);
    let mut f = facts(false, &c);
    let Observed::Seen(target) = &mut f.target else { panic!("sample") };
    target.dirt = None;
    assert!(decided(&c, &f).document().eligible());
    let Observed::Seen(target) = &mut f.target else { panic!("sample") };
    (target.is_fixture, target.dirt) = (false, Some(Vec::new()));
    assert_eq!(refusal(&decided(&c, &f), GateId::TargetBase), Some(RefusalState::Failed));
}

#[test]
fn skipping_the_clean_check_is_for_the_two_narrow_modes() {
    for &mode in Mode::ALL {
        let mut c = contract(false, Some(mode), Risk::Critical);
        c.clean_start = false;
        let decision = decided(&c, &facts(false, &c));
        if mode >= Mode::SandboxRepo {
            assert_eq!(refusal(&decision, GateId::TargetCleanStart), Some(RefusalState::Failed));
        } else {
            assert!(!decision.document().required_gates.contains(&GateId::TargetCleanStart));
        }
    }
}

#[test]
fn elevated_and_above_demand_more_of_the_host() {
    for &risk in Risk::ALL {
        let c = contract(false, Some(Mode::None), risk);
        let holds = |change: fn(&mut HostFacts)| {
            let mut f = facts(false, &c);
            let Observed::Seen(host) = &mut f.host else { panic!("sample") };
            change(host);
            let decision = decided(&c, &f);
            (refusal(&decision, GateId::HostSandbox).is_none(), decision.document().escalation_path)
        };
        let low = risk < Risk::Elevated;
        assert_eq!(holds(|h| h.landlock_abi = 2).0, low, "{risk}");
        assert_eq!(holds(|h| h.hard_memory = false).0, low, "{risk}");
        assert_eq!(holds(|h| h.hard_processes = false).0, low, "{risk}");
        let expected = if low { Escalation::None } else { Escalation::Blocked };
        assert_eq!(holds(|h| (h.hard_memory, h.hard_processes) = (false, false)).1, expected);
        assert!(!holds(|h| h.landlock_abi = 0).0 && !holds(|h| h.seccomp = false).0);
        for ns in NAMESPACES {
            let mut f = facts(false, &c);
            let Observed::Seen(host) = &mut f.host else { panic!("sample") };
            host.namespaces.remove(*ns);
            assert!(reason(&decided(&c, &f), GateId::HostSandbox).contains(ns));
        }
    }
}

#[test]
fn an_engine_that_cannot_spend_needs_no_cap() {
    let c = contract(false, Some(Mode::None), Risk::Safe);
    let mut f = facts(false, &c);
    assert_eq!(refusal(&decided(&c, &f), GateId::SpendCap), None);
    f.engines.get_mut(&id(BUILT_IN)).unwrap().spend = SpendFacts::Free;
    assert!(!decided(&c, &f).document().required_gates.contains(&GateId::SpendCap));
}

#[test]
fn case_as_it_ships_is_really_evaluated_and_blocked() {
    let c = contract(true, Some(Mode::None), Risk::Safe);
    let mut f = facts(true, &c);
    let gone = || "no record".to_owned();
    let case = f.engines.get_mut(&id(GATED)).unwrap();
    (case.enabled, case.stage) = (false, Stage::Unproven);
    case.conformance = Observed::Absent(gone());
    case.admission = Observed::Absent(gone());
    case.licence = Observed::Absent(gone());
    f.registry = Observed::Absent(gone());
    let decision = decided(&c, &f);
    let refused: Vec<_> = decision.document().missing_gates.iter().map(|row| row.gate).collect();
    assert_eq!(
        refused,
        [
            GateId::TargetOwnership,
            GateId::EngineProgram,
            GateId::EngineEnabled,
            GateId::EngineEvidenceInterface,
            GateId::EngineAdapterContract,
            GateId::EngineStage,
            GateId::SourceAdmission,
            GateId::SourceLicense,
        ]
    );
    assert_eq!(decision.document().escalation_path, Escalation::Jp);
    assert_eq!(decision.document().denied_backends[0].reasons.len(), refused.len());
    assert!(decision.document().missing_gates.iter().all(|row| !row.remedy.is_empty()));
}

#[test]
fn a_gated_engine_runs_only_the_admitted_program_at_its_stage_within_its_licence() {
    let c = contract(true, Some(Mode::SandboxRepo), Risk::Restricted);
    let spoiled = |change: fn(&mut EngineFacts)| {
        let mut f = facts(true, &c);
        change(f.engines.get_mut(&id(GATED)).unwrap());
        decided(&c, &f)
    };
    assert!(spoiled(|e| e.stage = Stage::SandboxRepo).document().eligible());
    assert!(refusal(&spoiled(|e| e.stage = Stage::CopiedFixture), GateId::EngineStage).is_some());
    let other = spoiled(|e| {
        e.program = Observed::Seen(ProgramFacts { digest: Digest::of(b"other"), version: None });
    });
    assert_eq!(refusal(&other, GateId::EngineProgram), Some(RefusalState::Failed));
    assert_eq!(refusal(&other, GateId::EngineEvidenceInterface), Some(RefusalState::Missing));
    let licence =
        |widest_mode, expires_at| LicenceFacts { record: Digest::of(b"r"), widest_mode, expires_at };
    let mut f = facts(true, &c);
    for (note, good) in [
        (licence(Mode::SandboxRepo, None), true),
        (licence(Mode::CopiedFixture, None), false),
        (licence(Mode::SandboxRepo, Some(at(1))), true),
        (licence(Mode::SandboxRepo, Some(at(0))), false),
    ] {
        f.engines.get_mut(&id(GATED)).unwrap().licence = Observed::Seen(note);
        assert_eq!(refusal(&decided(&c, &f), GateId::SourceLicense).is_none(), good);
    }
}

#[test]
fn a_gated_engine_must_be_named_by_contract_and_caller() {
    let named = contract(true, Some(Mode::None), Risk::Safe);
    let mut unnamed = named.clone();
    unnamed.engine = None;
    let f = facts(true, &named);
    let mut silent = f.clone();
    silent.named_engine = None;
    assert!(decided(&named, &f).document().eligible());
    assert_eq!(refusal(&decided(&unnamed, &f), GateId::EngineEnabled), Some(RefusalState::Missing));
    assert_eq!(refusal(&decided(&named, &silent), GateId::EngineEnabled), Some(RefusalState::Missing));
    assert_eq!(decided(&unnamed, &silent).document().candidate, id("codex"));
}

#[test]
fn the_engine_is_the_callers_the_contracts_or_codex_and_never_another() {
    let mut c = contract(false, Some(Mode::None), Risk::Safe);
    let mut f = facts(false, &c);
    f.engines.insert(id("fixture"), EngineFacts { spend: SpendFacts::Free, model: None, ..engine(false) });
    f.named_engine = Some(id("fixture"));
    let both = decided(&c, &f);
    let why = reason(&both, GateId::EngineRegistered);
    assert!(why.contains("codex") && why.contains("fixture"), "{why}");
    c.engine = None;
    assert_eq!(decided(&c, &f).document().selected_backend, Some(id("fixture")));
    f.named_engine = None;
    let default = decided(&c, &f);
    assert_eq!(default.document().selected_backend, Some(id("codex")));
    assert_eq!(default.document().denied_backends[0].backend, id("fixture"));
    f.engines.get_mut(&id("codex")).unwrap().spend = SpendFacts::NoEndpoint;
    let none = decided(&c, &f);
    assert_eq!(none.document().selected_backend, None, "no fallback to an engine that nobody named");
    assert_eq!(none.document().denied_backends.len(), 2);
    c.engine = Some(EngineChoice { id: id("fixture"), model: None });
    assert_eq!(decided(&c, &f).document().selected_backend, Some(id("fixture")));
}

#[test]
fn approvals_are_needed_from_the_mode_the_risk_or_the_contract() {
    for (gated, mode, risk) in allowed() {
        let mut c = contract(gated, Some(mode), risk);
        let needed = risk >= Risk::Dangerous || mode >= Mode::OwnedNoncriticalRepo;
        assert_eq!(decided(&c, &facts(gated, &c)).document().approval_required, needed);
        c.approval_required = true;
        let mut f = facts(gated, &c);
        assert!(decided(&c, &f).document().eligible());
        f.approvals.clear();
        let waiting = decided(&c, &f);
        assert!(waiting.document().waits_only_for_approval());
        f.host = Observed::Error("broken".to_owned());
        assert!(!decided(&c, &f).document().waits_only_for_approval());
    }
}

#[test]
fn critical_needs_two_people_with_two_keys() {
    let c = contract(false, Some(Mode::None), Risk::Critical);
    let good = facts(false, &c);
    let judged = |change: fn(&mut Facts)| {
        let mut f = good.clone();
        change(&mut f);
        refusal(&decided(&c, &f), GateId::Approval)
    };
    assert_eq!(judged(|_| ()), None);
    assert_eq!(judged(|f| f.approvals.truncate(1)), Some(RefusalState::Missing));
    assert_eq!(judged(|f| f.approvals[1].by = f.approvals[0].by.clone()), Some(RefusalState::Missing));
    assert_eq!(judged(|f| f.approvals[1].key = f.approvals[0].key), Some(RefusalState::Missing));
    assert_eq!(
        judged(|f| f.requester.principal = Some(f.approvals[0].by.clone())),
        Some(RefusalState::Missing)
    );
    assert_eq!(judged(|f| f.approvals[1].answer = ApprovalAnswer::Deny), Some(RefusalState::Failed));
}

#[test]
fn dangerous_needs_a_file_of_principals_that_is_somebody_elses() {
    for &risk in &[Risk::Elevated, Risk::Dangerous, Risk::Critical] {
        let c = contract(false, Some(Mode::OwnedNoncriticalRepo), risk);
        let mut f = facts(false, &c);
        f.requester.owns_principals = true;
        let refused = refusal(&decided(&c, &f), GateId::Approval);
        assert_eq!(refused.is_some(), risk >= Risk::Dangerous, "{risk}");
        (f.requester.owns_principals, f.requester.is_root) = (false, true);
        let decision = decided(&c, &f);
        let proof =
            &decision.document().passed_gates.iter().find(|g| g.gate == GateId::Approval).unwrap().proof;
        assert_eq!(proof.contains("runs as root"), risk >= Risk::Dangerous, "{proof}");
    }
}
