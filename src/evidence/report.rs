//! `report.json`: what happened, in sections of plain data; `basis` says on what each rests.
//!
//! The verdict is a pure function of these sections (`inspection::conclude`), so that `cto verify` can derive
//! it again from the file alone.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::action_rows::ActionRow;
use super::document::OutputSection;
use super::money::{Spend, Usage};
use super::proof::ProofSection;
use super::times::Times;
use super::work::{PatchSection, VerificationSection};
use crate::vocab::{
    Basis, Digest, LimitName, MutationMode, Reason, RiskClass, RunId, TaskId, Timestamp, Verdict,
};

/// The whole report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Always `"1"`.
    pub report_version: String,
    /// Name and version of the program that wrote it.
    pub harness: String,
    /// On what each field rests: path → basis, of which the longest that begins a field's path counts. Reasons and
    /// withheld files carry their own.
    pub basis: BTreeMap<String, Basis>,
    /// Which run.
    pub run_id: RunId,
    /// Which task.
    pub task_id: TaskId,
    /// Digest of `contract.json`'s contract.
    pub contract_digest: Digest,
    /// The decision's id.
    pub decision_id: Digest,
    /// Risk class.
    pub risk_class: RiskClass,
    /// Mode.
    pub mutation_mode: Option<MutationMode>,
    /// The answer.
    pub verdict: Verdict,
    /// Why; empty only for `pass`.
    pub reasons: Vec<Reason>,
    /// What the verdict is derived from.
    pub sections: Sections,
    /// Every file of the bundle except this one, `report.md`, checkpoints, sums and root: name → digest.
    pub artifacts: BTreeMap<String, Digest>,
    /// What was replaced by a redacted copy.
    pub withheld: Vec<Withheld>,
}

/// Everything that the verdict is derived from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sections {
    /// The gates that refused; not empty means that nothing ran.
    pub refused_gates: Vec<Reason>,
    /// How far the run came.
    pub stage_reached: String,
    /// When.
    pub times: Times,
    /// Who did the work.
    pub engine: Option<EngineSection>,
    /// Layers: requested, and in force.
    pub sandbox: Option<SandboxSection>,
    /// What the kernel executed while the engine ran.
    pub processes: Option<ProcessSection>,
    /// Limits: requested, how they were held, reached.
    pub limits: Vec<LimitRow>,
    /// One row for each forbidden action.
    pub actions: Vec<ActionRow>,
    /// One row for each action that a person has to say yes to first; an attempt is one without that yes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked_first: Vec<ActionRow>,
    /// The change.
    pub patch: Option<PatchSection>,
    /// The second sandbox's answers.
    pub verification: Option<VerificationSection>,
    /// What inspection found in the change.
    pub findings: Vec<Finding>,
    /// Check files that changed, permitted or not.
    pub changes_to_checks: Vec<CheckChange>,
    /// Expectations of the contract.
    pub expectations: Vec<ExpectationRow>,
    /// What the engine said against what was observed.
    pub claims: Vec<ClaimRow>,
    /// Programs that the engine's own process started and never spoke of, the first fifty.
    pub unclaimed: Vec<String>,
    /// Tokens by the engine's word, and what the broker saw.
    pub usage: Usage,
    /// What it cost.
    pub spend: Spend,
    /// Only of a run that was to hand back a document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<OutputSection>,
    /// Only of a run that learns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learning: Option<LearningSection>,
    /// Only of the proof of a gated engine's gates, in which no process is started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<ProofSection>,
    /// Not empty when the run was cut off: `cancelled`, `internal:<code>`; with the sentence.
    pub cut_off: Option<Reason>,
}

/// That a run was to tell what it needs, beside its work (docs/adr/0015).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LearningSection {
    /// The file of the bundle that tells it; `None` where the run ended before.
    pub fragment: Option<String>,
    /// Whether every path and program was told.
    pub whole: bool,
}

/// The tree of programs that the kernel executed below the engine, as its tracer saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProcessSection {
    /// Whether the last attempt's tree was seen to its end, and each program was told.
    pub complete: bool,
    /// How many earlier attempts died with the harness: of each, what was told up to then is here.
    #[serde(default, skip_serializing_if = "super::times::is_zero")]
    pub cut: u64,
    /// Programs that were executed.
    pub executed: u64,
    /// Processes that were made, without threads.
    pub processes: u64,
    /// Programs, in the order in which they were executed.
    pub rows: Vec<ProcessRow>,
    /// How many more there were.
    pub left_out: u64,
    /// System calls that were refused, with how often.
    pub refused_calls: BTreeMap<String, u64>,
    /// Addresses outside that were asked for (connect, sendto), with how often. There is no route to any.
    pub sought: BTreeMap<String, u64>,
}

