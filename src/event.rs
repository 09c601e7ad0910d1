//! The only words that engine output can become, and the sink that stages write them to.
//!
//! An event is one JSON object a line. `seq`, `time` and `run_id` are given by the chain when it is appended;
//! stages only say what happened, who saw it, and whether it was seen or merely said.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::vocab::{Basis, RunId, Timestamp};

/// Who reports the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// This program.
    Harness,
    /// The kernel, as this program asked it.
    Kernel,
    /// The broker that holds the only way out.
    Broker,
    /// The engine's own words.
    Engine,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $text:literal),+ $(,)?) => {
        /// The types of SPEC §7, and no others.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum EventKind { $($(#[$doc])* #[serde(rename = $text)] $variant),+ }
        impl EventKind {
            /// As written in the log.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
    };
}

kinds! {
    /// The run has a folder and an id.
    RunStarted = "run.started",
    /// The Eligibility Decision was made.
    DecisionEmitted = "decision.emitted",
    /// Somebody has to say yes.
    ApprovalRequested = "approval.requested",
    /// Somebody, or policy, said yes.
    ApprovalGranted = "approval.granted",
    /// Somebody, or policy, said no.
    ApprovalDenied = "approval.denied",
    /// The isolated work tree is ready.
    WorkspacePrepared = "workspace.prepared",
    /// Every layer of the sandbox is in force.
    SandboxEstablished = "sandbox.established",
    /// The engine's program was started.
    EngineStarted = "engine.started",
    /// The engine named its thread.
    ThreadStarted = "thread.started",
    /// A phase of the engine began.
    PhaseStarted = "phase.started",
    /// A phase of the engine ended.
    PhaseFinished = "phase.finished",
    /// The engine sent work back to itself.
    RevisionRequested = "revision.requested",
    /// The engine called a tool.
    ToolCalled = "tool.called",
    /// A tool call ended.
    ToolFinished = "tool.finished",
    /// A file was changed.
    FileChanged = "file.changed",
    /// The engine said something.
    Message = "message",
    /// The engine says that it has evidence.
    EvidenceClaimed = "evidence.claimed",
    /// Tokens were used.
    UsageReported = "usage.reported",
    /// Money was set aside before a call.
    SpendReserved = "spend.reserved",
    /// Money was settled after a call.
    SpendSettled = "spend.settled",
    /// The kernel saw a program start.
    ExecObserved = "exec.observed",
    /// A way out was used.
    EgressAllowed = "egress.allowed",
    /// A way out was refused.
    EgressDenied = "egress.denied",
    /// A forbidden act was tried.
    ActionAttempted = "action.attempted",
    /// A limit was hit.
    LimitReached = "limit.reached",
    /// The engine reported an error.
    EngineError = "engine.error",
    /// The engine's process tree is gone.
    EngineFinished = "engine.finished",
    /// Verification began.
    VerificationStarted = "verification.started",
    /// Verification ended.
    VerificationFinished = "verification.finished",
    /// One check ended.
    CheckFinished = "check.finished",
    /// The verdict is known.
    VerdictReached = "verdict.reached",
    /// The last event of a run.
    RunFinished = "run.finished",
    /// Output that the adapter does not know, kept as it came.
    RawUnrecognized = "raw.unrecognized",
}

/// One event before it has a place in the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// Who reports it.
    pub source: Source,
    /// What happened.
    pub kind: EventKind,
    /// Seen or said.
    pub basis: Basis,
    /// An object; keys are `snake_case`.
    pub data: serde_json::Value,
}

impl Draft {
    /// Something the harness saw.
    #[must_use]
    pub fn observed(kind: EventKind, data: serde_json::Value) -> Self {
        Self { source: Source::Harness, kind, basis: Basis::Observed, data }
    }
    /// Something the broker saw.
    #[must_use]
    pub fn brokered(kind: EventKind, data: serde_json::Value) -> Self {
        Self { source: Source::Broker, kind, basis: Basis::Observed, data }
    }
    /// Something the engine said.
    #[must_use]
    pub fn claimed(kind: EventKind, data: serde_json::Value) -> Self {
        Self { source: Source::Engine, kind, basis: Basis::Claimed, data }
    }
}

/// One line of `events.normalized.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// From 1, without gaps.
    pub seq: u64,
    /// When it was appended.
    pub time: Timestamp,
    /// The run it belongs to.
    pub run_id: RunId,
    /// Who reports it.
    pub source: Source,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// Seen or said.
    pub basis: Basis,
    /// What else is known, by type.
    pub data: serde_json::Value,
}

/// Why an event could not be recorded. A run whose events cannot be recorded ends.
#[derive(Debug, thiserror::Error)]
#[error("the event log could not be written: {0}")]
pub struct SinkError(#[from] pub std::io::Error);

/// Where stages put events. The evidence chain is the real one.
pub trait EventSink {
    /// Appends one event, durable in order; on an error the run must end.
    fn append(&mut self, draft: Draft) -> Result<(), SinkError>;
}

/// What earlier lines of one stream left open, for secrets of several lines. Each stream has its own.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct OpenBlock {
    /// Lines that may still come before the block is given up.
    pub lines_left: usize,
    /// Whether the line before this one was part of it.
    pub inside: bool,
}

/// Replaces secrets in text that is about to be written anywhere.
pub trait Redact {
    /// The redacted bytes and the rule ids that matched, or `None` when nothing did. The answer does not depend
    /// on what was redacted before, but for secrets that were learned.
    fn redact(&self, bytes: &[u8]) -> Option<(Vec<u8>, Vec<String>)>;

    /// As [`Redact::redact`], for a stream that comes line by line.
    fn redact_line(&self, line: &[u8], _open: &mut OpenBlock) -> Option<(Vec<u8>, Vec<String>)> {
        self.redact(line)
    }

    /// How many secrets were learned so far. Text that was redacted at a smaller number may hold one.
    fn learned(&self) -> usize {
        0
    }
}
