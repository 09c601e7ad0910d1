//! A contract and facts for which everything passes, and a table of ways to spoil them.

use std::collections::{BTreeMap, BTreeSet};

use crate::contract::{Authority, AuthorityKind, EngineChoice, Permission, TaskContract};
use crate::eligibility::*;
use crate::vocab::{
    ActionId, ApprovalId, Digest, EngineId, GitId, Limits, MutationMode, PrincipalName, RiskClass, Stage,
    TaskId, Timestamp,
};

pub(super) const GATED: &str = "case";
pub(super) const BUILT_IN: &str = "codex";

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_micros(1_800_000_000_000_000).unwrap().plus_seconds(seconds).unwrap()
}

pub(super) fn id(text: &str) -> EngineId {
    EngineId::parse(text).unwrap()
}

pub(super) fn limits(each: u64) -> Limits {
    Limits {
        wall_seconds: each,
        idle_seconds: each,
        cpu_seconds: each,
        output_bytes: each,
        processes: each,
        open_files: each,
        file_bytes: each,
        changed_files: each,
        tmp_bytes: each,
        shm_bytes: each,
        tree_cpu_seconds: each,
        memory_bytes: each,
        disk_bytes: each,
        inodes: each,
        patch_bytes: each,
        grace_seconds: each,
        answer_seconds: each,
    }
}

pub(super) fn contract(gated: bool, mode: Option<MutationMode>, risk: RiskClass) -> TaskContract {
    TaskContract {
        contract_version: "1".to_owned(),
        task_id: TaskId::parse("t-1").unwrap(),
        title: "A task".to_owned(),
        instructions: "Do it.".to_owned(),
        target_repository: "/srv/repo".to_owned(),
        base_ref: "HEAD".to_owned(),
        authority_basis: Authority { kind: AuthorityKind::TaskContract, reference: "TC-1".to_owned() },
        risk_class: risk,
        allowed_paths: Some(vec!["src/**".to_owned()]),
        forbidden_actions: Some(vec![ActionId::parse("git.push").unwrap()]),
        ask_first: Vec::new(),
        mutation_mode: mode,
        clean_start: true,
        approval_required: false,
        verification_commands: Vec::new(),
        verification_files: Vec::new(),
        may_change_checks: Vec::new(),
        toolchains: vec!["rust".to_owned()],
        inputs: Vec::new(),
        evidence_expectations: Vec::new(),
        engine: Some(EngineChoice { id: id(if gated { GATED } else { BUILT_IN }), model: None }),
        limits: limits(10),
        spend: crate::contract::limits::spend_caps(),
        unsupported: BTreeSet::new(),
        network_allow: vec!["a.example:443".to_owned()],
        permissions: BTreeSet::new(),
        script: None,
        output: None,
        requested_by: None,
    }
}

pub(super) fn engine(gated: bool) -> EngineFacts {
    let (adapter, program) = (Digest::of(b"adapter"), Digest::of(b"program"));
    let record = Digest::of(b"record");
    let none = || "none".to_owned();
    EngineFacts {
        gated,
        adapter,
        program: Observed::Seen(ProgramFacts { digest: program, version: None }),
        model: Some("m-1".to_owned()),
        documents: true,
        spend: SpendFacts::UnpricedLoopback,
        enabled: gated,
        enabling_problem: None,
        proof: gated.then(|| {
            Observed::Seen(ProofFacts { record, expires_at: at(3600), promotions: Vec::new(), held: None })
        }),
        covered: (!gated).then(|| [program].into()),
        stage: if gated { Stage::CandidateDefault } else { Stage::Unproven },
        conformance: if gated {
            let (evidence_interface, adapter_contract) = (true, true);
            Observed::Seen(ConformanceFacts {
                record,
                adapter,
                program,
                evidence_interface,
                adapter_contract,
            })
        } else {
            Observed::Absent(none())
        },
        admission: if gated {
            Observed::Seen(AdmissionFacts { record, program })
        } else {
            Observed::Absent(none())
        },
        licence: if gated {
            Observed::Seen(LicenceFacts {
                record,
                widest_mode: MutationMode::CandidateDefault,
                expires_at: None,
            })
        } else {
            Observed::Absent(none())
        },
    }
}

