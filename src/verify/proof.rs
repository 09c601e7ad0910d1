//! The proof of a gated engine's gates: made again from contract and facts, and held against what the decision was about.

use super::BundleContents;
use super::derive::Wrong;
use super::outcome::Check;
use crate::eligibility::matrix;
use crate::vocab::{Stage, Verdict};

const NAME: &str = "proof";

/// One row, or none where the run was no proof and says of none.
pub(super) fn check(contents: &BundleContents) -> Option<Check> {
    let (report, section) = (&contents.report, contents.report.sections.proof.as_ref());
    let (Some(contract), Some(decision)) = (&contents.contract, &contents.decision) else {
        return section
            .map(|_| Check::not_done(NAME, "contract or decision is withheld: no cell was made again"));
    };
    if !decision.facts.proving && section.is_none() {
        return None;
    }
    let mut wrong = Wrong::default();
    wrong.unless(decision.facts.proving, "the decision is about no proof");
    wrong.unless(report.sections.engine.is_none(), "an engine ran in a proof that starts nothing");
    wrong.unless(
        report.verdict != Verdict::Pass || section.is_some(),
        "the verdict is `pass`, and no cell is on record",
    );
    if let Some(section) = section {
        wrong.unless(decision.eligible(), "the matrix was gone through although the decision was no");
        wrong.unless(section.stage == Stage::DefaultDeny, "it is about another stage");
        wrong.unless(
            section.cells == matrix(contract, &decision.facts),
            "contract and facts give other cells",
        );
    }
    let cells = section.map_or(0, |section| section.cells.len());
    Some(wrong.check(NAME, &format!("{cells} cells follow from contract and facts")))
}
