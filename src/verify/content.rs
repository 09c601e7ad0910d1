//! What a bundle says, typed: read strictly from the bytes that were hashed.

use std::collections::BTreeMap;

use crate::contract::SealedContract;
use crate::eligibility::DecisionDocument;
use crate::evidence::{Report, RootPredicate, Withheld};
use crate::vocab::Digest;

/// A bundle's contents, for what is joined on (`--repo`, `--replay`).
#[derive(Debug, Clone)]
pub struct BundleContents {
    /// What the root says.
    pub root: RootPredicate,
    /// The report.
    pub report: Report,
    /// The contract; `None` when it is withheld or does not read.
    pub contract: Option<SealedContract>,
    /// The decision; `None` when it is withheld or does not read.
    pub decision: Option<DecisionDocument>,
    /// Bytes of the files that were kept while reading: `patch.diff` and what is below `inputs/` and
    /// `approvals/`, as far as they are not larger than can be kept.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Every file with its digest.
    pub sums: BTreeMap<String, Digest>,
}

impl BundleContents {
    /// What stands for `name`, when it is withheld.
    #[must_use]
    pub fn withheld(&self, name: &str) -> Option<&Withheld> {
        self.report.withheld.iter().find(|one| one.name == name)
    }
}