pub(super) fn approval(n: u8, by: &str, request: Digest, contract: &TaskContract) -> ApprovalFacts {
    ApprovalFacts {
        id: ApprovalId::parse(format!("apr-{n:032x}")).unwrap(),
        by: PrincipalName::parse(by).unwrap(),
        request_digest: request,
        mode: contract.mutation_mode.unwrap_or(MutationMode::None),
        risk: contract.risk_class,
        expires_at: at(3600),
        answer: ApprovalAnswer::Grant,
        granted_by: Grantor::Human,
        key: Some(Digest::of(by.as_bytes())),
        signed_with: None,
        refused: Vec::new(),
    }
}

/// Facts under which every gate passes for `contract`.
pub(super) fn facts(gated: bool, contract: &TaskContract) -> Facts {
    let mode = contract.mutation_mode.unwrap_or(MutationMode::CandidateDefault);
    let owned = mode >= MutationMode::OwnedNoncriticalRepo;
    let name = id(if gated { GATED } else { BUILT_IN });
    let mut facts = Facts {
        named_engine: Some(name.clone()),
        learning: false,
        checking: false,
        proving: false,
        target: Observed::Seen(TargetFacts {
            identity: "/srv/repo".to_owned(),
            commit: GitId::new("1".repeat(40)).unwrap(),
            tree: GitId::new("2".repeat(40)).unwrap(),
            is_fixture: mode == MutationMode::CopiedFixture,
            dirt: Some(Vec::new()),
            unreadable_forms: Vec::new(),
        }),
        target_remedy: String::new(),
        registry: Observed::Seen(RegistryFacts {
            ownership: if owned { Ownership::Owned } else { Ownership::Sandbox },
            owner: Some("jp".to_owned()),
            criticality: Some(Criticality::Noncritical),
        }),
        authority: Observed::Seen(AuthorityFacts { digest: Digest::of(b"authority") }),
        engines: BTreeMap::from([(name.clone(), engine(gated))]),
        host: Observed::Seen(HostFacts {
            refused: None,
            namespaces: NAMESPACES.iter().map(|ns| (*ns).to_owned()).collect(),
            seccomp: true,
            landlock_abi: 6,
            landlock_abi_at_most: None,
            overlay: true,
            hard_memory: true,
            hard_processes: true,
        }),
        provisions: BTreeMap::from([("toolchain:rust".to_owned(), Observed::Seen(Digest::of(b"rust")))]),
        policy: Digest::of(b"policy"),
        ceilings: limits(100),
        network_allow: BTreeSet::from(["a.example:443".to_owned(), "b.example:443".to_owned()]),
        spend_ceilings: crate::contract::limits::spend_caps(),
        requester: Requester {
            account: "1000:dev".to_owned(),
            principal: None,
            owns_principals: false,
            is_root: false,
        },
        approvals: Vec::new(),
        approval_errors: Vec::new(),
        gathered_at: at(0),
    };
    let request = request::digest(contract, contract_digest(), &facts, &name);
    facts.approvals = vec![approval(1, "ann", request, contract), approval(2, "bob", request, contract)];
    facts
}

pub(super) fn contract_digest() -> Digest {
    Digest::of(b"contract")
}

pub(super) fn decided(contract: &TaskContract, facts: &Facts) -> Decision {
    decide::decide_task(contract, contract_digest(), facts)
}

/// Every combination for which something may run.
pub(super) fn allowed() -> Vec<(bool, MutationMode, RiskClass)> {
    let mut all = Vec::new();
    for gated in [false, true] {
        for &risk in RiskClass::ALL {
            all.extend(
                MutationMode::ALL.iter().filter(|m| **m <= risk.widest_mode()).map(|m| (gated, *m, risk)),
            );
        }
    }
    all
}

pub(super) type Spoil = fn(&mut TaskContract, &mut Facts);
use GateId as G;
use RefusalState::{Errored, Failed, Missing};

