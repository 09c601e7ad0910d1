//! What became of the branch that a run may publish: on record beside the run, outside of its sealed bundle.

use serde::{Deserialize, Serialize};

use super::record::{read_record, write_record};
use super::{RunRecord, RunState, Store, StoreError};
use crate::vocab::{GitId, RunId, Verdict};

/// How far it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Publication {
    /// Everything was checked, and it is being written; or whoever wrote it died doing so.
    Begun {
        /// The branch, without `refs/heads/`.
        branch: String,
        /// The commit that it is to name.
        commit: GitId,
    },
    /// The branch is in the target.
    Done {
        /// The branch, without `refs/heads/`.
        branch: String,
        /// The commit that it names.
        commit: GitId,
    },
    /// The run changed nothing, so there is no branch to make.
    Nothing,
    /// It was not made.
    Refused {
        /// Stable: `publish.protected`, `publish.base-moved`, …
        code: String,
        /// Why, one sentence.
        sentence: String,
        /// What to do about it.
        remedy: String,
    },
}

impl RunRecord {
    /// Whether a branch is permitted and due, and is not there by this record.
    #[must_use]
    pub fn publication_is_due(&self) -> bool {
        self.may_commit
            && self.run_state == RunState::Sealed { verdict: Verdict::Pass }
            && !matches!(self.publication, Some(Publication::Done { .. } | Publication::Nothing))
    }
}

impl Store {
    /// Writes down what became of the branch of a run that is over.
    pub fn published(&self, run: &RunId, publication: Publication) -> Result<(), StoreError> {
        let dir = self.runs.join(run.as_str());
        let mut record = read_record(&dir)?.ok_or_else(|| StoreError::Unknown(run.to_string()))?;
        record.publication = Some(publication);
        write_record(&dir, &record)
    }
}
