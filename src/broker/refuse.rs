//! What is refused, and the answer that says so.

use hyper::StatusCode;

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Stable, for programs.
    pub(super) code: &'static str,
    /// One sentence.
    pub(super) sentence: String,
    /// The status of the answer.
    pub(super) status: StatusCode,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &'static str, sentence: impl Into<String>) -> Self {
        Self { code, sentence: sentence.into(), status }
    }

    /// Refused because it is not the one request that is let through.
    pub(super) fn route(sentence: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "egress.route", sentence)
    }

    /// The answer's body.
    pub(super) fn body(&self) -> String {
        let message = format!("refused by the harness: {}", self.sentence);
        serde_json::json!({"error": {"message": message, "type": "egress_denied", "code": self.code}})
            .to_string()
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
