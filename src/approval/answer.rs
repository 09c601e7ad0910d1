//! A request that waits for a yes, and the signed answer to it.
//!
//! Guarantees: the signature covers, under a name of its own, every field that says what is approved; each is
//! preceded by its length, so no two answers sign the same bytes. Reads no clock and no file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PendingAct;
use crate::eligibility::ApprovalAnswer;
use crate::vocab::{
    ApprovalId, Digest, MutationMode, PrincipalName, PublicKey, RiskClass, SealingKey, Signature, Timestamp,
};

/// What the signed bytes begin with; no other signature of this program begins so.
const DOMAIN: &str = "cto-approval-v1";

/// A request that waits for somebody to say yes or no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PendingRequest {
    /// Random.
    pub request_id: ApprovalId,
    /// What is to be approved.
    pub request_digest: Digest,
    /// The mode that is asked for.
    pub mode: MutationMode,
    /// The risk class that is stated.
    pub risk: RiskClass,
    /// Digest of the sealed contract.
    pub contract_digest: Digest,
    /// The task's title, for people.
    pub title: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When every answer to it ends.
    pub expires_at: Timestamp,
    /// OS account of who asked, `uid:name`.
    pub requester_account: String,
    /// The principal whose accounts list it, if any.
    pub requester: Option<PrincipalName>,
    /// The act of an engine at work that it is about; absent where it is about the run itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<PendingAct>,
}

/// An answer with its signature. Anybody who has the principal's public key can check it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignedApproval {
    /// The request that is answered.
    pub request_id: ApprovalId,
    /// What is approved.
    pub request_digest: Digest,
    /// In which mode.
    pub mode: MutationMode,
    /// At which risk.
    pub risk: RiskClass,
    /// Until when.
    pub expires_at: Timestamp,
    /// Yes or no.
    pub answer: ApprovalAnswer,
    /// Who says so.
    pub by: PrincipalName,
    /// Id of the key that signed.
    pub key: Digest,
    /// Ed25519 over [`SignedApproval::signed_bytes`].
    pub signature: Signature,
}

/// Signs an answer to `request`, which ends when the request does.
#[must_use]
pub fn sign_approval(
    request: &PendingRequest,
    answer: ApprovalAnswer,
    by: &PrincipalName,
    key: &SealingKey,
) -> SignedApproval {
    let mut approval = SignedApproval {
        request_id: request.request_id.clone(),
        request_digest: request.request_digest,
        mode: request.mode,
        risk: request.risk,
        expires_at: request.expires_at,
        answer,
        by: by.clone(),
        key: key.public().key_id(),
        signature: key.sign(b""),
    };
    approval.signature = key.sign(&approval.signed_bytes());
    approval
}

impl SignedApproval {
    /// The bytes that are signed: the domain and then every field but key and signature, each as its length in
    /// eight bytes, most significant first, and its text.
    #[must_use]
    pub fn signed_bytes(&self) -> Vec<u8> {
        let answer = match self.answer {
            ApprovalAnswer::Grant => "grant",
            ApprovalAnswer::Deny => "deny",
        };
        let fields = [
            DOMAIN.to_owned(),
            self.request_digest.to_string(),
            self.request_id.to_string(),
            self.mode.to_string(),
            self.risk.to_string(),
            self.expires_at.unix_micros().to_string(),
            answer.to_owned(),
            self.by.to_string(),
        ];
        let mut bytes = Vec::new();
        for field in fields {
            bytes.extend((field.len() as u64).to_be_bytes());
            bytes.extend(field.as_bytes());
        }
        bytes
    }

    /// Whether `key` signed exactly this.
    #[must_use]
    pub fn signed_by(&self, key: &PublicKey) -> bool {
        key.key_id() == self.key && key.verifies(&self.signed_bytes(), &self.signature)
    }
}
