//! A document as the work: what a run hands back that changes nothing (docs/adr/0021).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules;

/// What the engine's last words have to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Which document.
    pub kind: OutputKind,
}

/// The documents that are known. Each has one schema, which is part of this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OutputKind {
    /// A plan: steps in order, each with the paths that it touches.
    Plan,
    /// Findings about the tree, each at a place in it.
    Review,
}

impl OutputKind {
    /// As in contracts and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Review => "review",
        }
    }

    /// Name of the document in a bundle.
    #[must_use]
    pub const fn file(self) -> &'static str {
        match self {
            Self::Plan => "plan.json",
            Self::Review => "review.json",
        }
    }
}

/// Whether `path` can name something in a work tree: relative, plain steps, never into `.git`.
pub fn in_a_tree(path: &str) -> Result<(), &'static str> {
    rules::tree_path(path)
}
