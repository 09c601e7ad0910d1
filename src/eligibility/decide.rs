//! The decision, and the permit that only a positive one gives.
//!
//! Guarantees: deciding is pure and total; [`ExecutionPermit`] has one constructor, in this file, reached only
//! through [`Decision::permit`]; it cannot be copied, defaulted or read from a file, and launching consumes it.
//! Does not: read a clock (moments are handed in), spend approvals, or launch anything.

use super::approval::counted;
use super::document::{DecisionDocument, DeniedBackend, fold};
use super::gate::{
    Demand, Escalation, GATE_SET, GateId, GateResult, Question, all_hold, evaluate, required_gates,
};
use super::{Facts, Observed, request};
use crate::contract::{SealedContract, TaskContract};
use crate::vocab::{ApprovalId, Digest, EngineId, Limits, MutationMode, Reason, RiskClass, Timestamp};

/// How long facts may be relied upon before a run must look again, in seconds.
pub const FACTS_FRESH_SECONDS: i64 = 300;

/// An answer that was reached here and now. Its document is what is stored and shown.
///
/// Not `Clone` and not `Deserialize`: a document read from a file gives no permit.
#[derive(Debug)]
#[must_use]
pub struct Decision {
    document: DecisionDocument,
    granted: Option<Granted>,
}

/// What a permit will carry; present only in a positive decision.
#[derive(Debug)]
pub(super) struct Granted {
    engine: EngineId,
    mode: MutationMode,
    program: Digest,
    network_allow: Vec<String>,
    approvals: Vec<ApprovalId>,
    starts_nothing: bool,
    valid_until: Option<Timestamp>,
}

/// Why there is no permit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PermitRefused {
    /// The decision was no; the reasons are the gates that did not pass.
    #[error("the decision is no: {} gate(s) did not pass", .0.len())]
    Blocked(Vec<Reason>),
    /// The facts are too old, or from the future; look again and decide again.
    #[error(
        "the facts were gathered at {gathered_at}, which is not within {FACTS_FRESH_SECONDS} s before {now}"
    )]
    Stale {
        /// When they were gathered.
        gathered_at: Timestamp,
        /// When the permit was asked for.
        now: Timestamp,
    },
    /// An approval, licence or proof record that counted has ended meanwhile.
    #[error("an approval, licence or proof record that the decision rests on ended at {0}")]
    Expired(Timestamp),
}

/// Proof that a decision was positive. Spent by launching; it does not survive the process.
#[derive(Debug)]
#[must_use]
pub struct ExecutionPermit {
    terms: Terms,
}

/// A permit that was used: what is left of it are its terms.
#[derive(Debug)]
pub struct SpentPermit {
    terms: Terms,
}

#[derive(Debug)]
struct Terms {
    engine: EngineId,
    mode: MutationMode,
    risk: RiskClass,
    limits: Limits,
    contract_digest: Digest,
    decision_id: Digest,
    request_digest: Digest,
    program: Digest,
    network_allow: Vec<String>,
    approvals: Vec<ApprovalId>,
    starts_nothing: bool,
}

/// Decides. Pure and total: every contract and every set of facts have an answer.
pub fn decide(contract: &SealedContract, facts: &Facts) -> Decision {
    decide_task(contract.task(), contract.digest(), facts)
}

/// What an approver would approve: digest of the bound facts (SPEC §1) for one engine.
#[must_use]
pub fn request_digest(contract: &SealedContract, facts: &Facts, engine: &EngineId) -> Digest {
    request::digest(contract.task(), contract.digest(), facts, engine)
}

/// The engine in question, before deciding: for gatherers that need its request digest.
#[must_use]
pub fn candidate_engine(contract: &SealedContract, facts: &Facts) -> EngineId {
    candidate(contract.task(), facts)
}

/// Decides for a checked contract with its digest. Total: every input has an answer.
pub(super) fn decide_task(contract: &TaskContract, contract_digest: Digest, facts: &Facts) -> Decision {
    let candidate = candidate(contract, facts);
    let results = answers(contract, contract_digest, facts, &candidate);
    assemble(contract, contract_digest, facts, candidate, &results)
}

/// The engine in question: the caller's word, else the contract's, else `codex`.
///
/// Where both name one and they differ, `engine.registered` refuses the caller's.
pub(super) fn candidate(contract: &TaskContract, facts: &Facts) -> EngineId {
    let asked = || contract.engine.as_ref().map(|choice| choice.id.clone());
    facts.named_engine.clone().or_else(asked).unwrap_or_else(EngineId::codex)
}

