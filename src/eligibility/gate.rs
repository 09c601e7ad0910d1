//! What a gate is: its name, its four answers, and which gates a run needs.
//!
//! Guarantees: there is no warning state; a gate that nobody evaluated counts as missing; the required set of a
//! gate set only ever grows, and where the mode or the engine is not known the stricter set is chosen.
//! Does not look at facts: the gates themselves stand in the files beside this one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{EngineFacts, Facts, SpendFacts};
use crate::contract::TaskContract;
use crate::vocab::{Digest, EngineId, MutationMode, RiskClass};

/// The version of the required set; part of the policy digest.
pub const GATE_SET: u32 = 1;

macro_rules! gates {
    ($($(#[$doc:meta])* $variant:ident = $text:literal),+ $(,)?) => {
        /// The gates of gate set 1, in the order in which they are shown.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum GateId { $($(#[$doc])* #[serde(rename = $text)] $variant),+ }

        impl GateId {
            /// Every gate, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// As written in evidence.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl std::fmt::Display for GateId {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

gates! {
    /// The paths that may change are named.
    ContractAllowedPaths = "contract.allowed-paths",
    /// The forbidden actions are named and known.
    ContractForbiddenActions = "contract.forbidden-actions",
    /// The mode is named, and the risk class allows it.
    ContractMutationMode = "contract.mutation-mode",
    /// The authority is there and reaches the mode.
    ContractAuthority = "contract.authority",
    /// The permissions are carried out here and fit the mode.
    ContractPermissions = "contract.permissions",
    /// This version carries out everything that was asked.
    ContractSupported = "contract.supported",
    /// The base resolves, in a form that is read here.
    TargetBase = "target.base",
    /// The registry's ownership and criticality allow the mode.
    TargetOwnership = "target.ownership",
    /// The work tree is clean.
    TargetCleanStart = "target.clean-start",
    /// The engine is known, and everybody who names one names this one.
    EngineRegistered = "engine.registered",
    /// The program is there, with the right digest.
    EngineProgram = "engine.program",
    /// An operator enabled it, and it is named by contract and caller.
    EngineEnabled = "engine.enabled",
    /// Its evidence interface conforms, for exactly these digests.
    EngineEvidenceInterface = "engine.evidence-interface",
    /// Its adapter keeps the contract, for exactly these digests.
    EngineAdapterContract = "engine.adapter-contract",
    /// What it has earned reaches the mode.
    EngineStage = "engine.stage",
    /// Its origin and every file of it are admitted.
    SourceAdmission = "source.admission",
    /// Its licence resolves use in this mode.
    SourceLicense = "source.license",
    /// This kernel enforces what the risk class demands.
    HostSandbox = "host.sandbox",
    /// What it can spend is bounded.
    SpendCap = "spend.cap",
    /// Somebody else said yes to exactly this request.
    Approval = "approval",
}

/// The answer of one gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GateResult {
    /// It holds; the text says what shows it.
    Passed(String),
    /// It was looked at and does not hold.
    Failed(Shortfall),
    /// What would show it is not there.
    Missing(Shortfall),
    /// Looking failed.
    Errored(Shortfall),
}

/// Why a gate did not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortfall {
    /// One sentence.
    pub reason: String,
    /// What the reader can do; empty when nothing can be done.
    pub remedy: String,
    /// Who can do it.
    pub escalation: Escalation,
}

/// Who can mend a refusal. Ordered: where several gates refuse, the last of them is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Escalation {
    /// Nothing to mend.
    None,
    /// The caller or an operator.
    HermesOperator,
    /// Ownership, licence, admission, exceptions.
    Jp,
    /// A `core-route` basis is in question.
    CoreRoute,
    /// Nothing can mend it.
    Blocked,
}

impl GateResult {
    /// It holds because of `proof`.
    pub(super) fn passed(proof: impl Into<String>) -> Self {
        Self::Passed(crate::vocab::shown(&proof.into()))
    }
    /// It does not hold; caller or operator can mend it.
    pub(super) fn failed(reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Failed(Shortfall::new(reason, remedy))
    }
    /// Nothing shows it; caller or operator can mend it.
    pub(super) fn missing(reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Missing(Shortfall::new(reason, remedy))
    }
    /// Looking failed; caller or operator can mend it.
    pub(super) fn errored(reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Errored(Shortfall::new(reason, remedy))
    }
    /// The same answer, to be mended by somebody else.
    #[must_use]
    pub(super) fn escalate(self, to: Escalation) -> Self {
        let with = |s: Shortfall| Shortfall { escalation: to, ..s };
        match self {
            Self::Passed(proof) => Self::Passed(proof),
            Self::Failed(s) => Self::Failed(with(s)),
            Self::Missing(s) => Self::Missing(with(s)),
            Self::Errored(s) => Self::Errored(with(s)),
        }
    }
    /// Whether it holds.
    #[must_use]
    pub const fn holds(&self) -> bool {
        matches!(self, Self::Passed(_))
    }
}

impl Shortfall {
    fn new(reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            reason: crate::vocab::shown(&reason.into()),
            remedy: crate::vocab::shown(&remedy.into()),
            escalation: Escalation::HermesOperator,
        }
    }
}

/// What every gate is asked about: one contract, one set of facts, one engine.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// What was asked.
    pub contract: &'a TaskContract,
    /// What was observed.
    pub facts: &'a Facts,
    /// The engine in question.
    pub engine_id: &'a EngineId,
    /// What is known of it; `None` = not registered.
    pub engine: Option<&'a EngineFacts>,
    /// What an approver would approve.
    pub request: Digest,
}

