//! Two sections of `report.json`: the change, and what the second sandbox answered about it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::vocab::{Digest, GitId};

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
    /// Path, made visible on one line: a backslash begins an escape.
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
