//! What the proof of a gated engine's gates came to: one row for each gate that was taken away.
//!
//! The rows follow from the contract and the facts of the decision alone, so that `cto verify` makes them again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::vocab::{MutationMode, Stage};

/// The proof of the stage `default-deny`: every gate of every mode, taken away one at a time. No process was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProofSection {
    /// The stage that it is about.
    pub stage: Stage,
    /// The adapter that was loaded: the one that starts nothing.
    pub adapter: String,
    /// One row a cell of the matrix.
    pub cells: Vec<ProofCell>,
}

/// One question that was put to the gates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProofCell {
    /// The mode that was asked for.
    pub mode: MutationMode,
    /// What was taken away; `nothing` where everything was there.
    pub removed: String,
    /// What has to come out: `eligible`, or the gate and its state.
    pub expected: String,
    /// What came out: `eligible`, or every gate that refused, with its state.
    pub found: String,
    /// Whether it is what has to come out.
    pub ok: bool,
}

impl ProofSection {
    /// Rows that did not come out as they have to.
    pub fn wrong(&self) -> impl Iterator<Item = &ProofCell> {
        self.cells.iter().filter(|cell| !cell.ok)
    }
}
