//! The checked contract: what was asked, with every default filled in and every text verified.
//!
//! A value of these types is always well formed; whether it may run is for the gates. `contract.json` in a
//! bundle is exactly this document, so it reads back into the same value.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::output::Output;
use crate::vocab::{ActionId, Digest, EngineId, Limits, MutationMode, RiskClass, SpendCaps, TaskId};

/// Everything that was asked. Field order is the order in `contract.json`, and thereby part of the digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskContract {
    /// Always `"1"`.
    pub contract_version: String,
    /// The caller's name for the task.
    pub task_id: TaskId,
    /// One line.
    pub title: String,
    /// The whole instruction text (a `{ file }` was read when the contract was sealed).
    pub instructions: String,
    /// An absolute path or a URL.
    pub target_repository: String,
    /// The ref to start from.
    pub base_ref: String,
    /// On whose authority.
    pub authority_basis: Authority,
    /// What could go wrong.
    pub risk_class: RiskClass,
    /// Gitignore-style globs; `None` = not given (a missing gate).
    pub allowed_paths: Option<Vec<String>>,
    /// `None` = not given (a missing gate).
    pub forbidden_actions: Option<Vec<ActionId>>,
    /// What a person must say yes to before it happens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ask_first: Vec<ActionId>,
    /// `None` = not given (a missing gate).
    pub mutation_mode: Option<MutationMode>,
    /// Whether the work tree must be clean.
    pub clean_start: bool,
    /// Whether the contract asks for an approval by itself.
    pub approval_required: bool,
    /// In order.
    pub verification_commands: Vec<VerificationCommand>,
    /// Laid over the tree before every command.
    pub verification_files: Vec<VerificationFile>,
    /// Globs of check files that may change.
    pub may_change_checks: Vec<String>,
    /// Names of configured toolchains.
    pub toolchains: Vec<String>,
    /// Read-only trees.
    pub inputs: Vec<Input>,
    /// What the evidence must hold.
    pub evidence_expectations: Vec<Expectation>,
    /// The engine asked for.
    pub engine: Option<EngineChoice>,
    /// Limits with defaults filled in.
    pub limits: Limits,
    /// Caps on money with defaults filled in.
    pub spend: SpendCaps,
    /// Fields that were given but that this version cannot carry out: `limits.memory`, `permissions.push` …
    pub unsupported: BTreeSet<String>,
    /// Where the run may connect to, `host:port` each, as [`crate::vocab::Destination`] spells them; the operator's
    /// configuration must allow each, too.
    pub network_allow: Vec<String>,
    /// What may leave the harness.
    pub permissions: BTreeSet<Permission>,
    /// Digest of the fixture engine's script.
    pub script: Option<Digest>,
    /// The document that the run hands back. Absent in contracts of harnesses that knew none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Output>,
    /// A note only.
    pub requested_by: Option<String>,
}

/// On whose authority the task was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Authority {
    /// Which kind.
    pub kind: AuthorityKind,
    /// A path (local-planning) or an id.
    pub reference: String,
}

/// The kinds of authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AuthorityKind {
    /// A planning file beside the contract or in the base tree.
    LocalPlanning,
    /// Routed by the platform's core.
    CoreRoute,
    /// A task contract of its own.
    TaskContract,
}

/// One command that shows whether the work is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VerificationCommand {
    /// What is executed. A shell text is `["/bin/sh", "-c", text]`.
    pub argv: Vec<String>,
    /// Seconds.
    pub timeout_seconds: u64,
    /// What must come out.
    pub expect: Expect,
}

/// What must come out of a verification command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Expect {
    /// Status 0 on the patched tree.
    Pass,
    /// A failing status on the base, and 0 on the patched tree.
    FailToPass,
}

impl Expect {
    /// As in contracts and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::FailToPass => "fail-to-pass",
        }
    }
}

/// A file laid over the tree before every verification command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VerificationFile {
    /// Relative path in the tree.
    pub path: String,
    /// Where its bytes come from.
    pub from: FileSource,
}

/// Where a verification file's bytes come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FileSource {
    /// The base tree.
    Base,
    /// A file beside the contract, sealed with it; its bytes are kept in the bundle under `inputs/`.
    Sealed(Digest),
}

/// A read-only tree laid into the work tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Absolute host path.
    pub from: String,
    /// Relative path in the tree.
    pub to: String,
}

/// What the evidence must hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Expectation {
    /// A file of the bundle by name.
    Artifact(String),
    /// Every verification command passed (there is at least one).
    VerificationAll,
    /// The patch changes something.
    PatchNonEmpty,
    /// The patch changes nothing.
    PatchEmpty,
}

/// The engine asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EngineChoice {
    /// Which.
    pub id: EngineId,
    /// Its model, when not the configured one.
    pub model: Option<String>,
}

/// What may leave the harness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Permission {
    /// A branch `cto/<run_id>` in the target.
    Commit,
    /// No executor yet.
    Push,
    /// No executor yet.
    Merge,
    /// No executor yet.
    Deploy,
    /// No executor yet.
    Close,
}
