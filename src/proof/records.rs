//! The five kinds of record: what opens the proof, what is admitted, under which licence, enabled, and promoted.
//!
//! Plain data with its bounds. Each binds what it rests on by digest, so that a change of the one ends the other.

use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

use super::folder::{ADMISSION, ENABLING, GATE, LICENCE, promotion_name};
use super::installation::{Object, Objects, tree_digest};
use super::signed::Record;
use crate::approval::Role;
use crate::vocab::{Digest, EngineId, GitId, MutationMode, PrincipalName, RunId, Stage, Timestamp};

/// Bytes of a text in a record.
const TEXT_BYTES: usize = 4_096;
/// Bundles that a promotion may ask for.
const MOST_BUNDLES: u32 = 64;

/// What opens the staged proof of an engine: which stages there are, and what each of them takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateRecord {
    /// The engine.
    pub engine: EngineId,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// The stages that can be earned, in order, each above `default-deny`.
    pub stages: Vec<StageRule>,
    /// Who may promote; empty: every principal with role `approve`.
    pub promoters: Vec<PrincipalName>,
    /// When everything that was earned under it ends.
    pub expires_at: Timestamp,
}

/// A stage that can be earned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageRule {
    /// Which.
    pub stage: Stage,
    /// How many passing bundles of the stage before it takes to get there.
    pub bundles: u32,
}

/// What of an engine was admitted: every file of one installation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdmissionRecord {
    /// The engine.
    pub engine: EngineId,
    /// When it was looked at.
    pub admitted_at: Timestamp,
    /// Where it is from.
    pub origin: String,
    /// The commit that was looked at there.
    pub commit: GitId,
    /// Its tree.
    pub tree: GitId,
    /// What it runs on, with the version.
    pub runtime: String,
    /// Where it lay when it was looked at; `[engines.<id>] installation` of the configuration says where it lies elsewhere.
    pub installation: String,
    /// The program in it.
    pub program: String,
    /// The file that the program is given, where it takes one.
    pub entry: Option<String>,
    /// Digest of `files`.
    pub tree_digest: Digest,
    /// Everything in it.
    pub files: Objects,
}

/// Under which licence the admitted installation may be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LicenceNote {
    /// The engine.
    pub engine: EngineId,
    /// When it was noted.
    pub noted_at: Timestamp,
    /// The admitted installation that it is about.
    pub tree_digest: Digest,
    /// Its SPDX id; `NOASSERTION` where it has none.
    pub spdx: String,
    /// What an operator decided, where the id alone resolves nothing.
    pub decision: Option<String>,
    /// The widest mode in which it may be used.
    pub widest_mode: MutationMode,
    /// When the note ends; a decision always does.
    pub expires_at: Option<Timestamp>,
}

/// Whether the admitted installation may be used at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnablingRecord {
    /// The engine.
    pub engine: EngineId,
    /// When that was said.
    pub said_at: Timestamp,
    /// The admitted installation that it is about.
    pub tree_digest: Digest,
    /// Yes or no.
    pub enabled: bool,
}

/// That a stage was earned, by which evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromotionRecord {
    /// The engine.
    pub engine: EngineId,
    /// When it was promoted.
    pub promoted_at: Timestamp,
    /// The stage that the evidence is of.
    pub from: Stage,
    /// The stage that was earned.
    pub to: Stage,
    /// Digest of the proof gate record under which.
    pub gate: Digest,
    /// Digest of the admission record.
    pub admission: Digest,
    /// Digest of the program.
    pub program: Digest,
    /// Digest of adapter and manifest.
    pub adapter: Digest,
    /// The bundles, which lie beside the record.
    pub evidence: Vec<EvidenceRef>,
}

/// One bundle that a promotion rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceRef {
    /// Digest of its root.
    pub root: Digest,
    /// Its run.
    pub run_id: RunId,
    /// Digest of its contract.
    pub contract: Digest,
    /// The tree that it worked on.
    pub base_tree: GitId,
}

fn text(name: &str, text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        Err(format!("`{name}` is empty"))
    } else if text.len() > TEXT_BYTES {
        Err(format!("`{name}` has more than {TEXT_BYTES} bytes"))
    } else if crate::vocab::shown(text) != text {
        Err(format!("`{name}` holds characters that are not shown"))
    } else {
        Ok(())
    }
}

impl Record for GateRecord {
    const DOMAIN: &'static str = "cto-proof-gate-v1";
    const ROLE: Role = Role::Operate;
    fn file_name(&self) -> String {
        GATE.to_owned()
    }
    fn engine(&self) -> &EngineId {
        &self.engine
    }
    fn at(&self) -> Timestamp {
        self.opened_at
    }
    fn well_formed(&self) -> Result<(), String> {
        if self.expires_at <= self.opened_at {
            return Err("it ends before it begins".to_owned());
        }
        let mut before = Stage::DefaultDeny;
        for (index, rule) in self.stages.iter().enumerate() {
            if rule.stage <= before {
                return Err(format!("stage `{}` does not come after `{before}`", rule.stage));
            }
            if !(1..=MOST_BUNDLES).contains(&rule.bundles) {
                return Err(format!("stage `{}` takes 1 to {MOST_BUNDLES} bundles", rule.stage));
            }
            if index == 0 && rule.bundles != 1 {
                let why = "the evidence of `default-deny` is the gate matrix, and there is one";
                return Err(format!("stage `{}` takes 1 bundle: {why}", rule.stage));
            }
            before = rule.stage;
        }
        if self.stages.is_empty() { Err("it names no stage".to_owned()) } else { Ok(()) }
    }
}

