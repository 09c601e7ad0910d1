//! What a caller asks of a run, what it is told meanwhile, and what it gets back.

use std::path::PathBuf;

use crate::contract::ContractError;
use crate::event::EventKind;
use crate::home::HomeError;
use crate::store::Publication;
use crate::vocab::{ApprovalId, Digest, EngineId, Reason, RunId, Verdict};

/// Where the contract comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContractInput {
    /// A contract file, or a fixture's folder.
    Path(PathBuf),
    /// JSON text from standard input; relative paths start at the caller's folder.
    Stdin(String),
    /// The harness's own contract that checks an engine; nothing of the caller's is in it. No other run can be handed logs.
    Conformance {
        /// The engine.
        engine: EngineId,
        /// Event logs of the caller's that its adapter is held against as well; relative to the caller's folder.
        logs: Vec<PathBuf>,
    },
    /// The harness's own contract that proves an engine's gates; nothing of the caller's is in it, and nothing is started.
    Proof(EngineId),
}

/// One request to run, or only to decide.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// The contract.
    pub input: ContractInput,
    /// The caller's folder, absolute.
    pub cwd: PathBuf,
    /// The engine named by the caller.
    pub engine: Option<EngineId>,
    /// Where bundles go; `evidence/runs` below the caller's folder when absent.
    pub out: Option<PathBuf>,
    /// Whether to wait for a missing approval.
    pub wait: bool,
    /// Whether what the run needs is to be learned.
    pub learn: bool,
}

/// The steps of a run, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Facts are gathered.
    Facts,
    /// The gates decide.
    Decision,
    /// Somebody has to say yes.
    Approval,
    /// The gates of a gated engine are taken away, one at a time.
    Proof,
    /// The isolated work tree is made.
    Workspace,
    /// The engine's sandbox is established.
    Sandbox,
    /// The engine works.
    Engine,
    /// What changed is computed.
    Patch,
    /// The second sandbox verifies.
    Verification,
    /// The change is inspected.
    Inspection,
    /// The bundle is sealed.
    Seal,
}

impl Step {
    /// A word for the live view and for `stage_reached`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Facts => "facts",
            Self::Decision => "decision",
            Self::Approval => "approval",
            Self::Proof => "proof",
            Self::Workspace => "workspace",
            Self::Sandbox => "sandbox",
            Self::Engine => "engine",
            Self::Patch => "patch",
            Self::Verification => "verification",
            Self::Inspection => "inspection",
            Self::Seal => "seal",
        }
    }
}

/// What a caller is told while a run goes on. Texts are already safe to show.
#[derive(Debug, Clone)]
pub enum Progress {
    /// The run has an id and a folder.
    Launched {
        /// Its id.
        run_id: RunId,
        /// Its bundle.
        bundle: PathBuf,
    },
    /// A step began.
    Began(Step),
    /// A step ended.
    Ended {
        /// Which.
        step: Step,
        /// How long it took, microseconds.
        micros: u64,
        /// A few words: `12 gates passed`, `3 files changed`.
        note: String,
        /// Whether nothing speaks against a pass so far.
        well: bool,
    },
    /// An event was appended to the log.
    Event {
        /// What happened.
        kind: EventKind,
        /// A line for people.
        line: String,
    },
    /// An earlier run of the same task died, and can be gone on with instead.
    CanResume {
        /// Which.
        run_id: RunId,
    },
    /// The run waits for an approval.
    Waiting {
        /// Which.
        approval: ApprovalId,
    },
}

/// Who is told.
pub trait Observer {
    /// Called in order, from one thread.
    fn progress(&mut self, progress: Progress);
}

/// What a run came to. It is sealed when this exists.
#[derive(Debug, Clone)]
pub struct RunOutcome {
    /// Which run.
    pub run_id: RunId,
    /// The answer.
    pub verdict: Verdict,
    /// Why.
    pub reasons: Vec<Reason>,
    /// The sealed bundle.
    pub bundle: PathBuf,
    /// The decision's id.
    pub decision_id: Digest,
    /// The approval that is waited for, if that is what blocks.
    pub pending: Option<ApprovalId>,
    /// What became of the branch in the target, where the contract permits one and the run passed.
    pub publication: Option<Publication>,
    /// Whether a signal ended it (exit 130).
    pub interrupted: bool,
}

/// Why there is no outcome: the request made no sense, or it could not be recorded.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The contract is not one (exit 2).
    #[error(transparent)]
    Contract(#[from] ContractError),
    /// The request is not one (exit 2).
    #[error("{sentence}\n  remedy: {remedy}")]
    Usage {
        /// What is wrong.
        sentence: String,
        /// What to do.
        remedy: String,
    },
    /// The installation's own configuration cannot be used (exit 2).
    #[error("{0}")]
    Configuration(String),
    /// The installation's own places and files (exit 2 or 4).
    #[error(transparent)]
    Home(#[from] HomeError),
    /// It could not be recorded (exit 4).
    #[error("{what} could not be recorded: {why}\n  remedy: {remedy}")]
    Unrecorded {
        /// What.
        what: &'static str,
        /// Why.
        why: String,
        /// What to do.
        remedy: String,
    },
}
