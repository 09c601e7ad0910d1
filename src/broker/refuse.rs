//! What is refused, and the answer that says so.

use hyper::StatusCode;

use crate::vocab::Reason;

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Stable, for programs.
    pub(super) code: String,
    /// One sentence.
    pub(super) sentence: String,
    /// The status of the answer.
    pub(super) status: StatusCode,
    /// The way out, where there is one.
    pub(super) remedy: Option<String>,
    /// Whether asking again is of no use, whatever is asked.
    last: bool,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: impl Into<String>, sentence: impl Into<String>) -> Self {
        Self { code: code.into(), sentence: sentence.into(), status, remedy: None, last: false }
    }

    /// Refused because it is not the one request that is let through.
    pub(super) fn route(sentence: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "egress.route", sentence)
    }

    /// Refused because what cannot be recorded is not done.
    pub(super) fn unrecorded() -> Self {
        let sentence = "it could not be recorded, so it is not done";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "egress.unrecorded", sentence)
    }

    /// Refused in the form in which providers say that the account is empty: engines do not ask again after it.
    pub(super) fn final_one(code: impl Into<String>, sentence: impl Into<String>) -> Self {
        Self { last: true, ..Self::new(StatusCode::TOO_MANY_REQUESTS, code, sentence) }
    }

    /// The same for a reason with a way out.
    pub(super) fn of(reason: &Reason) -> Self {
        let remedy = Some(reason.remedy.clone());
        Self { remedy, ..Self::final_one(reason.code.clone(), reason.sentence.clone()) }
    }

    /// The answer's body.
    pub(super) fn body(&self) -> String {
        let message = format!("refused by the harness: {} ({})", self.sentence, self.code);
        let (kind, code) = if self.last {
            ("insufficient_quota", "insufficient_quota")
        } else {
            ("egress_denied", self.code.as_str())
        };
        serde_json::json!({"error": {"message": message, "type": kind, "code": code}}).to_string()
    }
}

/// The body of the answer that stands for an endpoint which gave none: nobody refused anything.
pub(super) fn unanswered(why: &str) -> String {
    let message = format!("the model endpoint did not answer: {why}");
    serde_json::json!({"error": {"message": message, "type": "endpoint_error", "code": "endpoint"}})
        .to_string()
}

/// The body of the answer that stands for a destination which could not be connected to.
pub(super) fn unconnected(why: &str) -> String {
    let message = format!("the destination is allowed and could not be reached: {why}");
    serde_json::json!({"error": {"message": message, "type": "destination_error", "code": "destination"}})
        .to_string()
}
