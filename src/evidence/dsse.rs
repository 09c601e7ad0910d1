//! The root of a bundle: one in-toto Statement v1 in one DSSE envelope.
//!
//! The envelope has one layout, byte for byte, so that a shell script can read it and a second spelling of the
//! same envelope is refused. Signatures are over the DSSE pre-authentication encoding of the raw payload.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::vocab::{
    Digest, GitId, PublicKey, RunId, SealingKey, Signature, TaskId, Timestamp, Verdict, base64,
};

/// DSSE payload type of in-toto statements.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// Type of in-toto statements, version 1.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// What the root says, and in which version.
pub const PREDICATE_TYPE: &str = "urn:cto-harness:evidence-root:v1";

/// An in-toto Statement v1 about a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RootStatement {
    /// [`STATEMENT_TYPE`].
    #[serde(rename = "_type")]
    pub kind: String,
    /// `SHA256SUMS` first, then every file that it lists, in its order.
    pub subject: Vec<Subject>,
    /// [`PREDICATE_TYPE`].
    #[serde(rename = "predicateType")]
    pub predicate_type: String,
    /// What the bundle says as a whole.
    pub predicate: RootPredicate,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// Its name in the bundle.
    pub name: String,
    /// Its digest.
    pub digest: SubjectDigest,
}

/// in-toto's `DigestSet` with the one algorithm in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SubjectDigest {
    /// 64 hex digits.
    pub sha256: String,
}

/// What the bundle says as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RootPredicate {
    /// Which run.
    pub run_id: RunId,
    /// Which task.
    pub task_id: TaskId,
    /// The event log.
    pub events: EventsRoot,
    /// Digest of the contract.
    pub contract: Digest,
    /// The decision's id.
    pub decision: Digest,
    /// Digest of the policy that decided.
    pub policy: Digest,
    /// Version of the required set of gates.
    pub gate_set: u32,
    /// Commit the run started from, when one was found.
    pub base_commit: Option<GitId>,
    /// Its tree.
    pub base_tree: Option<GitId>,
    /// Tree with the patch applied; `None` when there is none or something is withheld.
    pub result_tree: Option<GitId>,
    /// Programs that ran or decided: name → digest.
    pub programs: BTreeMap<String, Digest>,
    /// The answer.
    pub verdict: Verdict,
    /// Version of the program that wrote the bundle.
    pub harness: String,
    /// When it was sealed.
    pub sealed_at: Timestamp,
}

/// The event log's size and root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventsRoot {
    /// Number of events.
    pub count: u64,
    /// RFC 6962 root over the lines without their newlines.
    pub root: Digest,
}

/// A DSSE envelope as it was read: not yet believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Raw payload.
    pub payload: Vec<u8>,
    /// The name of the signing key.
    pub key_id: Digest,
    signature: Signature,
}

/// Why an envelope could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("root.dsse.json is not a DSSE envelope of the one layout that is written here")]
pub struct EnvelopeError;

/// What is signed: DSSE's pre-authentication encoding.
#[must_use]
pub fn pae(payload: &[u8]) -> Vec<u8> {
    let mut out = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), payload.len()).into_bytes();
    out.extend(payload);
    out
}

impl Envelope {
    /// Signs `payload`.
    #[must_use]
    pub fn signed(payload: Vec<u8>, key: &SealingKey) -> Self {
        let signature = key.sign(&pae(&payload));
        Self { payload, key_id: key.public().key_id(), signature }
    }

    /// The file's text: five lines.
    #[must_use]
    pub fn render(&self) -> String {
        let (payload, signature) = (base64::encode(&self.payload), base64::encode(self.signature.bytes()));
        format!(
            "{{\n\"payloadType\":\"{PAYLOAD_TYPE}\",\n\"payload\":\"{payload}\",\n\
             \"signatures\":[{{\"keyid\":\"{}\",\"sig\":\"{signature}\"}}]\n}}\n",
            self.key_id
        )
    }

    /// Reads exactly what [`Envelope::render`] writes.
    pub fn parse(text: &str) -> Result<Self, EnvelopeError> {
        let parse = || {
            let mut lines = text.split('\n');
            let (_, _, payload, signature) = (lines.next()?, lines.next()?, lines.next()?, lines.next()?);
            let payload = payload.strip_prefix("\"payload\":\"")?.strip_suffix("\",")?;
            let signature = signature.strip_prefix("\"signatures\":[{\"keyid\":\"")?.strip_suffix("\"}]")?;
            let (key_id, signature) = signature.split_once("\",\"sig\":\"")?;
            Some(Self {
                payload: base64::decode(payload)?,
                key_id: key_id.parse().ok()?,
                signature: Signature::from_bytes(&base64::decode(signature)?).ok()?,
            })
        };
        match parse() {
            Some(envelope) if envelope.render() == text => Ok(envelope),
            _ => Err(EnvelopeError),
        }
    }

    /// Whether `key` signed the payload.
    #[must_use]
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        self.key_id == key.key_id() && key.verifies(&pae(&self.payload), &self.signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_single_changed_byte_of_an_envelope_is_noticed() {
        let key = SealingKey::generate().unwrap();
        let text = Envelope::signed(b"{\"a\":1}".to_vec(), &key).render();
        assert!(Envelope::parse(&text).unwrap().is_signed_by(&key.public()));
        for index in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[index] ^= 1;
            let Ok(changed) = String::from_utf8(bytes) else { continue };
            let believed = Envelope::parse(&changed).is_ok_and(|e| e.is_signed_by(&key.public()));
            assert!(!believed, "byte {index}");
        }
    }

    #[test]
    fn the_pae_is_the_specification_s() {
        assert_eq!(pae(b"hi"), b"DSSEv1 28 application/vnd.in-toto+json 2 hi");
    }
}
