//! What was observed before deciding: plain data, gathered elsewhere.
//!
//! Bound facts are what an approver approves; volatile facts may differ between two runs of one request.
//! A fact that could not be observed says so with its error text, so that its gate is `Errored`, never passed.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::vocab::{
    ApprovalId, Digest, EngineId, GitId, Limits, MicroUsd, MutationMode, PrincipalName, RiskClass, SpendCaps,
    Stage, Timestamp,
};

/// An observation, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Observed<T> {
    /// It was seen.
    Seen(T),
    /// It is not there; the text says what was looked for.
    Absent(String),
    /// Looking failed; the text says how.
    Error(String),
}

/// Everything the gates look at, besides the contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// The engine named by the caller (command line or request), if any.
    pub named_engine: Option<EngineId>,
    /// Whether the caller asks to learn what the run needs: its sandboxes then tell more, and allow the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub learning: bool,
    /// Whether this is the harness's own check of an engine: its contract, a scripted model, no key.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub checking: bool,
    /// Whether this is the proof of a gated engine's gates: the harness's own contract, and the adapter that starts nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub proving: bool,
    /// The target repository.
    pub target: Observed<TargetFacts>,
    /// What to do about a target that was not seen; empty for one that was.
    pub target_remedy: String,
    /// What the registry says of the target.
    pub registry: Observed<RegistryFacts>,
    /// Whether the authority's planning file was found and is a regular file in bounds.
    pub authority: Observed<AuthorityFacts>,
    /// Every registered engine.
    pub engines: BTreeMap<EngineId, EngineFacts>,
    /// What this kernel enforces.
    pub host: Observed<HostFacts>,
    /// Toolchains and inputs named by the contract, under the names of [`super::provision_names`]; one entry
    /// each, and `Absent` blocks.
    pub provisions: BTreeMap<String, Observed<Digest>>,
    /// Digest of configuration that decides (registry policy, gate set, check patterns, limits' ceilings, prices, caps);
    /// without the file of principals.
    pub policy: Digest,
    /// The most that a contract may ask for (part of the policy digest).
    pub ceilings: Limits,
    /// Destinations that the configuration allows runs to connect to (part of the policy digest). Absent in
    /// decisions of harnesses that allowed none.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub network_allow: BTreeSet<String>,
    /// The widest caps on money that a contract may have (part of the policy digest).
    pub spend_ceilings: SpendCaps,
    /// The requester as the harness observed it.
    pub requester: Requester,
    /// Approvals on record for this request digest, already checked against signature and spent list.
    pub approvals: Vec<ApprovalFacts>,
    /// What could not be read and may have been an answer to this request, or may say who is who: with any of
    /// it, nobody can say that the approvals above are all there is.
    pub approval_errors: Vec<String>,
    /// When the facts were gathered.
    pub gathered_at: Timestamp,
}

impl Facts {
    /// Digests of the toolchains and inputs that were seen, by name.
    #[must_use]
    pub fn provision_digests(&self) -> BTreeMap<String, Digest> {
        let seen = |(name, seen): (&String, &Observed<Digest>)| match seen {
            Observed::Seen(digest) => Some((name.clone(), *digest)),
            Observed::Absent(_) | Observed::Error(_) => None,
        };
        self.provisions.iter().filter_map(seen).collect()
    }
}

/// The target repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TargetFacts {
    /// Absolute path of the repository's top.
    pub identity: String,
    /// Pinned base commit.
    pub commit: GitId,
    /// Its tree.
    pub tree: GitId,
    /// Whether it is a fixture (imported by the harness as one commit).
    pub is_fixture: bool,
    /// Paths that make the work tree unclean, at most 20; `None` when not looked at.
    pub dirt: Option<Vec<String>>,
    /// Forms that this version does not read: `shallow`, `submodules`, `lfs`, …; empty is good.
    pub unreadable_forms: Vec<String>,
}

/// What the registry says of the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegistryFacts {
    /// `sandbox` or `owned`.
    pub ownership: Ownership,
    /// Who owns it.
    pub owner: Option<String>,
    /// How much depends on it.
    pub criticality: Option<Criticality>,
}

/// Whose repository it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Ownership {
    /// Made for trying things.
    Sandbox,
    /// Somebody's.
    Owned,
}

/// How much depends on a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Criticality {
    /// Nothing that cannot wait.
    Noncritical,
    /// People depend on it.
    Critical,
}

/// The authority's planning file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthorityFacts {
    /// Digest of the planning file, or of the reference text for the other kinds.
    pub digest: Digest,
}

/// One registered engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EngineFacts {
    /// Whether it must prove itself.
    pub gated: bool,
    /// Digest of adapter and manifest.
    pub adapter: Digest,
    /// The program.
    pub program: Observed<ProgramFacts>,
    /// The model that would be used, if the engine has models.
    pub model: Option<String>,
    /// Whether it can be asked for a document of a given form.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub documents: bool,
    /// Whether running it can cost money, and what bounds it.
    pub spend: SpendFacts,
    /// Whether an operator enabled it (gated engines only).
    pub enabled: bool,
    /// Why the enabling that is on record does not count, where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabling_problem: Option<String>,
    /// What it has earned (gated engines only).
    pub stage: Stage,
    /// The staged proof gate record, without which a gated engine earns nothing. `None` for a built-in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Observed<ProofFacts>>,
    /// The programs that this build's own suite covers; every other one has to be checked first. `None` for an engine
    /// whose program is built with the harness.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub covered: Option<BTreeSet<Digest>>,
    /// What the last check of exactly this program by this adapter showed.
    pub conformance: Observed<ConformanceFacts>,
    /// Admission record (gated engines only).
    pub admission: Observed<AdmissionFacts>,
    /// Licence record (gated engines only).
    pub licence: Observed<LicenceFacts>,
}

