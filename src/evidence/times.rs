//! A section of `report.json`: when things happened, and which attempts of the run died before the last one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::vocab::Timestamp;

/// The phase that every attempt but the first begins with, in the event log.
pub const RESUMED: &str = "resumed";

/// When things happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Times {
    /// Run folder made.
    pub started: Timestamp,
    /// Report written.
    pub finished: Timestamp,
    /// Attempts that died before the one that the other sections tell of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<AttemptRow>,
}

/// An attempt that did not come to its end, and that another one went on with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AttemptRow {
    /// Which, from 1.
    pub attempt: u32,
    /// Events up to its last one.
    pub events: u64,
    /// The engine's thread that was asked for again; `None` where there was none to go on with.
    pub thread_id: Option<String>,
    /// Why it did not come to its end.
    pub why: AttemptEnd,
}

/// Why an attempt did not come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AttemptEnd {
    /// The harness died, and everything of the run with it.
    HarnessDied,
    /// The engine, or what confined it, died by itself.
    EngineDied,
}

/// For counts that are left out where nothing was counted.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
pub(super) const fn is_zero(count: &u64) -> bool {
    *count == 0
}