/// Every required gate's answer for one engine.
pub(super) fn answers(
    contract: &TaskContract,
    digest: Digest,
    facts: &Facts,
    id: &EngineId,
) -> Vec<(GateId, GateResult)> {
    let question = question(contract, digest, facts, id);
    let required = required_gates(Demand::of(contract, question.engine));
    required.into_iter().map(|gate| (gate, evaluate(gate, &question))).collect()
}

pub(super) fn question<'a>(
    contract: &'a TaskContract,
    digest: Digest,
    facts: &'a Facts,
    id: &'a EngineId,
) -> Question<'a> {
    let request = request::digest(contract, digest, facts, id);
    Question { contract, facts, engine_id: id, engine: facts.engines.get(id), request }
}

/// The decision from the answers. Every value in it follows from its arguments.
pub(super) fn assemble(
    contract: &TaskContract,
    contract_digest: Digest,
    facts: &Facts,
    candidate: EngineId,
    results: &[(GateId, GateResult)],
) -> Decision {
    let asked = question(contract, contract_digest, facts, &candidate);
    let demand = Demand::of(contract, asked.engine);
    let required = required_gates(demand);
    let granted = judge(&asked, demand, &required, results);
    let (passed_gates, missing_gates) = fold(&required, results);
    let selected = granted.is_some().then(|| candidate.clone());
    let others = facts.engines.keys().filter(|id| selected.as_ref() != Some(*id));
    let denied = others.map(|id| {
        let own =
            if *id == candidate { results.to_vec() } else { answers(contract, contract_digest, facts, id) };
        denied(contract, facts, id, &candidate, &own)
    });
    let mut document = DecisionDocument {
        decision_id: Digest::of(b""),
        decided_at: facts.gathered_at,
        decided_by: concat!("cto-harness ", env!("CARGO_PKG_VERSION")).to_owned(),
        request_digest: asked.request,
        task_id: contract.task_id.clone(),
        contract_digest,
        denied_backends: denied.collect(),
        risk_class: contract.risk_class,
        required_gates: required,
        passed_gates,
        allowed_mutation_mode: granted.as_ref().map(|g| g.mode),
        approval_required: demand.needs_approval(),
        limits: contract.limits.clone(),
        reasons: reasons(selected.as_ref(), &missing_gates),
        escalation_path: missing_gates.iter().map(|g| g.escalation).max().unwrap_or(Escalation::None),
        missing_gates,
        selected_backend: selected,
        candidate,
        facts: facts.clone(),
        policy_digest: facts.policy,
        gate_set: GATE_SET,
    };
    match document.derive_id() {
        Ok(id) => document.decision_id = id,
        // Facts hold only texts, numbers and text-keyed maps, so this arm is not reached; if it were, a decision
        // without an id of its own is a decision that allows nothing.
        Err(error) => return unsayable(document, &error),
    }
    Decision { document, granted }
}

/// The whole rule: every required gate passed, and what a permit must name is there.
pub(super) fn judge(
    q: &Question<'_>,
    demand: Demand,
    required: &[GateId],
    results: &[(GateId, GateResult)],
) -> Option<Granted> {
    if !all_hold(required, results) {
        return None;
    }
    let engine = q.engine?;
    let Observed::Seen(program) = &engine.program else { return None };
    let approvals = if demand.needs_approval() { counted(q) } else { Vec::new() };
    let licence = match &engine.licence {
        Observed::Seen(note) if engine.gated => note.expires_at,
        _ => None,
    };
    let proof = match &engine.proof {
        Some(Observed::Seen(proof)) if engine.gated => Some(proof.expires_at),
        _ => None,
    };
    Some(Granted {
        engine: q.engine_id.clone(),
        mode: q.contract.mutation_mode?,
        program: program.digest,
        network_allow: q.contract.network_allow.clone(),
        starts_nothing: q.facts.proving,
        valid_until: approvals.iter().map(|a| a.expires_at).chain(licence).chain(proof).min(),
        approvals: approvals.into_iter().map(|a| a.id.clone()).collect(),
    })
}

fn denied(
    contract: &TaskContract,
    facts: &Facts,
    id: &EngineId,
    candidate: &EngineId,
    results: &[(GateId, GateResult)],
) -> DeniedBackend {
    let required = required_gates(Demand::of(contract, facts.engines.get(id)));
    let (_, refused) = fold(&required, results);
    let mut reasons: Vec<Reason> = refused.iter().map(super::RefusedGate::as_reason).collect();
    if id != candidate {
        let sentence = format!("`{candidate}` is the engine in question");
        reasons.insert(0, Reason::observed("engine.not-asked-for", sentence, "name this one to use it"));
    }
    DeniedBackend { backend: id.clone(), reasons }
}

