//! Why: a code for programs, a sentence for people, and on what it rests.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// On what a statement rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Basis {
    /// The harness, the broker or the kernel saw it.
    Observed,
    /// The engine said so; nothing may rest on this alone.
    Claimed,
}

/// The answer of a run. Ordered so that the worst wins by `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing wrong, and everything expected is there.
    Pass,
    /// The work was not done, or not shown to work.
    Fail,
    /// A rule was broken, or proof is missing.
    Blocked,
}

impl Verdict {
    /// As written in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Blocked => "blocked",
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// A refusal or finding: never a bare sentence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// Stable, dotted, for programs: `gate.target.base`, `patch.outside-allowed-paths`.
    pub code: String,
    /// One sentence for a person; controls already made visible.
    pub sentence: String,
    /// What the reader can do about it; empty when nothing can.
    pub remedy: String,
    /// On what it rests.
    pub basis: Basis,
}

impl Reason {
    /// A reason that rests on what the harness saw.
    #[must_use]
    pub fn observed(code: impl Into<String>, sentence: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            sentence: super::shown(&sentence.into()),
            remedy: super::shown(&remedy.into()),
            basis: Basis::Observed,
        }
    }
}