fn own(facts: &mut Facts, change: fn(&mut EngineFacts)) {
    facts.engines.values_mut().for_each(change);
}
fn target(facts: &mut Facts, change: fn(&mut TargetFacts)) {
    if let Observed::Seen(target) = &mut facts.target {
        change(target);
    }
}
fn host(facts: &mut Facts, change: fn(&mut HostFacts)) {
    if let Observed::Seen(host) = &mut facts.host {
        change(host);
    }
}
fn gone<T>() -> Observed<T> {
    Observed::Absent("gone".to_owned())
}
fn broken<T>() -> Observed<T> {
    Observed::Error("broken".to_owned())
}

/// Ways to spoil what passes: the gate that must say no, in which way, and the change. None mends another.
pub(super) fn spoils() -> Vec<(GateId, RefusalState, Spoil)> {
    let mut all = contract_spoils();
    all.extend(fact_spoils());
    all.extend(engine_spoils());
    all.extend(replacing_spoils());
    all
}

fn contract_spoils() -> Vec<(GateId, RefusalState, Spoil)> {
    vec![
        (G::ContractAllowedPaths, Missing, |c, _| c.allowed_paths = None),
        (G::ContractAllowedPaths, Failed, |c, _| c.allowed_paths = Some(vec!["!src".to_owned()])),
        (G::ContractForbiddenActions, Missing, |c, _| c.forbidden_actions = None),
        (G::ContractForbiddenActions, Failed, |c, _| {
            c.forbidden_actions = Some(vec![ActionId::parse("git.rebase").unwrap()]);
        }),
        (G::ContractMutationMode, Missing, |c, _| c.mutation_mode = None),
        (G::ContractAuthority, Missing, |c, _| c.authority_basis.reference = " ".to_owned()),
        (G::ContractPermissions, Missing, |c, _| c.permissions = BTreeSet::from([Permission::Push])),
        (G::ContractSupported, Missing, |c, _| {
            c.unsupported.insert("limits.memory".to_owned());
        }),
        (G::ContractSupported, Missing, |c, _| c.network_allow.push("c.example:443".to_owned())),
        (G::ContractSupported, Failed, |_, f| f.spend_ceilings.run_micro_usd = crate::vocab::MicroUsd::ZERO),
        (G::ContractSupported, Failed, |_, f| {
            f.spend_ceilings.thread_micro_usd = crate::vocab::MicroUsd::ZERO;
        }),
        (G::ContractSupported, Missing, |c, _| c.toolchains.push("go".to_owned())),
        (G::ContractSupported, Failed, |c, _| c.limits.wall_seconds = 101),
        (G::ContractSupported, Failed, |c, _| c.limits.processes = 0),
        (G::ContractSupported, Failed, |c, _| c.script = Some(Digest::of(b"script"))),
    ]
}

fn fact_spoils() -> Vec<(GateId, RefusalState, Spoil)> {
    vec![
        (G::ContractSupported, Errored, |_, f| {
            f.provisions.insert("toolchain:rust".to_owned(), broken());
        }),
        (G::ContractSupported, Missing, |_, f| f.provisions.clear()),
        (G::ContractSupported, Missing, |_, f| f.network_allow.clear()),
        (G::ContractAuthority, Missing, |_, f| f.authority = gone()),
        (G::ContractAuthority, Errored, |_, f| f.authority = broken()),
        (G::TargetBase, Failed, |_, f| target(f, |t| t.unreadable_forms.push("shallow".to_owned()))),
        (G::TargetOwnership, Missing, |_, f| f.registry = gone()),
        (G::TargetOwnership, Errored, |_, f| f.registry = broken()),
        (G::HostSandbox, Missing, |_, f| {
            host(f, |h| h.namespaces.retain(|ns| ns != "net"));
        }),
        (G::HostSandbox, Missing, |_, f| host(f, |h| h.seccomp = false)),
        (G::HostSandbox, Missing, |_, f| host(f, |h| h.landlock_abi = 0)),
        (G::Approval, Missing, |_, f| f.approvals.clear()),
        (G::Approval, Errored, |_, f| f.approval_errors.push("torn".to_owned())),
        (G::Approval, Missing, |_, f| {
            f.approvals.iter_mut().for_each(|a| a.refused.push("spent".to_owned()));
        }),
        (G::Approval, Missing, |_, f| f.approvals.iter_mut().for_each(|a| a.expires_at = at(0))),
        (G::Approval, Missing, |_, f| {
            f.approvals.iter_mut().for_each(|a| a.request_digest = Digest::of(b"x"));
        }),
        (G::Approval, Missing, |_, f| f.approvals.iter_mut().for_each(|a| a.granted_by = Grantor::Policy)),
        (G::Approval, Missing, |_, f| f.approvals.iter_mut().for_each(|a| a.key = None)),
        (G::Approval, Failed, |_, f| f.approvals.iter_mut().for_each(|a| a.answer = ApprovalAnswer::Deny)),
    ]
}

