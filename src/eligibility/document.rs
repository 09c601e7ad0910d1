//! `decision.json`: the decision as it is written, read and derived again.
//!
//! Plain data. Reading one back gives no permit: only [`super::decide`] makes a [`super::Decision`].

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Facts;
use super::gate::{Escalation, GateId, GateResult};
use crate::vocab::{Digest, EngineId, Limits, MutationMode, Reason, RiskClass, TaskId, Timestamp};

/// Keeps this digest apart from every other one made here.
const DOMAIN: &str = "cto-decision-id-v1";

/// The Eligibility Decision (SPEC §4). The lists of gates are those of the selected engine, else of the candidate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DecisionDocument {
    /// Digest of everything below except `decided_at` and `decided_by`.
    pub decision_id: Digest,
    /// When; outside of the id.
    pub decided_at: Timestamp,
    /// By which program; outside of the id.
    pub decided_by: String,
    /// What an approver approves.
    pub request_digest: Digest,
    /// The caller's name for the task.
    pub task_id: TaskId,
    /// Digest of `contract.json`.
    pub contract_digest: Digest,
    /// The engine that may run, or `none`.
    #[serde(with = "backend")]
    #[schemars(with = "String")]
    pub selected_backend: Option<EngineId>,
    /// The engine that the lists of gates are about.
    pub candidate: EngineId,
    /// Every other registered engine, with why.
    pub denied_backends: Vec<DeniedBackend>,
    /// Risk class.
    pub risk_class: RiskClass,
    /// What must pass.
    pub required_gates: Vec<GateId>,
    /// What passed, with what shows it.
    pub passed_gates: Vec<PassedGate>,
    /// What did not, with what can be done.
    pub missing_gates: Vec<RefusedGate>,
    /// How far the run may reach; `null` = nothing may run.
    pub allowed_mutation_mode: Option<MutationMode>,
    /// Whether somebody has to say yes.
    pub approval_required: bool,
    /// The limits that hold for the run.
    pub limits: Limits,
    /// Why.
    pub reasons: Vec<Reason>,
    /// Who can mend it.
    pub escalation_path: Escalation,
    /// The facts used.
    pub facts: Facts,
    /// Digest of the configuration that decides.
    pub policy_digest: Digest,
    /// Version of the required set.
    pub gate_set: u32,
}

/// A registered engine that was not selected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeniedBackend {
    /// Which.
    pub backend: EngineId,
    /// Why; never empty.
    pub reasons: Vec<Reason>,
}

/// A gate that passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PassedGate {
    /// Which.
    pub gate: GateId,
    /// What shows it.
    pub proof: String,
}

/// A gate that did not pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RefusedGate {
    /// Which.
    pub gate: GateId,
    /// In which way.
    pub state: RefusalState,
    /// One sentence.
    pub reason: String,
    /// What the reader can do; empty when nothing can be done.
    pub remedy: String,
    /// Who can do it.
    pub escalation: Escalation,
}

/// The three ways of not passing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RefusalState {
    /// Looked at, and it does not hold.
    Failed,
    /// Nothing shows it.
    Missing,
    /// Looking failed.
    Errored,
}

impl RefusedGate {
    /// As a reason of a verdict or of a denied engine: code `gate.<id>`.
    #[must_use]
    pub fn as_reason(&self) -> Reason {
        Reason::observed(format!("gate.{}", self.gate), self.reason.clone(), self.remedy.clone())
    }
}