fn reasons(selected: Option<&EngineId>, refused: &[super::RefusedGate]) -> Vec<Reason> {
    match selected {
        Some(engine) => {
            vec![Reason::observed("eligible", format!("every required gate passed for `{engine}`"), "")]
        }
        None => refused.iter().map(super::RefusedGate::as_reason).collect(),
    }
}

fn unsayable(mut document: DecisionDocument, error: &serde_json::Error) -> Decision {
    document.selected_backend = None;
    document.allowed_mutation_mode = None;
    document.escalation_path = Escalation::Blocked;
    document.reasons =
        vec![Reason::observed("decision.unsayable", format!("it cannot be written: {error}"), "")];
    Decision { document, granted: None }
}

impl Decision {
    /// What is stored, shown and sealed.
    #[must_use]
    pub const fn document(&self) -> &DecisionDocument {
        &self.document
    }

    /// The same decision, saying when and by whom it was made; neither is part of its id.
    pub fn stamped(mut self, at: Timestamp, by: impl Into<String>) -> Self {
        self.document.decided_at = at;
        self.document.decided_by = crate::vocab::shown(&by.into());
        self
    }

    /// The permit, if the answer is yes and still rests on fresh facts at `now`. Consumes the decision, so one
    /// decision gives at most one permit; keep a clone of the document for the evidence.
    pub fn permit(self, now: Timestamp) -> Result<ExecutionPermit, PermitRefused> {
        let Some(granted) = self.granted else {
            return Err(PermitRefused::Blocked(self.document.reasons));
        };
        let gathered_at = self.document.facts.gathered_at;
        let fresh =
            gathered_at.plus_seconds(FACTS_FRESH_SECONDS).is_some_and(|end| gathered_at <= now && now <= end);
        if !fresh {
            return Err(PermitRefused::Stale { gathered_at, now });
        }
        if let Some(end) = granted.valid_until.filter(|end| *end <= now) {
            return Err(PermitRefused::Expired(end));
        }
        Ok(ExecutionPermit {
            terms: Terms {
                engine: granted.engine,
                mode: granted.mode,
                risk: self.document.risk_class,
                limits: self.document.limits,
                contract_digest: self.document.contract_digest,
                decision_id: self.document.decision_id,
                request_digest: self.document.request_digest,
                program: granted.program,
                network_allow: granted.network_allow,
                approvals: granted.approvals,
                starts_nothing: granted.starts_nothing,
            },
        })
    }
}

impl ExecutionPermit {
    /// Uses it up. Only launching does.
    pub(crate) fn spend(self) -> SpentPermit {
        SpentPermit { terms: self.terms }
    }
}

macro_rules! terms {
    ($($type:ident),+) => {$(
        impl $type {
            /// The engine that may run.
            #[must_use]
            pub const fn engine(&self) -> &EngineId {
                &self.terms.engine
            }
            /// How far it may reach.
            #[must_use]
            pub const fn mode(&self) -> MutationMode {
                self.terms.mode
            }
            /// The risk class of the contract.
            #[must_use]
            pub const fn risk(&self) -> RiskClass {
                self.terms.risk
            }
            /// The limits that hold.
            #[must_use]
            pub const fn limits(&self) -> &Limits {
                &self.terms.limits
            }
            /// Digest of the contract it is for.
            #[must_use]
            pub const fn contract_digest(&self) -> Digest {
                self.terms.contract_digest
            }
            /// The decision it comes from.
            #[must_use]
            pub const fn decision_id(&self) -> Digest {
                self.terms.decision_id
            }
            /// What an approver approved, where one had to.
            #[must_use]
            pub const fn request_digest(&self) -> Digest {
                self.terms.request_digest
            }
            /// The program that may be launched, by digest, from the harness-owned store.
            #[must_use]
            pub const fn program(&self) -> Digest {
                self.terms.program
            }
            /// Where it may connect to besides its model, as contract and configuration both allow.
            #[must_use]
            pub fn network_allow(&self) -> &[String] {
                &self.terms.network_allow
            }
            /// Whether it is for the adapter that starts no process, and for nothing else.
            #[must_use]
            pub const fn starts_nothing(&self) -> bool {
                self.terms.starts_nothing
            }
            /// The approvals that the decision rests on: to be spent for this run before launching.
            #[must_use]
            pub fn approvals(&self) -> &[ApprovalId] {
                &self.terms.approvals
            }
        }
    )+};
}

terms!(ExecutionPermit, SpentPermit);
