//! The report's attempts against the event log: as many as the log tells, each ending where the next one begins.

use serde_json::Value;

use super::derive::Wrong;
use super::outcome::Check;
use crate::event::{Event, EventKind, Source};
use crate::evidence::{AttemptRow, ProcessSection, RESUMED};
use crate::vocab::Basis;

/// What the log tells of attempts.
#[derive(Default)]
pub(super) struct Attempts {
    /// The number of the last event of each attempt but the last.
    ends: Vec<u64>,
    /// Attempts whose engine had been started.
    cut: u64,
    started: bool,
}

/// Whether the event says that another attempt begins.
pub(super) fn begins(event: &Event) -> bool {
    event.source == Source::Harness
        && event.basis == Basis::Observed
        && event.kind == EventKind::PhaseStarted
        && event.data.get("phase").and_then(Value::as_str) == Some(RESUMED)
}

impl Attempts {
    /// Takes the next event of the log.
    pub(super) fn observe(&mut self, event: &Event) {
        if begins(event) {
            self.ends.push(event.seq - 1);
            self.cut += u64::from(std::mem::take(&mut self.started));
        } else if event.kind == EventKind::EngineStarted && event.source == Source::Harness {
            self.started = true;
        }
    }

    /// Holds the report's section against the log.
    pub(super) fn check(&self, rows: &[AttemptRow], processes: Option<&ProcessSection>) -> Check {
        let mut wrong = Wrong::default();
        let numbered = rows.iter().zip(1..).all(|(row, number)| row.attempt == number);
        wrong.unless(
            numbered && rows.iter().map(|row| row.events).eq(self.ends.iter().copied()),
            "the report's attempts are not those of the event log",
        );
        let cut = processes.map_or(self.cut, |section| section.cut);
        wrong.unless(cut == self.cut, "the report counts other attempts as cut");
        wrong.check("attempts", if rows.is_empty() { "there was one" } else { "they are the event log's" })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::outcome::CheckState;
    use super::*;
    use crate::evidence::AttemptEnd;
    use crate::process::ProcessTree;
    use crate::vocab::{RunId, Timestamp};

    fn event(seq: u64, kind: EventKind, source: Source, data: Value) -> Event {
        let (time, run_id, basis) = (Timestamp::now(), RunId::new(), Basis::Observed);
        Event { seq, time, run_id, source, kind, basis, data }
    }

    #[test]
    fn an_attempt_that_was_cut_out_of_the_log_or_the_report_shows() {
        let told = [
            event(1, EventKind::EngineStarted, Source::Harness, json!({})),
            event(2, EventKind::PhaseStarted, Source::Engine, json!({"phase": RESUMED})),
            event(3, EventKind::PhaseStarted, Source::Harness, json!({"phase": RESUMED})),
            event(4, EventKind::EngineStarted, Source::Harness, json!({})),
        ];
        let of = |told: &[Event]| {
            let mut attempts = Attempts::default();
            for event in told {
                attempts.observe(event);
            }
            attempts
        };
        let check = |told: &[Event], rows: &[AttemptRow], cut: u64| {
            let section = ProcessSection { cut, ..ProcessTree::default().section() };
            of(told).check(rows, Some(&section)).state
        };
        let (thread_id, why) = (None, AttemptEnd::HarnessDied);
        let rows = [AttemptRow { attempt: 1, events: 2, thread_id, why }];
        assert_eq!((check(&[], &[], 0), check(&told, &rows, 1)), (CheckState::Ok, CheckState::Ok));
        assert_eq!(check(&told, &[], 1), CheckState::Failed, "none in the report");
        assert_eq!(check(&told[..2], &rows, 1), CheckState::Failed, "cut out of the log");
        assert_eq!(check(&told[1..], &rows, 1), CheckState::Failed, "its engine was cut out");
        assert_eq!(check(&told, &rows, 0), CheckState::Failed, "and is not counted");
    }
}
