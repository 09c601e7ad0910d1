//! What a run was asked with, kept beside its record, so that a later attempt is asked the same.
//!
//! It lies in the private state folder and holds no secret: whoever keeps one looks for secrets first. It is written
//! once, and names the contract's digest, so that another contract at the same place is not taken for this one.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::live::io;
use super::{LiveRun, RunRecord, RunState, Store, StoreError};
use crate::vocab::{Digest, EngineId};

const NAME: &str = "request.json";

/// The words of one `cto run`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptRequest {
    /// The contract, as it was named.
    pub input: KeptInput,
    /// Digest of the sealed contract.
    pub contract: Digest,
    /// The caller's folder.
    pub cwd: PathBuf,
    /// The engine that was named.
    pub engine: Option<EngineId>,
    /// Where bundles go.
    pub out: Option<PathBuf>,
    /// Whether it was to learn.
    pub learn: bool,
}

/// Where the contract came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeptInput {
    /// A file, or a fixture's folder.
    Path(PathBuf),
    /// Its text, from standard input.
    Text(String),
}

impl LiveRun {
    /// Keeps what the run was asked with.
    pub fn keep_request(&self, request: &KeptRequest) -> Result<(), StoreError> {
        let path = self.dir.join(NAME);
        let bytes = serde_json::to_vec(request).map_err(|e| io("written", &path, e.into()))?;
        std::fs::write(&path, bytes).map_err(|e| io("written", &path, e))
    }
}

impl Store {
    /// What the run was asked with; `None` where it was not kept.
    pub fn kept(&self, record: &RunRecord) -> Result<Option<KeptRequest>, StoreError> {
        let path = self.runs.join(record.run_id.as_str()).join(NAME);
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|source| StoreError::Damaged { path, source }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(io("read", &path, e)),
        }
    }

    /// Whether nobody works on the run, and somebody can go on with it.
    pub fn can_go_on(&self, record: &RunRecord) -> Result<bool, StoreError> {
        let over = match record.run_state {
            RunState::Incomplete => true,
            RunState::Running => {
                !self.lives(&record.run_id)? && !record.bundle.join(crate::evidence::ROOT).exists()
            }
            RunState::Sealed { .. } | RunState::GivenUp | RunState::Unrecorded => false,
        };
        Ok(over && record.bundle.is_dir() && self.kept(record)?.is_some())
    }
}
