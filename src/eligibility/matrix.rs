//! The proof of the gates: in every mode, what a gated engine needs is taken away, one thing at a time, and the decision
//! has to say no with exactly that gate; with everything there it has to say yes.
//!
//! Pure: the rows follow from a contract and from the facts of one decision, with the engine's own digests; what belongs to
//! no engine (target, host, approvals) is made up so that it passes. No permit is ever made of any of these answers.

use std::collections::BTreeSet;

use super::decide::decide_task;
use super::{
    ApprovalAnswer, ApprovalFacts, AuthorityFacts, ConformanceFacts, Criticality, EngineFacts, Facts, GateId,
    Grantor, HostFacts, NAMESPACES, Observed, Ownership, ProofFacts, RefusalState, RegistryFacts, Requester,
    SpendFacts, TargetFacts, request,
};
use crate::contract::{Authority, AuthorityKind, Permission, SealedContract, TaskContract};
use crate::evidence::ProofCell;
use crate::vocab::{ApprovalId, Digest, EngineId, GitId, MutationMode, PrincipalName, RiskClass, Stage};

use GateId as G;
use RefusalState::{Errored, Failed, Missing};

/// How long what is made up lasts, in seconds.
const LASTS: i64 = 3_600;
/// What a cell says where everything is there.
const ELIGIBLE: &str = "eligible";

pub(super) type Removal = fn(&mut TaskContract, &mut Facts);

/// One way to take something away, and what the decision has to say then.
pub(super) struct Way {
    pub(super) gate: GateId,
    pub(super) state: RefusalState,
    pub(super) what: &'static str,
    pub(super) remove: Removal,
}

const fn way(gate: GateId, state: RefusalState, what: &'static str, remove: Removal) -> Way {
    Way { gate, state, what, remove }
}

/// The matrix for the engine that `contract` names and `facts` know. Empty where they name none, which proves nothing.
#[must_use]
pub fn matrix(contract: &SealedContract, facts: &Facts) -> Vec<ProofCell> {
    let Some(engine) = contract.task().engine.as_ref().map(|choice| choice.id.clone()) else {
        return Vec::new();
    };
    let Some(own) = facts.engines.get(&engine).filter(|own| own.gated) else { return Vec::new() };
    let mut cells = Vec::new();
    for &mode in MutationMode::ALL {
        let Some((task, all)) = everything(contract.task(), facts, &engine, own, mode) else {
            return Vec::new();
        };
        cells.push(answer(&task, &all, mode, "nothing", None));
        let needs_approval = super::Demand::of(&task, all.engines.get(&engine)).needs_approval();
        for way in ways().iter().filter(|way| needs_approval || way.gate != G::Approval) {
            let (mut task, mut facts) = (task.clone(), all.clone());
            (way.remove)(&mut task, &mut facts);
            cells.push(answer(&task, &facts, mode, way.what, Some((way.gate, way.state))));
        }
        for &stage in Stage::ALL.iter().filter(|stage| stage.allows().is_none_or(|widest| widest < mode)) {
            let mut facts = all.clone();
            facts.engines.values_mut().for_each(|own| own.stage = stage);
            let what = format!("the stage: it is `{stage}`");
            cells.push(answer(&task, &facts, mode, &what, Some((G::EngineStage, Failed))));
        }
    }
    cells
}

pub(super) fn answer(
    task: &TaskContract,
    facts: &Facts,
    mode: MutationMode,
    removed: &str,
    expected: Option<(GateId, RefusalState)>,
) -> ProofCell {
    let decision = decide_task(task, digest(), facts);
    let document = decision.document();
    let refused: Vec<String> =
        document.missing_gates.iter().map(|row| format!("{} {}", row.gate, word(row.state))).collect();
    let found = if document.eligible() { ELIGIBLE.to_owned() } else { refused.join(", ") };
    let ok = match expected {
        None => document.eligible() && document.missing_gates.is_empty(),
        Some((gate, state)) => {
            let said =
                |row: &&super::RefusedGate| row.gate == gate && row.state == state && !row.reason.is_empty();
            !document.eligible()
                && document.allowed_mutation_mode.is_none()
                && document.missing_gates.iter().any(|row| said(&row))
        }
    };
    let expected =
        expected.map_or_else(|| ELIGIBLE.to_owned(), |(gate, state)| format!("{gate} {}", word(state)));
    ProofCell { mode, removed: removed.to_owned(), expected, found, ok }
}

const fn word(state: RefusalState) -> &'static str {
    match state {
        Failed => "failed",
        Missing => "missing",
        Errored => "errored",
    }
}

/// The digest under which these questions are asked: of no contract.
fn digest() -> Digest {
    Digest::of(b"cto-gate-matrix-v1")
}

