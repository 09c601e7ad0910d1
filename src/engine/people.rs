//! People: whom an engine at work asks, seen from here. Who they are and how they sign is behind it.

use std::collections::BTreeSet;

use crate::vocab::{ActionId, ApprovalId, Digest, KeyKind, PrincipalName, SignedWith, Timestamp};

/// What a person is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The mark of the contract that it meets.
    pub rule: ActionId,
    /// The command and its folder, or the changes with their content, as JSON.
    pub exactly: String,
}

/// A question that was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The request's id.
    pub id: ApprovalId,
    /// What an answer signs.
    pub request_digest: Digest,
    /// When every answer to it ends.
    pub expires_at: Timestamp,
    /// Seconds until then.
    pub seconds: u64,
    /// The kinds of keys with which somebody can answer.
    pub key_kinds: BTreeSet<KeyKind>,
}

/// What was said to one question so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// The answer that counts: who gave it, with what, and whether it is a yes.
    pub answer: Option<(PrincipalName, SignedWith, bool)>,
    /// Answers that do not count, each told once, with every reason.
    pub refused: Vec<(PrincipalName, Vec<String>)>,
}

/// Whoever can be asked. Each error is a sentence, and means no.
pub trait People: std::fmt::Debug + Send {
    /// Puts a question where people find it, durable.
    fn put(&mut self, question: &Question) -> Result<Asked, String>;
    /// What was said to it, verified again.
    fn look(&mut self, id: &ApprovalId) -> Result<Said, String>;
    /// Uses its answer up, durable and exclusive: before a yes is acted on, and when nobody is waiting any more.
    fn close(&mut self, id: &ApprovalId) -> Result<(), String>;
}
