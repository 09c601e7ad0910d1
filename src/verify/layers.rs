//! The report's layers of the sandbox against the event log: the same rows as when it was established, and of its
//! observation, whether it lasted to the end.

use super::attempts;
use super::derive::Wrong;
use super::event_line::LAYERS;
use super::outcome::Check;
use super::programs::MARK;
use crate::event::{Event, EventKind, Source};
use crate::evidence::{LayerRow, Sections};
use crate::process::TOLD_MAX;
use crate::vocab::Basis;

/// What the log tells of the sandbox.
#[derive(Default)]
pub(super) struct Layers {
    /// The rows, once for each time that the log tells them.
    told: Vec<Vec<LayerRow>>,
}

impl Layers {
    /// Takes the next event of the log.
    pub(super) fn observe(&mut self, event: &Event) {
        if attempts::begins(event) {
            // The report tells of the last attempt's sandbox.
            self.told.clear();
        }
        let ours = event.source == Source::Harness && event.basis == Basis::Observed;
        if ours && event.kind == EventKind::SandboxEstablished {
            let rows = event.data.get(LAYERS).cloned().map(serde_json::from_value);
            self.told.push(rows.and_then(Result::ok).unwrap_or_default());
        }
    }

    /// Holds the report's section against the log.
    pub(super) fn check(&self, sections: &Sections) -> Check {
        let mut wrong = Wrong::default();
        let reported = sections.sandbox.as_ref().map(|sandbox| sandbox.layers.as_slice());
        let (told, reported) = match (self.told.as_slice(), reported) {
            ([], None) => return wrong.check("layers", "no sandbox was established"),
            ([told], Some(reported)) => (told, reported),
            _ => {
                wrong.unless(false, "report and event log do not tell of the same sandbox");
                return wrong.check("layers", "");
            }
        };
        let same = |(told, row): (&LayerRow, &LayerRow)| told.layer == row.layer && is_kept(told, row);
        wrong.unless(
            told.len() == reported.len() && told.iter().zip(reported).all(same),
            "the report's layers are not those of the event log",
        );
        // Without its last word, the observer counts nothing; with it, it tells each program up to a bound.
        let to_the_end =
            sections.processes.as_ref().is_some_and(|seen| seen.complete || seen.executed > TOLD_MAX);
        let in_force = reported.iter().any(|row| row.layer == LayerRow::OBSERVATION && row.ok);
        wrong.unless(
            sections.engine.is_none() || in_force == to_the_end,
            "the observation is said to have been in force, and its programs tell otherwise",
        );
        wrong.check("layers", "the report's layers are the event log's")
    }
}

/// Whether a row says what the log says; an observation may have ended before its tree.
fn is_kept(told: &LayerRow, row: &LayerRow) -> bool {
    let ended = row.layer == LayerRow::OBSERVATION && told.ok && !row.ok;
    // A text that a secret was taken out of cannot be compared.
    let same = |told: &str, row: &str| told == row || told.contains(MARK) || row.contains(MARK);
    same(&told.requested, &row.requested)
        && if ended {
            row.enforced.starts_with(&told.enforced)
        } else {
            told.ok == row.ok && same(&told.enforced, &row.enforced)
        }
}