/// What the required set depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one demand of its own")]
pub struct Demand {
    /// `None` = not given: treated as the widest.
    pub mode: Option<MutationMode>,
    /// The risk class.
    pub risk: RiskClass,
    /// The engine must prove itself (also when it is unknown).
    pub gated: bool,
    /// The engine can spend (also when it is unknown).
    pub spends: bool,
    /// The contract wants a clean work tree.
    pub clean_start: bool,
    /// The contract wants an approval.
    pub approval_asked: bool,
}

impl Demand {
    /// What this contract demands of this engine.
    #[must_use]
    pub fn of(contract: &TaskContract, engine: Option<&EngineFacts>) -> Self {
        Self {
            mode: contract.mutation_mode,
            risk: contract.risk_class,
            gated: engine.is_none_or(|e| e.gated),
            spends: engine.is_none_or(|e| e.spend != SpendFacts::Free),
            clean_start: contract.clean_start,
            approval_asked: contract.approval_required,
        }
    }

    /// Whether somebody has to say yes.
    #[must_use]
    pub fn needs_approval(self) -> bool {
        self.approval_asked
            || self.risk >= RiskClass::Dangerous
            || self.widest() >= MutationMode::OwnedNoncriticalRepo
    }

    fn widest(self) -> MutationMode {
        self.mode.unwrap_or(MutationMode::CandidateDefault)
    }
}

/// The gates of gate set 1 that must all pass, in order.
#[must_use]
pub fn required_gates(demand: Demand) -> Vec<GateId> {
    let writes_to_registered = demand.widest() >= MutationMode::SandboxRepo;
    let needed = |gate: &GateId| match gate {
        GateId::ContractAllowedPaths
        | GateId::ContractForbiddenActions
        | GateId::ContractMutationMode
        | GateId::ContractAuthority
        | GateId::ContractPermissions
        | GateId::ContractSupported
        | GateId::TargetBase
        | GateId::EngineRegistered
        | GateId::EngineProgram
        | GateId::HostSandbox => true,
        GateId::TargetOwnership => demand.gated || writes_to_registered,
        // Skipping the check is a privilege of the two modes that touch nothing, so beyond them it stays required.
        GateId::TargetCleanStart => demand.clean_start || writes_to_registered,
        GateId::EngineEnabled
        | GateId::EngineEvidenceInterface
        | GateId::EngineAdapterContract
        | GateId::EngineStage
        | GateId::SourceAdmission
        | GateId::SourceLicense => demand.gated,
        GateId::SpendCap => demand.spends,
        GateId::Approval => demand.needs_approval(),
    };
    GateId::ALL.iter().copied().filter(needed).collect()
}

/// The answer of one gate to one question.
#[must_use]
pub fn evaluate(gate: GateId, question: &Question<'_>) -> GateResult {
    match gate {
        GateId::ContractAllowedPaths => super::contract::allowed_paths(question),
        GateId::ContractForbiddenActions => super::contract::forbidden_actions(question),
        GateId::ContractMutationMode => super::contract::mutation_mode(question),
        GateId::ContractAuthority => super::contract::authority(question),
        GateId::ContractPermissions => super::contract::permissions(question),
        GateId::ContractSupported => super::supported::supported(question),
        GateId::TargetBase => super::target::base(question),
        GateId::TargetOwnership => super::target::ownership(question),
        GateId::TargetCleanStart => super::target::clean_start(question),
        GateId::EngineRegistered => super::engine::registered(question),
        GateId::EngineProgram => super::engine::program(question),
        GateId::EngineEnabled => super::engine::enabled(question),
        GateId::EngineEvidenceInterface => super::engine::evidence_interface(question),
        GateId::EngineAdapterContract => super::engine::adapter_contract(question),
        GateId::EngineStage => super::engine::stage(question),
        GateId::SourceAdmission => super::source::admission(question),
        GateId::SourceLicense => super::source::license(question),
        GateId::HostSandbox => super::host::sandbox(question),
        GateId::SpendCap => super::spend::cap(question),
        GateId::Approval => super::approval::approval(question),
    }
}

/// Whether all of `required` hold in `results`; a gate that is not in `results` does not.
#[must_use]
pub fn all_hold(required: &[GateId], results: &[(GateId, GateResult)]) -> bool {
    !required.is_empty() && required.iter().all(|gate| results.iter().any(|(id, r)| id == gate && r.holds()))
}
