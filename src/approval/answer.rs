//! A request that waits for a yes, and the signed answer to it.
//!
//! Guarantees: the signature covers, under a name of its own, every field that says what is approved; each is
//! preceded by its length, so no two answers sign the same bytes. Reads no clock and no file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PendingAct;
use crate::eligibility::ApprovalAnswer;
use crate::vocab::{
    ApprovalId, Digest, MutationMode, PrincipalName, PublicKey, RiskClass, SealingKey, Signature,
    SignatureFault, Timestamp,
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
    /// Over [`SignedApproval::signed_bytes`]: Ed25519, or the text of an SSH signature.
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
    let signature = key.sign(&approval_message(request, answer, by));
    SignedApproval::of(request, answer, by, &key.public(), signature)
}

/// The bytes that an answer to `request` signs, whoever signs them: the domain and then every field, each as its
/// length in eight bytes, most significant first, and its text.
#[must_use]
pub fn approval_message(request: &PendingRequest, answer: ApprovalAnswer, by: &PrincipalName) -> Vec<u8> {
    let what = (request.mode, request.risk, request.expires_at);
    message((request.request_digest, &request.request_id), what, answer, by)
}

fn message(
    (digest, id): (Digest, &ApprovalId),
    (mode, risk, expires_at): (MutationMode, RiskClass, Timestamp),
    answer: ApprovalAnswer,
    by: &PrincipalName,
) -> Vec<u8> {
    let answer = match answer {
        ApprovalAnswer::Grant => "grant",
        ApprovalAnswer::Deny => "deny",
    };
    let fields = [
        DOMAIN.to_owned(),
        digest.to_string(),
        id.to_string(),
        mode.to_string(),
        risk.to_string(),
        expires_at.unix_micros().to_string(),
        answer.to_owned(),
        by.to_string(),
    ];
    let mut bytes = Vec::new();
    for field in fields {
        bytes.extend((field.len() as u64).to_be_bytes());
        bytes.extend(field.as_bytes());
    }
    bytes
}

impl SignedApproval {
    /// An answer with a signature over [`approval_message`] that was made elsewhere. Nothing is checked yet.
    #[must_use]
    pub fn of(
        request: &PendingRequest,
        answer: ApprovalAnswer,
        by: &PrincipalName,
        key: &PublicKey,
        signature: Signature,
    ) -> Self {
        Self {
            request_id: request.request_id.clone(),
            request_digest: request.request_digest,
            mode: request.mode,
            risk: request.risk,
            expires_at: request.expires_at,
            answer,
            by: by.clone(),
            key: key.key_id(),
            signature,
        }
    }

    /// The bytes that are signed: those of [`approval_message`], from the answer itself.
    #[must_use]
    pub fn signed_bytes(&self) -> Vec<u8> {
        let what = (self.mode, self.risk, self.expires_at);
        message((self.request_digest, &self.request_id), what, self.answer, &self.by)
    }

    /// Whether `key` signed exactly this.
    #[must_use]
    pub fn signed_by(&self, key: &PublicKey) -> bool {
        self.check(key).is_ok()
    }

    /// Like [`SignedApproval::signed_by`], with the reason why not.
    pub fn check(&self, key: &PublicKey) -> Result<(), SignatureFault> {
        if key.key_id() != self.key {
            return Err(SignatureFault::AnotherKey);
        }
        key.check(&self.signed_bytes(), &self.signature)
    }
}