fn engine_spoils() -> Vec<(GateId, RefusalState, Spoil)> {
    vec![
        (G::EngineEnabled, Failed, |_, f| own(f, |e| e.enabled = false)),
        (G::EngineEnabled, Missing, |_, f| {
            f.named_engine = f.named_engine.take().filter(|n| n.as_str() == "another");
        }),
        // A record that counts: one that is broken and taken away would leave a built-in engine as it was.
        (G::EngineEvidenceInterface, Missing, |_, f| {
            own(f, |e| {
                if matches!(e.conformance, Observed::Seen(_)) {
                    e.conformance = gone();
                }
            });
        }),
        (G::EngineAdapterContract, Errored, |_, f| own(f, |e| e.conformance = broken())),
        (G::EngineAdapterContract, Missing, |_, f| own(f, |e| e.adapter = Digest::of(b"other"))),
        (G::EngineEnabled, Errored, |_, f| own(f, |e| e.enabling_problem = Some("forged".to_owned()))),
        (G::EngineStage, Failed, |_, f| own(f, |e| e.stage = Stage::DefaultDeny)),
        (G::EngineStage, Missing, |_, f| own(f, |e| e.proof = Some(gone()))),
        (G::EngineStage, Missing, |_, f| own(f, |e| e.proof = None)),
        (G::EngineStage, Errored, |_, f| own(f, |e| e.proof = Some(broken()))),
        (G::SourceAdmission, Missing, |_, f| own(f, |e| e.admission = gone())),
        (G::SourceAdmission, Errored, |_, f| own(f, |e| e.admission = broken())),
        (G::SourceLicense, Missing, |_, f| own(f, |e| e.licence = gone())),
        (G::SourceLicense, Errored, |_, f| own(f, |e| e.licence = broken())),
        (G::SpendCap, Missing, |_, f| own(f, |e| e.spend = SpendFacts::Unbounded)),
        (G::SpendCap, Missing, |_, f| own(f, |e| e.spend = SpendFacts::NoEndpoint)),
        (G::EngineRegistered, Failed, |_, f| f.named_engine = Some(id("another"))),
    ]
}

fn replacing_spoils() -> Vec<(GateId, RefusalState, Spoil)> {
    vec![
        (G::TargetCleanStart, Failed, |_, f| {
            target(f, |t| (t.is_fixture, t.dirt) = (false, Some(vec!["a".to_owned()])));
        }),
        (G::TargetCleanStart, Missing, |_, f| {
            target(f, |t| (t.is_fixture, t.dirt) = (false, None));
        }),
        (G::TargetBase, Missing, |_, f| f.target = gone()),
        (G::TargetBase, Errored, |_, f| f.target = broken()),
        (G::EngineProgram, Missing, |_, f| own(f, |e| e.program = gone())),
        (G::EngineProgram, Errored, |_, f| own(f, |e| e.program = broken())),
        (G::HostSandbox, Missing, |_, f| f.host = gone()),
        (G::HostSandbox, Errored, |_, f| f.host = broken()),
        (G::EngineRegistered, Failed, |_, f| f.engines.clear()),
    ]
}