/// As if the check that asks were on record already.
fn conforms(own: &mut EngineFacts) {
    let Observed::Seen(program) = &own.program else { return };
    own.conformance = Observed::Seen(ConformanceFacts {
        record: digest(),
        adapter: own.adapter,
        program: program.digest,
        evidence_interface: true,
        adapter_contract: true,
    });
}

/// A contract and facts for which everything passes in `mode`, with the engine's own digests.
pub(super) fn everything(
    asked: &TaskContract,
    seen: &Facts,
    engine: &EngineId,
    own: &EngineFacts,
    mode: MutationMode,
) -> Option<(TaskContract, Facts)> {
    let ends = seen.gathered_at.plus_seconds(LASTS)?;
    let mut task = asked.clone();
    task.mutation_mode = Some(mode);
    task.risk_class = RiskClass::ALL.iter().copied().find(|risk| risk.widest_mode() >= mode)?;
    task.authority_basis =
        Authority { kind: AuthorityKind::TaskContract, reference: "gate matrix".to_owned() };
    task.allowed_paths = Some(vec!["src/**".to_owned()]);
    let mut own = own.clone();
    own.enabled = true;
    own.enabling_problem = None;
    own.spend = SpendFacts::UnpricedLoopback;
    own.stage = Stage::ALL.iter().copied().find(|stage| stage.allows() == Some(mode))?;
    if let Observed::Seen(licence) = &mut own.licence {
        licence.widest_mode = MutationMode::CandidateDefault;
        licence.expires_at = None;
    }
    if seen.checking {
        conforms(&mut own);
    }
    if let Some(Observed::Seen(proof)) = &mut own.proof {
        *proof = ProofFacts { expires_at: ends, promotions: Vec::new(), held: None, ..proof.clone() };
    }
    let owned = mode >= MutationMode::OwnedNoncriticalRepo;
    let mut facts = Facts {
        named_engine: Some(engine.clone()),
        learning: false,
        checking: false,
        proving: false,
        target: Observed::Seen(TargetFacts {
            identity: "/gate-matrix".to_owned(),
            commit: GitId::new("1".repeat(40)).ok()?,
            tree: GitId::new("2".repeat(40)).ok()?,
            is_fixture: mode == MutationMode::CopiedFixture,
            dirt: Some(Vec::new()),
            unreadable_forms: Vec::new(),
        }),
        registry: Observed::Seen(RegistryFacts {
            ownership: if owned { Ownership::Owned } else { Ownership::Sandbox },
            owner: Some("gate matrix".to_owned()),
            criticality: Some(Criticality::Noncritical),
        }),
        authority: Observed::Seen(AuthorityFacts { digest: digest() }),
        engines: [(engine.clone(), own)].into(),
        host: Observed::Seen(whole_host()),
        requester: Requester {
            account: "gate matrix".to_owned(),
            principal: None,
            owns_principals: false,
            is_root: false,
        },
        approvals: Vec::new(),
        approval_errors: Vec::new(),
        ..seen.clone()
    };
    let request = request::digest(&task, digest(), &facts, engine);
    facts.approvals = vec![ApprovalFacts {
        id: ApprovalId::parse(format!("apr-{:032x}", 1)).ok()?,
        by: PrincipalName::parse("gate-matrix").ok()?,
        request_digest: request,
        mode,
        risk: task.risk_class,
        expires_at: ends,
        answer: ApprovalAnswer::Grant,
        granted_by: Grantor::Human,
        key: Some(digest()),
        signed_with: None,
        refused: Vec::new(),
    }];
    Some((task, facts))
}

/// A host that enforces everything.
fn whole_host() -> HostFacts {
    HostFacts {
        namespaces: NAMESPACES.iter().map(|name| (*name).to_owned()).collect(),
        seccomp: true,
        landlock_abi: u32::MAX,
        landlock_abi_at_most: None,
        overlay: true,
        refused: None,
        hard_memory: true,
        hard_processes: true,
    }
}

fn gone<T>() -> Observed<T> {
    Observed::Absent("taken away".to_owned())
}

fn broken<T>() -> Observed<T> {
    Observed::Error("taken away".to_owned())
}

fn own(facts: &mut Facts, change: fn(&mut EngineFacts)) {
    facts.engines.values_mut().for_each(change);
}

pub(super) fn ways() -> Vec<Way> {
    let mut all = of_the_contract();
    all.extend(of_the_world());
    all.extend(of_the_engine());
    all.extend(of_its_records());
    all
}

