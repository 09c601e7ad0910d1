//! The two ways in which engines speak to models: what is asked for where, and how an answer is bounded.

use hyper::header::HeaderName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How an engine speaks to its model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// `POST …/responses`, a key as `Authorization: Bearer` (<https://platform.openai.com/docs/api-reference/responses>).
    #[default]
    Responses,
    /// `POST …/messages`, a key as `x-api-key` (<https://docs.anthropic.com/en/api/messages>).
    Messages,
}

impl Dialect {
    /// The last part of the endpoint's path.
    pub(super) const fn operation(self) -> &'static str {
        match self {
            Self::Responses => "responses",
            Self::Messages => "messages",
        }
    }

    /// The one path inside that is let through.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Responses => "/v1/responses",
            Self::Messages => "/v1/messages",
        }
    }

    /// The member that bounds the output, in tokens.
    pub(super) const fn bound_member(self) -> &'static str {
        match self {
            Self::Responses => "max_output_tokens",
            Self::Messages => "max_tokens",
        }
    }

    /// Headers that the endpoint wants besides the common ones.
    pub(super) const fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Responses => &[],
            Self::Messages => &[("anthropic-version", "2023-06-01")],
        }
    }

    /// The header that carries the key, and what stands before it.
    pub(super) const fn key_header(self) -> (HeaderName, &'static str) {
        match self {
            Self::Responses => (hyper::header::AUTHORIZATION, "Bearer "),
            Self::Messages => (HeaderName::from_static("x-api-key"), ""),
        }
    }
}
