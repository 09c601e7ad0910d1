//! What the evidence must hold, by the contract, against what it holds.

use std::collections::BTreeSet;

use crate::contract::{Expectation, TaskContract};
use crate::evidence::{CommandOutcome, ExpectationRow, PatchSection, VerificationSection};
use crate::vocab::shown;

/// One row for each expectation of `contract`. `artifacts` are the names that the sealed bundle will hold.
///
/// What is absent meets nothing: no patch is neither empty nor non-empty, and a verification without commands
/// did not pass.
#[must_use]
pub fn expectations(
    contract: &TaskContract,
    patch: Option<&PatchSection>,
    verification: Option<&VerificationSection>,
    artifacts: &BTreeSet<String>,
) -> Vec<ExpectationRow> {
    let row = |expectation: &Expectation| {
        let (text, met) = match expectation {
            Expectation::Artifact(name) => (format!("artifact {}", shown(name)), artifacts.contains(name)),
            Expectation::VerificationAll => {
                ("verification = all".to_owned(), verification.is_some_and(all_passed))
            }
            Expectation::PatchNonEmpty => {
                ("patch = non-empty".to_owned(), patch.is_some_and(|patch| !patch.files.is_empty()))
            }
            Expectation::PatchEmpty => {
                ("patch = empty".to_owned(), patch.is_some_and(|patch| patch.files.is_empty()))
            }
        };
        ExpectationRow { expectation: text, met }
    };
    contract.evidence_expectations.iter().map(row).collect()
}

fn all_passed(verification: &VerificationSection) -> bool {
    !verification.commands.is_empty()
        && verification.sandbox_ok
        && verification.commands.iter().all(|row| row.outcome == CommandOutcome::Passed)
}

#[cfg(test)]
mod tests {
    use super::super::verdict_tests::{contract, patch, verification};
    use super::*;

    fn met(
        wanted: Expectation,
        patch: Option<&PatchSection>,
        verification: Option<&VerificationSection>,
    ) -> bool {
        let contract = TaskContract { evidence_expectations: vec![wanted], ..contract() };
        let artifacts = BTreeSet::from(["test.log".to_owned()]);
        expectations(&contract, patch, verification, &artifacts)[0].met
    }

    #[test]
    fn absence_meets_nothing() {
        let all = [
            Expectation::Artifact("absent".to_owned()),
            Expectation::VerificationAll,
            Expectation::PatchNonEmpty,
            Expectation::PatchEmpty,
        ];
        for wanted in all {
            assert!(!met(wanted.clone(), None, None), "{wanted:?}");
        }
        assert!(met(Expectation::Artifact("test.log".to_owned()), None, None));
    }

    #[test]
    fn a_patch_is_empty_or_not() {
        let full = patch();
        let empty = PatchSection { files: Vec::new(), ..patch() };
        assert!(met(Expectation::PatchNonEmpty, Some(&full), None));
        assert!(!met(Expectation::PatchNonEmpty, Some(&empty), None));
        assert!(met(Expectation::PatchEmpty, Some(&empty), None));
        assert!(!met(Expectation::PatchEmpty, Some(&full), None));
    }

    #[test]
    fn no_commands_is_not_all_commands() {
        let good = verification();
        let none = VerificationSection { commands: Vec::new(), ..verification() };
        let mut bad = verification();
        bad.commands[0].outcome = CommandOutcome::Errored;
        assert!(met(Expectation::VerificationAll, None, Some(&good)));
        assert!(!met(Expectation::VerificationAll, None, Some(&none)));
        assert!(!met(Expectation::VerificationAll, None, Some(&bad)));
    }
}
