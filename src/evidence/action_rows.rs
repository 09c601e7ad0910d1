//! The report's rows about actions: what stops each, where attempts show, and those that were seen.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A forbidden action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActionRow {
    /// Its id.
    pub action: String,
    /// What stops it.
    pub enforced_by: String,
    /// Where attempts are seen, and nowhere else: `in the patch`, `at the listener only` …, or
    /// `not observable here`.
    pub observable: String,
    /// Attempts seen, made visible; at most 20.
    pub attempts: Vec<String>,
    /// Attempts that were seen and are not listed.
    pub left_out: u64,
    /// What that comes to.
    pub result: ActionResult,
}

/// What became of a forbidden action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ActionResult {
    /// It was tried, which blocks.
    #[serde(rename = "attempted")]
    Attempted,
    /// Attempts would have been seen, and there was none.
    #[serde(rename = "none seen")]
    NoneSeen,
    /// It cannot have succeeded; whether it was tried cannot be told.
    #[serde(rename = "not observable here")]
    NotObservable,
}

impl ActionResult {
    /// Where attempts are seen that cannot be seen.
    pub const NOWHERE: &str = "not observable here";

    /// What a row comes to; `observable` is where attempts are seen.
    #[must_use]
    pub fn of(observable: &str, attempts: &[String]) -> Self {
        match (attempts.is_empty(), observable == Self::NOWHERE) {
            (false, _) => Self::Attempted,
            (true, false) => Self::NoneSeen,
            (true, true) => Self::NotObservable,
        }
    }
}