fn of_the_contract() -> Vec<Way> {
    vec![
        way(G::ContractAllowedPaths, Missing, "allowed paths", |c, _| c.allowed_paths = None),
        way(G::ContractForbiddenActions, Missing, "forbidden actions", |c, _| c.forbidden_actions = None),
        way(G::ContractMutationMode, Missing, "the mode", |c, _| c.mutation_mode = None),
        way(G::ContractAuthority, Missing, "the authority", |_, f| f.authority = gone()),
        way(G::ContractPermissions, Missing, "the bounds of permissions: `push` is asked for", |c, _| {
            c.permissions = BTreeSet::from([Permission::Push]);
        }),
        way(G::ContractSupported, Missing, "support: a field that is not carried out", |c, _| {
            c.unsupported.insert("gate-matrix".to_owned());
        }),
        way(G::EngineEnabled, Missing, "the contract's word for the engine", |c, _| c.engine = None),
        way(G::EngineEnabled, Missing, "the caller's word for the engine", |_, f| f.named_engine = None),
    ]
}

fn of_the_world() -> Vec<Way> {
    vec![
        way(G::TargetBase, Missing, "the target", |_, f| f.target = gone()),
        way(G::TargetOwnership, Missing, "the registry's entry", |_, f| f.registry = gone()),
        way(G::TargetCleanStart, Failed, "the clean work tree", |_, f| {
            if let Observed::Seen(target) = &mut f.target {
                target.is_fixture = false;
                target.dirt = Some(vec!["a".to_owned()]);
            }
        }),
        way(G::HostSandbox, Missing, "the sandbox", |_, f| f.host = gone()),
        way(G::SpendCap, Missing, "what bounds its spending", |_, f| {
            own(f, |e| e.spend = SpendFacts::NoEndpoint);
        }),
        way(G::Approval, Missing, "the approval", |_, f| f.approvals.clear()),
    ]
}

fn of_the_engine() -> Vec<Way> {
    vec![
        way(G::EngineRegistered, Failed, "the engine's registration", |_, f| f.engines.clear()),
        way(G::EngineProgram, Missing, "the program", |_, f| own(f, |e| e.program = gone())),
        way(G::EngineProgram, Failed, "the admitted program: another one is there", |_, f| {
            own(f, |e| {
                if let Observed::Seen(program) = &mut e.program {
                    program.digest = digest();
                }
            });
        }),
        way(G::EngineEnabled, Failed, "the operator's enabling", |_, f| own(f, |e| e.enabled = false)),
        way(G::EngineEnabled, Errored, "the signature of the enabling", |_, f| {
            own(f, |e| e.enabling_problem = Some("taken away".to_owned()));
        }),
        way(G::EngineEvidenceInterface, Missing, "the conformance record", |_, f| {
            own(f, |e| e.conformance = gone());
        }),
        way(G::EngineEvidenceInterface, Failed, "the kept evidence interface", |_, f| {
            own(f, |e| conformance(e, |record| record.evidence_interface = false));
        }),
        way(G::EngineAdapterContract, Failed, "the kept adapter contract", |_, f| {
            own(f, |e| conformance(e, |record| record.adapter_contract = false));
        }),
        way(
            G::EngineAdapterContract,
            Missing,
            "the adapter that was exercised: another one is there",
            |_, f| {
                own(f, |e| e.adapter = digest());
            },
        ),
        way(G::EngineAdapterContract, Errored, "the signature of the conformance record", |_, f| {
            own(f, |e| e.conformance = broken());
        }),
    ]
}

fn conformance(engine: &mut EngineFacts, change: fn(&mut ConformanceFacts)) {
    if let Observed::Seen(record) = &mut engine.conformance {
        change(record);
    }
}

fn of_its_records() -> Vec<Way> {
    vec![
        way(G::EngineStage, Missing, "the proof gate record", |_, f| own(f, |e| e.proof = Some(gone()))),
        way(G::EngineStage, Errored, "the signature of the proof gate record", |_, f| {
            own(f, |e| e.proof = Some(broken()));
        }),
        way(G::EngineStage, Failed, "the time of the proof gate record", |_, f| {
            let now = f.gathered_at;
            for engine in f.engines.values_mut() {
                if let Some(Observed::Seen(proof)) = &mut engine.proof {
                    proof.expires_at = now;
                }
            }
        }),
        way(G::SourceAdmission, Missing, "the admission", |_, f| own(f, |e| e.admission = gone())),
        way(G::SourceAdmission, Errored, "the admitted bytes", |_, f| own(f, |e| e.admission = broken())),
        way(G::SourceLicense, Missing, "the licence note", |_, f| own(f, |e| e.licence = gone())),
        way(G::SourceLicense, Errored, "the signature of the licence note", |_, f| {
            own(f, |e| e.licence = broken());
        }),
        way(G::SourceLicense, Failed, "the time of the licence decision", |_, f| {
            let now = f.gathered_at;
            for engine in f.engines.values_mut() {
                if let Observed::Seen(note) = &mut engine.licence {
                    note.expires_at = Some(now);
                }
            }
        }),
    ]
}
