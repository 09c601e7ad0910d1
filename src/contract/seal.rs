//! The seal: a checked contract, its exact bytes, and the files it brought along.
//!
//! `contract.json` is canonical: the type's own field order, two blanks of indentation, one newline at the
//! end. Equal contracts therefore have equal digests, whether they were written in JSON or TOML.

use std::collections::BTreeMap;

use super::actions::Action;
use super::error::{Complaint, ContractError};
use super::globs::PathGlobs;
use super::limits;
use super::model::TaskContract;
use super::rules;
use crate::vocab::Digest;

/// The bytes of files that a contract named beside itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attachments {
    /// By path in the tree; only files with `from` other than `base`.
    pub verification_files: BTreeMap<String, Vec<u8>>,
    /// The fixture engine's script.
    pub script: Option<Vec<u8>>,
}

/// A contract that nobody can change any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedContract {
    task: TaskContract,
    document: Vec<u8>,
    digest: Digest,
    attachments: Attachments,
}

impl SealedContract {
    pub(super) fn seal(task: TaskContract, attachments: Attachments) -> Result<Self, ContractError> {
        let mut document =
            serde_json::to_vec_pretty(&task).map_err(|error| not_sealed(&error.to_string()))?;
        document.push(b'\n');
        Ok(Self { digest: Digest::of(&document), task, document, attachments })
    }

    /// From the `contract.json` of a bundle. Strict: exactly the bytes that [`Self::document`] gave, with every
    /// glob and action well formed. Attachments are empty.
    pub fn reopen(contract_json: &[u8]) -> Result<Self, ContractError> {
        if contract_json.len() > super::source::MAX_CONTRACT_BYTES {
            return Err(not_sealed("it is larger than any contract"));
        }
        let task: TaskContract =
            serde_json::from_slice(contract_json).map_err(|error| not_sealed(&error.to_string()))?;
        well_formed(&task)?;
        let sealed = Self::seal(task, Attachments::default())?;
        if sealed.document != contract_json {
            return Err(not_sealed("it is not in canonical form"));
        }
        Ok(sealed)
    }

    /// What was asked.
    #[must_use]
    pub fn task(&self) -> &TaskContract {
        &self.task
    }

    /// Digest of [`Self::document`].
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The exact bytes of `contract.json`.
    #[must_use]
    pub fn document(&self) -> &[u8] {
        &self.document
    }

    /// The files it brought along; empty when reopened.
    #[must_use]
    pub fn attachments(&self) -> &Attachments {
        &self.attachments
    }
}

/// What the door made sure of and later stages rely on, asked again of a document from elsewhere.
fn well_formed(task: &TaskContract) -> Result<(), ContractError> {
    for list in task.allowed_paths.iter().chain([&task.may_change_checks]) {
        PathGlobs::new(list).map_err(|error| not_sealed(&error.to_string()))?;
    }
    for action in task.forbidden_actions.iter().flatten() {
        Action::parse(action).map_err(|error| not_sealed(&error.to_string()))?;
    }
    let files = task.verification_files.iter().map(|file| &file.path);
    for path in files.chain(task.inputs.iter().map(|input| &input.to)) {
        rules::tree_path(path).map_err(|why| not_sealed(&format!("the path `{path}` {why}")))?;
    }
    for command in &task.verification_commands {
        if command.argv.first().is_none_or(String::is_empty) || command.timeout_seconds == 0 {
            return Err(not_sealed("a verification command has no program or no time"));
        }
    }
    if task.contract_version != "1"
        || limits::rows(&mut task.limits.clone()).iter().any(|(_, value)| **value == 0)
    {
        return Err(not_sealed("its version is not 1, or a limit is zero"));
    }
    Ok(())
}

fn not_sealed(why: &str) -> ContractError {
    ContractError::NotSealed(Box::new(Complaint {
        source: "contract.json".to_owned(),
        position: None,
        excerpt: None,
        field: None,
        sentence: format!("this is not a sealed contract: {why}"),
        remedy: "use the file of a bundle as it was written".to_owned(),
    }))
}