/// What a recorded conformance run showed, and for which bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConformanceFacts {
    /// Digest of the record.
    pub record: Digest,
    /// The adapter and manifest that were exercised.
    pub adapter: Digest,
    /// The program that was exercised.
    pub program: Digest,
    /// The evidence interface conforms.
    pub evidence_interface: bool,
    /// The adapter contract is kept.
    pub adapter_contract: bool,
}

/// What an operator's signed proof gate record opens, and how far the promotions on record have led.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProofFacts {
    /// Digest of the signed record.
    pub record: Digest,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Digests of the promotions that count, in the order of their stages.
    pub promotions: Vec<Digest>,
    /// Why the next stage is not earned; `None` where there is none.
    pub held: Option<String>,
}

/// What an operator's signed admission admits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdmissionFacts {
    /// Digest of the signed record (origin, commit, tree, every file of the installation).
    pub record: Digest,
    /// The program it admits.
    pub program: Digest,
}

/// What a licence note resolves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LicenceFacts {
    /// Digest of the note.
    pub record: Digest,
    /// The widest mode in which use is resolved.
    pub widest_mode: MutationMode,
    /// When an operator's decision ends; `None` for an SPDX licence.
    pub expires_at: Option<Timestamp>,
}

/// The program of an engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProgramFacts {
    /// Its digest; it runs from the harness-owned store under this name.
    pub digest: Digest,
    /// What it says its version is, when known.
    pub version: Option<String>,
}

/// What bounds an engine's spending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SpendFacts {
    /// It cannot spend.
    Free,
    /// Its endpoint is on loopback and declared `unpriced` by an operator.
    UnpricedLoopback,
    /// It can spend, at an endpoint that this version does not speak to, so nothing bounds it.
    Unbounded,
    /// It can spend, and no endpoint is configured.
    NoEndpoint,
    /// It spends by prices, against caps.
    Priced(PricedFacts),
}

/// What the price table and the spend ledger say of an engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PricedFacts {
    /// Who is paid, as an operator configured it.
    pub provider: Option<String>,
    /// The row of the model, at its dearest.
    pub price: Observed<PriceFacts>,
    /// Digest of the price table (part of the policy digest).
    pub table: Digest,
    /// The cap of a day, micro-dollars (part of the policy digest).
    pub day_cap_micro_usd: MicroUsd,
    /// What all runs of this day (UTC) count for, micro-dollars.
    pub day_counted_micro_usd: Observed<MicroUsd>,
}

/// The dearest that a model's tokens cost, whatever the tier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceFacts {
    /// Micro-dollars for a million input tokens.
    pub input_micro_usd: MicroUsd,
    /// Micro-dollars for a million output tokens.
    pub output_micro_usd: MicroUsd,
    /// Micro-dollars of the smallest request that is let through: one without input, with the fewest output tokens.
    pub least_micro_usd: MicroUsd,
    /// Where the prices are from, and the day that they were looked up for.
    pub source: String,
}

/// What this kernel enforces, by probing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is one observation of its own")]
pub struct HostFacts {
    /// Namespaces that could be entered: `user`, `mnt`, `pid`, `net`, `ipc`, `uts`, `cgroup`.
    pub namespaces: BTreeSet<String>,
    /// Whether a seccomp filter could be installed.
    pub seccomp: bool,
    /// Landlock ABI that is used, 0 when absent: the kernel's, or a lower one by configuration.
    pub landlock_abi: u32,
    /// What the configuration lowers it to, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub landlock_abi_at_most: Option<u32>,
    /// Whether overlayfs can be mounted.
    pub overlay: bool,
    /// Why a whole sandbox could not be established, when it could not.
    pub refused: Option<SandboxRefusal>,
    /// Whether memory of a whole tree is held by the kernel.
    pub hard_memory: bool,
    /// Whether the number of processes of a whole tree is held by the kernel.
    pub hard_processes: bool,
}

/// What stands against a sandbox on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SandboxRefusal {
    /// The layer and the act that was refused, with the kernel's answer.
    pub why: String,
    /// What to do about it.
    pub remedy: String,
}

/// Who asked, as the harness saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Requester {
    /// OS account, `uid:name`.
    pub account: String,
    /// The principal whose accounts list it.
    pub principal: Option<PrincipalName>,
    /// The account that runs the harness owns the file of principals; also `true` when its owner is unknown.
    pub owns_principals: bool,
    /// The harness runs as root.
    pub is_root: bool,
}

/// One approval that was found, and what checking it showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalFacts {
    /// Which.
    pub id: ApprovalId,
    /// By whom.
    pub by: PrincipalName,
    /// What it approves.
    pub request_digest: Digest,
    /// The mode it approves.
    pub mode: MutationMode,
    /// The risk class it approves.
    pub risk: RiskClass,
    /// Until when.
    pub expires_at: Timestamp,
    /// Yes or no.
    pub answer: ApprovalAnswer,
    /// A person's signature, or policy; only a person counts for the gate.
    pub granted_by: Grantor,
    /// Id of the key that signed; `None` when no key of the principal verified it.
    pub key: Option<Digest>,
    /// Why it does not count: bad signature, expired, spent, self-granted, role missing …; empty = counts.
    pub refused: Vec<String>,
}

/// What an approver answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ApprovalAnswer {
    /// Yes.
    Grant,
    /// No.
    Deny,
}

/// Who stands behind an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Grantor {
    /// A principal's own signature.
    Human,
    /// A rule; recorded, never counted by the gate.
    Policy,
}
