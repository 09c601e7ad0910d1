//! What a bundle says, typed: read strictly from the bytes that were hashed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use crate::beneath::Dir;
use crate::contract::SealedContract;
use crate::eligibility::{ApprovalAnswer, ApprovalFacts, DecisionDocument, Grantor};
use crate::evidence::{MAX_FILE, Report, RootPredicate, Withheld};
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
    /// The sealed bytes of `name`. A file that was too large to keep is read once more from `bundle`, and is the
    /// sealed one or an error.
    pub fn bytes(&self, bundle: &Path, name: &str) -> Result<Cow<'_, [u8]>, String> {
        if let Some(kept) = self.files.get(name) {
            return Ok(Cow::Borrowed(kept));
        }
        let sealed = self.sums.get(name).ok_or_else(|| format!("`{name}` is not in the bundle"))?;
        let dir = Dir::open_root(bundle).map_err(|error| error.to_string())?;
        let bytes = dir.read_file(name, MAX_FILE).map_err(|error| error.to_string())?;
        if Digest::of(&bytes) != *sealed {
            return Err(format!("`{name}` is no longer the file that was sealed"));
        }
        Ok(Cow::Owned(bytes))
    }

    /// The approvals that the decision counted.
    #[must_use]
    pub fn counted_approvals(&self) -> Vec<&ApprovalFacts> {
        let facts = self.decision.iter().flat_map(|decision| &decision.facts.approvals);
        facts
            .filter(|fact| {
                fact.refused.is_empty()
                    && fact.answer == ApprovalAnswer::Grant
                    && fact.granted_by == Grantor::Human
            })
            .collect()
    }

    /// What stands for `name`, when it is withheld.
    #[must_use]
    pub fn withheld(&self, name: &str) -> Option<&Withheld> {
        self.report.withheld.iter().find(|one| one.name == name)
    }
}
