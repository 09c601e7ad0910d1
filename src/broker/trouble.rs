//! What can go wrong at a provider, told apart, because each has another way out.

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::vocab::Reason;

/// Why a model call brought no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Trouble {
    /// The key is not accepted.
    Unauthorized,
    /// The account has no credit left.
    Quota,
    /// Too many calls in a time.
    RateLimit,
    /// The conversation is longer than the model can take.
    ContextLength,
    /// The provider refused the request for another reason.
    Rejected,
    /// The provider is overloaded or broken.
    Overloaded,
    /// Nothing listens there.
    ConnectionRefused,
    /// It could not be connected to for another reason: name, network, certificate.
    Unreachable,
    /// The answer broke off, or did not come in time.
    BrokenOff,
}

impl Trouble {
    const ALL: [Self; 9] = [
        Self::Unauthorized,
        Self::Quota,
        Self::RateLimit,
        Self::ContextLength,
        Self::Rejected,
        Self::Overloaded,
        Self::ConnectionRefused,
        Self::Unreachable,
        Self::BrokenOff,
    ];

    /// As in codes and events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::Quota => "quota",
            Self::RateLimit => "rate-limit",
            Self::ContextLength => "context-length",
            Self::Rejected => "rejected",
            Self::Overloaded => "overloaded",
            Self::ConnectionRefused => "connection-refused",
            Self::Unreachable => "unreachable",
            Self::BrokenOff => "broken-off",
        }
    }

    /// By the word that events have for it.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|trouble| trouble.as_str() == word)
    }

    /// By the word of a provider's error; `None` for words that say no more than that there was one.
    pub(super) fn of_code(code: &str) -> Option<Self> {
        match code {
            "invalid_api_key" | "authentication_error" | "permission_error" | "invalid_authentication" => {
                Some(Self::Unauthorized)
            }
            "insufficient_quota" | "billing_hard_limit_reached" | "billing_error" | "usage_limit_reached" => {
                Some(Self::Quota)
            }
            "rate_limit_exceeded" | "rate_limit_error" | "tokens" | "requests" => Some(Self::RateLimit),
            "context_length_exceeded" | "string_above_max_length" | "request_too_large" => {
                Some(Self::ContextLength)
            }
            "server_error" | "overloaded_error" | "server_is_overloaded" | "api_error" => {
                Some(Self::Overloaded)
            }
            _ => None,
        }
    }

    /// By an answer's status, where the words in it (`said`) do not tell more.
    pub(super) fn of_status(status: u16, said: Option<Self>) -> Self {
        let by_status = match status {
            401 | 403 => Self::Unauthorized,
            402 => Self::Quota,
            413 => Self::ContextLength,
            429 => Self::RateLimit,
            500.. => Self::Overloaded,
            _ => Self::Rejected,
        };
        match (by_status, said) {
            // A word never makes more of a status than what comes with it.
            (Self::Rejected | Self::RateLimit, Some(said)) => said,
            (by_status, _) => by_status,
        }
    }

    /// Whether a provider that says so has not begun to work on the request: it is refused at the door.
    pub(super) fn costs_nothing(status: StatusCode) -> bool {
        status.is_client_error()
    }

    /// Why the run came to nothing, and the way out.
    #[must_use]
    pub fn reason(self) -> Reason {
        let (sentence, remedy) = match self {
            Self::Unauthorized => (
                "the model's provider does not accept the key",
                "see `key` of the engine in config.toml: is it the right key, and does it belong to this endpoint?",
            ),
            Self::Quota => {
                ("the account at the model's provider has no credit left", "add credit there, then run again")
            }
            Self::RateLimit => (
                "the model's provider answers that there were too many calls in a time",
                "wait and run again, or have the limit raised there",
            ),
            Self::ContextLength => (
                "the conversation became longer than the model can take",
                "give a smaller task, or a model with more room",
            ),
            Self::Rejected => (
                "the model's provider refused a request",
                "its words are in the engine's messages; often it does not know the model or a setting",
            ),
            Self::Overloaded => ("the model's provider was overloaded or broken", "wait and run again"),
            Self::ConnectionRefused => (
                "nothing listens at the model's endpoint",
                "start the gateway, or correct `endpoint` of the engine in config.toml",
            ),
            Self::Unreachable => (
                "the model's endpoint could not be reached",
                "see the events for the error; name, network and certificate of `endpoint` have to be right",
            ),
            Self::BrokenOff => ("the answer of the model's provider broke off", "run again"),
        };
        Reason::observed(
            format!("provider.{}", self.as_str()),
            format!("At the last model call {sentence}."),
            remedy,
        )
    }
}