impl AdmissionRecord {
    /// Digest of the program; `None` where the record names none.
    #[must_use]
    pub fn program_digest(&self) -> Option<Digest> {
        match self.files.get(&self.program)? {
            Object::File { digest, .. } => Some(*digest),
            Object::Link { .. } | Object::Folder { .. } => None,
        }
    }
}

impl Record for AdmissionRecord {
    const DOMAIN: &'static str = "cto-admission-v1";
    const ROLE: Role = Role::Operate;
    fn file_name(&self) -> String {
        ADMISSION.to_owned()
    }
    fn engine(&self) -> &EngineId {
        &self.engine
    }
    fn at(&self) -> Timestamp {
        self.admitted_at
    }
    fn well_formed(&self) -> Result<(), String> {
        text("origin", &self.origin)?;
        text("runtime", &self.runtime)?;
        text("installation", &self.installation)?;
        if !Path::new(&self.installation).is_absolute() {
            return Err("`installation` is a relative path".to_owned());
        }
        if self.tree_digest != tree_digest(&self.files).map_err(|error| error.to_string())? {
            return Err("`tree_digest` is not the digest of `files`".to_owned());
        }
        let plain =
            |path: &String| Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
        if let Some(odd) = self.files.keys().find(|path| !plain(path) || path.is_empty()) {
            return Err(format!("`{}` is not a path in an installation", crate::vocab::shown(odd)));
        }
        match self.files.get(&self.program) {
            Some(Object::File { mode, .. }) if mode & 0o111 != 0 => {}
            Some(Object::File { .. }) => {
                return Err(format!("the program `{}` is not executable", self.program));
            }
            _ => {
                return Err(format!(
                    "the program `{}` is not a regular file of the installation",
                    self.program
                ));
            }
        }
        match &self.entry {
            Some(entry) if !matches!(self.files.get(entry), Some(Object::File { .. })) => {
                Err(format!("the entry `{entry}` is not a regular file of the installation"))
            }
            _ => Ok(()),
        }
    }
}

impl LicenceNote {
    /// What an SPDX id is that says nothing.
    pub const NOTHING: [&'static str; 2] = ["NOASSERTION", "NONE"];

    /// Why the note resolves nothing, where it does not.
    #[must_use]
    pub fn unresolved(&self) -> Option<String> {
        let nothing = Self::NOTHING.contains(&self.spdx.as_str());
        (nothing && self.decision.is_none())
            .then(|| format!("it says `{}`, and no operator decided anything", self.spdx))
    }
}

impl Record for LicenceNote {
    const DOMAIN: &'static str = "cto-licence-v1";
    const ROLE: Role = Role::Operate;
    fn file_name(&self) -> String {
        LICENCE.to_owned()
    }
    fn engine(&self) -> &EngineId {
        &self.engine
    }
    fn at(&self) -> Timestamp {
        self.noted_at
    }
    fn well_formed(&self) -> Result<(), String> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+');
        if self.spdx.is_empty() || self.spdx.len() > 64 || !self.spdx.bytes().all(plain) {
            return Err("`spdx` is not an SPDX licence id".to_owned());
        }
        if let Some(decision) = &self.decision {
            text("decision", decision)?;
        }
        match self.expires_at {
            Some(end) if end <= self.noted_at => Err("it ends before it begins".to_owned()),
            None if self.decision.is_some() => {
                Err("an operator's decision has to end: it has no expiry".to_owned())
            }
            _ => Ok(()),
        }
    }
}

impl Record for EnablingRecord {
    const DOMAIN: &'static str = "cto-enabling-v1";
    const ROLE: Role = Role::Operate;
    fn file_name(&self) -> String {
        ENABLING.to_owned()
    }
    fn engine(&self) -> &EngineId {
        &self.engine
    }
    fn at(&self) -> Timestamp {
        self.said_at
    }
    fn well_formed(&self) -> Result<(), String> {
        Ok(())
    }
}

impl Record for PromotionRecord {
    const DOMAIN: &'static str = "cto-promotion-v1";
    const ROLE: Role = Role::Approve;
    fn file_name(&self) -> String {
        promotion_name(self.to)
    }
    fn engine(&self) -> &EngineId {
        &self.engine
    }
    fn at(&self) -> Timestamp {
        self.promoted_at
    }
    fn well_formed(&self) -> Result<(), String> {
        if self.to <= self.from {
            return Err(format!("`{}` does not come after `{}`", self.to, self.from));
        }
        distinct("root", self.evidence.iter().map(|one| one.root.to_string()))?;
        distinct("contract", self.evidence.iter().map(|one| one.contract.to_string()))?;
        distinct("tree", self.evidence.iter().map(|one| one.base_tree.to_string()))
    }
}

/// Different fixtures: no two bundles of one run, one contract or one tree.
fn distinct(what: &str, all: impl Iterator<Item = String>) -> Result<(), String> {
    let mut seen = std::collections::BTreeSet::new();
    for one in all {
        if seen.contains(&one) {
            return Err(format!(
                "two bundles have the same {what} {one}: they have to be of different fixtures"
            ));
        }
        seen.insert(one);
    }
    Ok(())
}
