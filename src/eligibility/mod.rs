//! May it run? Facts in, one Eligibility Decision out. No I/O, no clock.
//!
//! Guarantees: the decision is a total function of contract and facts; a run is allowed only when every gate of
//! the required set passed; the one way to an [`ExecutionPermit`] is a positive decision.

mod approval;
mod contract;
mod decide;
mod document;
mod engine;
mod facts;
mod gate;
mod host;
mod matrix;
mod request;
mod source;
mod spend;
mod supported;
mod target;
#[cfg(test)]
mod tests;

pub use approval::approvers_needed;
pub use decide::{
    Decision, ExecutionPermit, FACTS_FRESH_SECONDS, PermitRefused, SpentPermit, candidate_engine, decide,
    request_digest,
};
pub use document::{DecisionDocument, DeniedBackend, PassedGate, RefusalState, RefusedGate};
pub use facts::{
    AdmissionFacts, ApprovalAnswer, ApprovalFacts, AuthorityFacts, ConformanceFacts, Criticality,
    EngineFacts, Facts, Grantor, HostFacts, LicenceFacts, Observed, Ownership, PriceFacts, PricedFacts,
    ProgramFacts, ProofFacts, RegistryFacts, Requester, SandboxRefusal, SpendFacts, TargetFacts,
};
pub use gate::{
    Demand, Escalation, GATE_SET, GateId, GateResult, Question, Shortfall, all_hold, evaluate, required_gates,
};
pub use host::{
    GROUPS_REMEDY, LANDLOCK_FLOOR, LANDLOCK_FLOOR_ELEVATED, NAMESPACES, enforces, landlock_floor,
    landlock_remedy,
};
pub use matrix::matrix;
pub use supported::provision_names;
