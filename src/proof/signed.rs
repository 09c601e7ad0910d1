//! A record and the signature of the principal who answers for it.
//!
//! Guarantees: what is signed is, under a name of its own for each kind of record, the signer's name and every byte of the
//! record, each preceded by its length; a record counts only where a key that the principal has now signed it, while the
//! principal was and is valid and has the role. Every signature of a record is made and checked in this file.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::approval::{Principals, Role};
use crate::home::{Accounts, Trust};
use crate::vocab::{
    Digest, EngineId, PrincipalName, PublicKey, SealingKey, Signature, Timestamp, strict_json,
};

/// A kind of record.
pub trait Record: Serialize + DeserializeOwned {
    /// What the signed bytes begin with; no other signature of this program begins so.
    const DOMAIN: &'static str;
    /// The role that its signer must have.
    const ROLE: Role;
    /// The name of its file.
    fn file_name(&self) -> String;
    /// The engine that it is about.
    fn engine(&self) -> &EngineId;
    /// When it was signed, by the signer's word.
    fn at(&self) -> Timestamp;
    /// Whether it makes sense; the error is a sentence.
    fn well_formed(&self) -> Result<(), String>;
}

/// A record as it lies in its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed<T> {
    /// What is said.
    pub record: T,
    /// Who says so.
    pub by: PrincipalName,
    /// Id of the key that signed.
    pub key: Digest,
    /// Over the name of the kind, the signer's name and the record.
    pub signature: Signature,
}

/// Why a record could not be made or kept.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It says something that makes no sense, or that cannot count.
    #[error("{0}")]
    Refused(String),
    /// It could not be written as JSON.
    #[error("the record could not be put into JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The file system said no.
    #[error("{path}: {act} failed: {source}")]
    Io {
        /// Which file.
        path: std::path::PathBuf,
        /// What was tried.
        act: &'static str,
        /// Why.
        source: std::io::Error,
    },
}

/// What records are held against.
#[derive(Debug, Clone, Copy)]
pub struct HeldAgainst<'a> {
    /// The file of principals as it is now.
    pub principals: &'a Principals,
    /// The OS accounts, so that who ran something is known under every name.
    pub accounts: &'a Accounts,
    /// Whose seals on evidence count.
    pub trust: &'a Trust,
    /// This machine's sealing key, which never signs a record.
    pub sealing_key: &'a PublicKey,
    /// The moment.
    pub now: Timestamp,
}

/// Signs `record` with a principal's key.
pub fn sign<T: Record>(record: T, by: &PrincipalName, key: &SealingKey) -> Result<Signed<T>, RecordError> {
    record.well_formed().map_err(RecordError::Refused)?;
    let signature = key.sign(&message(&record, by)?);
    Ok(Signed { record, by: by.clone(), key: key.public().key_id(), signature })
}

fn message<T: Record>(record: &T, by: &PrincipalName) -> Result<Vec<u8>, serde_json::Error> {
    let record = serde_json::to_vec(record)?;
    let mut bytes = Vec::new();
    for field in [T::DOMAIN.as_bytes(), by.as_str().as_bytes(), &record] {
        bytes.extend((field.len() as u64).to_be_bytes());
        bytes.extend(field);
    }
    Ok(bytes)
}

impl<T: Record> Signed<T> {
    /// The file's bytes.
    pub fn render(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        Ok(text)
    }

    /// Reads exactly what [`Signed::render`] writes.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let signed: Self = strict_json(bytes).map_err(|error| format!("it does not read: {error}"))?;
        let canonical = signed.render().map_err(|error| error.to_string())?;
        if canonical == bytes {
            Ok(signed)
        } else {
            Err("it is not in the one form that is written here".to_owned())
        }
    }

    /// Whether it counts for `engine` now; the error is a sentence.
    pub fn holds(&self, engine: &EngineId, against: &HeldAgainst<'_>) -> Result<(), String> {
        if self.record.engine() != engine {
            return Err(format!("it is about the engine `{}`", self.record.engine()));
        }
        self.record.well_formed()?;
        may_sign(&self.by, self.key, T::ROLE, &[self.record.at(), against.now], against)?;
        if self.record.at() > against.now {
            return Err(format!("it is of a time to come, {}", self.record.at()));
        }
        let key = against.principals.find(&self.by).and_then(|principal| principal.key(self.key));
        let message = message(&self.record, &self.by).map_err(|error| error.to_string())?;
        if key.is_some_and(|key| key.verifies(&message, &self.signature)) {
            Ok(())
        } else {
            Err(format!("the signature of `{}` does not hold: it was altered", self.by))
        }
    }
}

/// Whether `by` may sign with `key` what takes `role`, at each of `moments`; the error is a sentence.
pub(super) fn may_sign(
    by: &PrincipalName,
    key: Digest,
    role: Role,
    moments: &[Timestamp],
    against: &HeldAgainst<'_>,
) -> Result<(), String> {
    if key == against.sealing_key.key_id() {
        return Err("it is signed with the sealing key, which is never a principal's".to_owned());
    }
    let principal =
        against.principals.find(by).ok_or_else(|| format!("`{by}`, who signed it, is not a principal"))?;
    if principal.key(key).is_none() {
        return Err(format!("it is signed with a key that is not one of `{by}`"));
    }
    if !principal.roles.contains(&role) {
        let role = match role {
            Role::Submit => "submit",
            Role::Approve => "approve",
            Role::Operate => "operate",
        };
        return Err(format!("`{by}`, who signed it, does not have role `{role}`"));
    }
    match moments.iter().find(|moment| !principal.valid_at(**moment)) {
        Some(moment) => Err(format!("`{by}`, who signed it, is not valid at {moment}")),
        None => Ok(()),
    }
}