/// Splits the required gates into those that passed and those that did not; an unlisted one is missing.
pub(super) fn fold(
    required: &[GateId],
    results: &[(GateId, GateResult)],
) -> (Vec<PassedGate>, Vec<RefusedGate>) {
    let (mut passed, mut refused) = (Vec::new(), Vec::new());
    for &gate in required {
        let (state, short) = match results.iter().find(|(id, _)| *id == gate).map(|(_, result)| result) {
            Some(GateResult::Passed(proof)) => {
                passed.push(PassedGate { gate, proof: proof.clone() });
                continue;
            }
            Some(GateResult::Failed(short)) => (RefusalState::Failed, short.clone()),
            Some(GateResult::Missing(short)) => (RefusalState::Missing, short.clone()),
            Some(GateResult::Errored(short)) => (RefusalState::Errored, short.clone()),
            None => (
                RefusalState::Missing,
                super::Shortfall {
                    reason: "this gate was not evaluated".to_owned(),
                    remedy: String::new(),
                    escalation: Escalation::Blocked,
                },
            ),
        };
        refused.push(RefusedGate {
            gate,
            state,
            reason: short.reason,
            remedy: short.remedy,
            escalation: short.escalation,
        });
    }
    (passed, refused)
}

/// What the decision id covers, in this order.
#[derive(Serialize)]
struct Covered<'a> {
    domain: &'a str,
    gate_set: u32,
    contract_digest: &'a Digest,
    request_digest: &'a Digest,
    task_id: &'a TaskId,
    candidate: &'a EngineId,
    selected_backend: Option<&'a EngineId>,
    denied_backends: &'a [DeniedBackend],
    risk_class: RiskClass,
    required_gates: &'a [GateId],
    passed_gates: &'a [PassedGate],
    missing_gates: &'a [RefusedGate],
    allowed_mutation_mode: Option<MutationMode>,
    approval_required: bool,
    limits: &'a Limits,
    reasons: &'a [Reason],
    escalation_path: Escalation,
    facts: &'a Facts,
    policy_digest: &'a Digest,
}

impl DecisionDocument {
    /// The id that this document must have: a digest of everything in it but the id itself, `decided_at` and
    /// `decided_by`. The error is serde's, and means that the document holds something that JSON cannot say.
    pub fn derive_id(&self) -> Result<Digest, serde_json::Error> {
        Digest::of_json(&Covered {
            domain: DOMAIN,
            gate_set: self.gate_set,
            contract_digest: &self.contract_digest,
            request_digest: &self.request_digest,
            task_id: &self.task_id,
            candidate: &self.candidate,
            selected_backend: self.selected_backend.as_ref(),
            denied_backends: &self.denied_backends,
            risk_class: self.risk_class,
            required_gates: &self.required_gates,
            passed_gates: &self.passed_gates,
            missing_gates: &self.missing_gates,
            allowed_mutation_mode: self.allowed_mutation_mode,
            approval_required: self.approval_required,
            limits: &self.limits,
            reasons: &self.reasons,
            escalation_path: self.escalation_path,
            facts: &self.facts,
            policy_digest: &self.policy_digest,
        })
    }

    /// Whether the two say the same in everything that the id covers, and carry that id.
    #[must_use]
    pub fn agrees_with(&self, derived: &Self) -> bool {
        let same =
            Self { decided_at: derived.decided_at, decided_by: derived.decided_by.clone(), ..self.clone() };
        same == *derived
    }

    /// Whether anything may run.
    #[must_use]
    pub const fn eligible(&self) -> bool {
        self.selected_backend.is_some()
    }

    /// Whether an approval is all that is missing, so that asking for one makes sense.
    #[must_use]
    pub fn waits_only_for_approval(&self) -> bool {
        match self.missing_gates.as_slice() {
            [only] => only.gate == GateId::Approval && only.state == RefusalState::Missing,
            _ => false,
        }
    }
}

/// `selected_backend` on the wire: an engine's id, or `none`.
mod backend {
    use super::{Deserialize, Deserializer, EngineId, Serializer};

    #[expect(clippy::ref_option, reason = "serde calls it with a reference to the field")]
    pub(super) fn serialize<S: Serializer>(
        engine: &Option<EngineId>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(engine.as_ref().map_or("none", EngineId::as_str))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<EngineId>, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "none" {
            Ok(None)
        } else {
            EngineId::parse(text).map(Some).map_err(serde::de::Error::custom)
        }
    }
}
