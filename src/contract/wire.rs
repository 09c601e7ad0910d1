//! What a caller may write: strict structs with exactly the fields of SPEC §3.
//!
//! Unknown fields and wrong types are refused here; whether a value makes sense is checked afterwards. The
//! JSON Schema of these structs is `evidence/schema/contract.schema.json`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::alternatives::{Amount, EngineText, ExpectationText, Instructions, Run, SourceText};
use super::model::{AuthorityKind, Expect, Permission};
use super::output::Output;
use crate::vocab::{ActionId, MutationMode, RiskClass, TaskId};

/// A task contract as it is written, in JSON or TOML.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TaskContractWire {
    /// Always `"1"`.
    #[schemars(extend("const" = "1"))]
    pub(super) contract_version: String,
    /// The caller's name for the task; never used as a path.
    pub(super) task_id: TaskId,
    /// One line of at most 200 characters.
    pub(super) title: String,
    /// What to do: a text, or a file beside the contract.
    pub(super) instructions: Instructions,
    /// A path (a relative one starts at the contract's folder) or a registered URL.
    pub(super) target_repository: String,
    /// The ref to start from; `HEAD` when not given.
    pub(super) base_ref: Option<String>,
    /// On whose authority.
    pub(super) authority_basis: AuthorityWire,
    /// What could go wrong.
    pub(super) risk_class: RiskClass,
    /// Gitignore-style globs without `!`. Not given = a missing gate.
    pub(super) allowed_paths: Option<Vec<String>>,
    /// Ids of the table, `command:<glob>`, `path:<glob>`. Not given = a missing gate.
    pub(super) forbidden_actions: Option<Vec<ActionId>>,
    /// Actions that a person must say yes to before they happen, in the same words; none when not given.
    pub(super) ask_first: Option<Vec<ActionId>>,
    /// How far the run may reach. Not given = a missing gate.
    pub(super) mutation_mode: Option<MutationMode>,
    /// Whether the work tree must be clean; true when not given.
    pub(super) clean_start: Option<bool>,
    /// Whether the contract asks for an approval by itself.
    pub(super) approval_required: bool,
    /// What shows that the work is done, in order.
    pub(super) verification_commands: Vec<CommandWire>,
    /// Files laid over the tree before every command; none when not given.
    pub(super) verification_files: Option<Vec<VerificationFileWire>>,
    /// Globs of check files that may change; none when not given.
    pub(super) may_change_checks: Option<Vec<String>>,
    /// Names of configured toolchains; none when not given.
    pub(super) toolchains: Option<Vec<String>>,
    /// Read-only trees; none when not given.
    pub(super) inputs: Option<Vec<InputWire>>,
    /// What the evidence must hold.
    pub(super) evidence_expectations: Vec<ExpectationText>,
    /// The engine: an id, or an id and a model.
    pub(super) engine: Option<EngineText>,
    /// Bounds that differ from the defaults.
    pub(super) limits: Option<LimitsWire>,
    /// Ways out besides the engine's own; none when not given.
    pub(super) network: Option<NetworkWire>,
    /// What may leave the harness; nothing when not given.
    pub(super) permissions: Option<Vec<Permission>>,
    /// A file beside the contract, for the engine `fixture` only.
    pub(super) script: Option<String>,
    /// The document that a run in mode `none` hands back; none when not given.
    pub(super) output: Option<Output>,
    /// A note only.
    pub(super) requested_by: Option<String>,
}

/// On whose authority the task is asked.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AuthorityWire {
    /// Which kind.
    pub(super) kind: AuthorityKind,
    /// A path beside the contract or in the base tree (`local-planning`), or an id.
    pub(super) reference: String,
}

/// One verification command.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CommandWire {
    /// A list of arguments, or a text for `/bin/sh -c`.
    pub(super) run: Run,
    /// Whole seconds; the default when not given.
    pub(super) timeout: Option<Amount>,
    /// What must come out; `pass` when not given.
    pub(super) expect: Option<Expect>,
}

/// A file laid over the tree before every verification command.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct VerificationFileWire {
    /// Relative path in the tree.
    pub(super) path: String,
    /// `base`, or a file beside the contract.
    pub(super) from: SourceText,
}

/// A read-only tree laid into the work tree.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct InputWire {
    /// Path on this machine; a relative one starts at the contract's folder.
    pub(super) from: String,
    /// Relative path in the tree.
    pub(super) to: String,
}

/// Ways out besides the engine's own.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NetworkWire {
    /// `host:port` each: a lower-case name with a dot in it, or an IP address.
    pub(super) allow: Vec<String>,
}

/// Bounds. Whole seconds, bytes or counts, as the name says; none is zero.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitsWire {
    /// Wall time of the engine, seconds.
    pub(super) wall_seconds: Option<Amount>,
    /// Longest time without output, seconds.
    pub(super) idle_seconds: Option<Amount>,
    /// CPU time of one process, seconds.
    pub(super) cpu_seconds: Option<Amount>,
    /// Bytes on standard output and standard error together.
    pub(super) output_bytes: Option<Amount>,
    /// Processes and threads.
    pub(super) processes: Option<Amount>,
    /// Open files of one process.
    pub(super) open_files: Option<Amount>,
    /// Bytes of one file.
    pub(super) file_bytes: Option<Amount>,
    /// Changed files in the patch.
    pub(super) changed_files: Option<Amount>,
    /// Bytes of the private `/tmp`.
    pub(super) tmp_bytes: Option<Amount>,
    /// Bytes of the private `/dev/shm`.
    pub(super) shm_bytes: Option<Amount>,
    /// Seconds between the polite and the final signal.
    pub(super) grace_seconds: Option<Amount>,
    /// Time that a person has to answer what `ask_first` marks, seconds.
    pub(super) answer_seconds: Option<Amount>,
    /// CPU time of the whole tree, seconds.
    pub(super) tree_cpu_seconds: Option<Amount>,
    /// Memory of the whole tree, bytes; `/tmp` and `/dev/shm` count.
    pub(super) memory_bytes: Option<Amount>,
    /// Bytes on disk in the work tree, beyond its base.
    pub(super) disk_bytes: Option<Amount>,
    /// Files, folders and links in the work tree, beyond its base.
    pub(super) inodes: Option<Amount>,
    /// Size of the patch, bytes.
    pub(super) patch_bytes: Option<Amount>,
    /// Model tokens. Not supported yet.
    pub(super) tokens: Option<Amount>,
    /// Caps on money.
    pub(super) spend: Option<SpendWire>,
}

/// Caps on money, as decimal texts like `"2.50"`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SpendWire {
    /// For this run.
    pub(super) run_usd: Option<super::alternatives::Usd>,
    /// For the engine's thread.
    pub(super) thread_usd: Option<super::alternatives::Usd>,
}