/// One program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProcessRow {
    /// Number of its process, from 1; a process may execute several programs, one after the other.
    pub process: u64,
    /// Number of the nearest process above it that has executed a program itself; 0: the sandbox's PID 1.
    pub parent: u64,
    /// The file that was executed; of a script, its interpreter.
    pub program: String,
    /// The arguments as the kernel copied them, joined by blanks, cut.
    pub argv: String,
    /// Working folder.
    pub cwd: String,
    /// When it was executed.
    pub started: Timestamp,
    /// When it ended or was replaced.
    pub ended: Option<Timestamp>,
    /// `exited:<code>`, `signal:<number>`, `replaced` by the next row of its process; absent: not seen to end.
    pub status: Option<String>,
}

/// The engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EngineSection {
    /// Its id.
    pub id: String,
    /// What runs: its digest is the version that counts.
    pub program: Digest,
    /// What the package beside the program says of its version, when there is one.
    pub version: Option<String>,
    /// Adapter and manifest.
    pub adapter: Digest,
    /// Version of the adapter.
    pub adapter_version: String,
    /// Model, if any.
    pub model: Option<String>,
    /// Thread id, if it has threads (claimed).
    pub thread_id: Option<String>,
    /// Exit status as the kernel told it: `exited:<code>` or `signal:<number>`; `lost:<why>` when the engine was not held
    /// to its end.
    pub exit: Option<String>,
    /// How the adapter read the end: `completed`, `failed`, `crashed`, `interrupted`.
    pub outcome: EngineOutcome,
    /// The engine's own words for a failure, made visible (claimed).
    pub message: Option<String>,
    /// Record of the check whose files its private home had from the start; absent where it began empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepared_by: Option<Digest>,
}

/// How an engine ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EngineOutcome {
    /// It ended by itself and says that it finished.
    Completed,
    /// It ended by itself and says that it failed or gave up.
    Failed,
    /// It died, or spoke no sense.
    Crashed,
    /// The harness ended it.
    Interrupted,
}

/// The sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SandboxSection {
    /// One row a layer.
    pub layers: Vec<LayerRow>,
    /// `overlay`, `private` or `read-only`.
    pub workspace_form: String,
    /// `own-uid` (a host uid of the run's own) or `caller-uid`.
    pub identity: String,
}

/// A layer of the sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LayerRow {
    /// `namespace.user`, `landlock`, `seccomp`, `capabilities`, …
    pub layer: String,
    /// What was asked for.
    pub requested: String,
    /// What is in force, read back where the kernel tells.
    pub enforced: String,
    /// Whether it is what was asked for.
    pub ok: bool,
}

impl LayerRow {
    /// The layer that shows what happens inside, from before the first program to the end of the tree.
    pub const OBSERVATION: &str = "observation";
}

/// A limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitRow {
    /// Which.
    pub name: LimitName,
    /// What was asked for, in the unit of the name.
    pub requested: u64,
    /// What was in force; `None` where this host could not hold it.
    pub enforced: Option<u64>,
    /// What holds it: a control group, an rlimit, a mount's size, the harness, a watchdog.
    pub held_by: String,
    /// How firmly.
    pub holding: Holding,
    /// When it was reached, in `engine` or `verification`.
    pub reached: Option<LimitReached>,
}

/// How firmly a limit is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Holding {
    /// It cannot be passed.
    Hard,
    /// Passing it is noticed soon, and ends the payload.
    Watched,
}

/// A limit that was reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitReached {
    /// When.
    pub at: Timestamp,
    /// `engine`, or the verification command's name.
    pub during: String,
}

/// What inspection found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// Stable, dotted: `patch.outside-allowed-paths`, `patch.secret`, `patch.special-file` …
    pub code: String,
    /// Path, made visible; empty when it is about the whole.
    pub path: String,
    /// Line in the new file, if known.
    pub line: Option<u64>,
    /// One sentence; never holds a secret.
    pub sentence: String,
    /// What it does to the verdict (`pass` = for information only).
    pub weight: Verdict,
}

/// A check file that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckChange {
    /// Path, made visible.
    pub path: String,
    /// The pattern of the table that names it.
    pub pattern: String,
    /// Whether `may_change_checks` names it.
    pub permitted: bool,
}

/// One expectation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpectationRow {
    /// As in the contract.
    pub expectation: String,
    /// Whether it is met.
    pub met: bool,
}

/// What the engine said against what was observed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimRow {
    /// What was said, made visible.
    pub claim: String,
    /// What was observed: `agrees`, `contradicts: …`, `not observable here`.
    pub observation: String,
}

/// A file whose plain text is nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Withheld {
    /// Name in the bundle of the redacted copy.
    pub name: String,
    /// Digest of the original bytes.
    pub digest: Digest,
    /// Ids of the rules that matched.
    pub rules: Vec<String>,
    /// `observed`.
    pub basis: Basis,
}
