//! `report.json`: what happened, in sections of plain data, each of which was observed unless it says claimed.
//!
//! The verdict is a pure function of these sections (`inspection::conclude`), so that `cto verify` can derive
//! it again from the file alone.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::vocab::{
    Basis, Digest, GitId, LimitName, MutationMode, Reason, RiskClass, RunId, TaskId, Timestamp, Verdict,
};

/// The whole report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Always `"1"`.
    pub report_version: String,
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
    /// Limits: requested, how they were held, reached.
    pub limits: Vec<LimitRow>,
    /// One row for each forbidden action.
    pub actions: Vec<ActionRow>,
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
    /// Tokens by the engine's word, and what the broker saw.
    pub usage: Usage,
    /// Not empty when the run was cut off: `cancelled`, `internal:<code>`; with the sentence.
    pub cut_off: Option<Reason>,
}

/// When things happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Times {
    /// Run folder made.
    pub started: Timestamp,
    /// Report written.
    pub finished: Timestamp,
}

/// The engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EngineSection {
    /// Its id.
    pub id: String,
    /// What runs.
    pub program: Digest,
    /// Adapter and manifest.
    pub adapter: Digest,
    /// Model, if any.
    pub model: Option<String>,
    /// Thread id, if it has threads (claimed).
    pub thread_id: Option<String>,
    /// Exit status as the kernel told it: `exited:<code>` or `signal:<number>`.
    pub exit: Option<String>,
    /// How the adapter read the end: `completed`, `failed`, `crashed`, `interrupted`.
    pub outcome: EngineOutcome,
    /// The engine's own words for a failure, made visible (claimed).
    pub message: Option<String>,
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

/// A limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitRow {
    /// Which.
    pub name: LimitName,
    /// Its value, in the unit of the name.
    pub value: u64,
    /// What holds it: `rlimit`, `watchdog`, `tmpfs`, `patch`.
    pub held_by: String,
    /// When it was reached, in `engine` or `verification`.
    pub reached: Option<LimitReached>,
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

/// A forbidden action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActionRow {
    /// Its id.
    pub action: String,
    /// What stops it.
    pub enforced_by: String,
    /// Whether attempts can be seen here: else `not observable here`.
    pub observable: bool,
    /// Attempts seen, made visible; at most 20.
    pub attempts: Vec<String>,
    /// Attempts that were seen and are not listed.
    pub left_out: u64,
}

/// The change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PatchSection {
    /// Base commit.
    pub base_commit: GitId,
    /// Base tree.
    pub base_tree: GitId,
    /// Result tree; `None` when something is withheld.
    pub result_tree: Option<GitId>,
    /// Changed paths with kinds.
    pub files: Vec<ChangedFile>,
    /// Paths left out because the base tree ignores them.
    pub ignored: u64,
    /// Digest of `patch.diff` before anything was withheld.
    pub digest: Digest,
    /// Lines added.
    pub added_lines: u64,
    /// Lines removed.
    pub removed_lines: u64,
}

/// One changed path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangedFile {
    /// Path, made visible.
    pub path: String,
    /// What happened to it.
    pub change: ChangeKind,
    /// The old path of a rename, made visible.
    pub from: Option<String>,
    /// Git mode before, octal.
    pub old_mode: Option<String>,
    /// Git mode after, octal.
    pub new_mode: Option<String>,
    /// Whether it is binary.
    pub binary: bool,
    /// Size after, bytes.
    pub size: u64,
}

/// What happened to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// New.
    Added,
    /// Other content.
    Modified,
    /// Gone.
    Deleted,
    /// Same content, other mode.
    ModeChanged,
    /// Moved, possibly with changes.
    Renamed,
    /// From file to link or back.
    TypeChanged,
}

/// The second sandbox's answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VerificationSection {
    /// One row a command, in order.
    pub commands: Vec<CommandRow>,
    /// Whether every layer of the second sandbox was in force.
    pub sandbox_ok: bool,
}

/// One verification command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandRow {
    /// As in the contract, made visible.
    pub command: String,
    /// `pass` or `fail-to-pass`.
    pub expect: String,
    /// On the base tree (`fail-to-pass` only).
    pub on_base: Option<CommandResult>,
    /// On the patched tree.
    pub on_result: Option<CommandResult>,
    /// The conclusion.
    pub outcome: CommandOutcome,
}

/// One execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandResult {
    /// `exited:<code>`, `signal:<n>`, `timeout`, `limit:<name>`, `not-started:<why>`.
    pub status: String,
    /// Microseconds.
    pub micros: u64,
}

/// The conclusion for one command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CommandOutcome {
    /// As expected.
    Passed,
    /// It ran and said no.
    Failed,
    /// It could not give an answer.
    Errored,
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

/// Tokens and calls.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    /// Input tokens by the engine's word.
    pub claimed_input_tokens: Option<u64>,
    /// Output tokens by the engine's word.
    pub claimed_output_tokens: Option<u64>,
    /// Model calls that the broker forwarded.
    pub forwarded_calls: u64,
    /// Requests that the broker refused.
    pub refused_calls: u64,
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
