//! The order of Case's event log: lines may stand in another order than their numbers, and be there twice.
//!
//! What is released is numbered without gaps from 1, which is the start of a run: a log that begins elsewhere is one
//! that was gone on with, and is refused, as is one of two runs, or one that says two things under one number.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::vocab::Digest;

/// Events of one run; a longer log is refused.
const EVENTS: u64 = 100_000;
/// Events that wait for an earlier one.
const WAITING: usize = 5_000;

/// One event of Case's.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Record {
    pub(super) sequence: u64,
    pub(super) kind: String,
    pub(super) value: Value,
}

/// Why a log is not read any further.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("it does not begin with the start of a run: it is a resumed log")]
    Resumed,
    #[error("it holds events of a second run")]
    OtherRun,
    #[error("it has two events with the number {0}")]
    Twice(u64),
    #[error("it has more events than are read")]
    TooLong,
    #[error("there is more than one log")]
    SecondLog,
    #[error("{0}")]
    Trouble(String),
}

/// What a line is.
#[derive(Debug, PartialEq)]
pub(super) enum Line {
    /// These events, in order; none where they wait, or were there before.
    Events(Vec<Record>),
    /// Not an event.
    NoEvent,
    /// The log is not read any further.
    Refused(Refused),
}

/// Puts events in order.
#[derive(Debug)]
pub(super) struct Sequencer {
    run: Option<String>,
    next: u64,
    waiting: BTreeMap<u64, Record>,
    known: BTreeMap<u64, Digest>,
}

impl Default for Sequencer {
    fn default() -> Self {
        Self { run: None, next: 1, waiting: BTreeMap::new(), known: BTreeMap::new() }
    }
}

impl Sequencer {
    /// Takes the next line.
    pub(super) fn line(&mut self, line: &[u8]) -> Line {
        let Some((run, record)) = read(line) else { return Line::NoEvent };
        match &self.run {
            None if record.sequence != 1 || record.kind != "pipeline_start" => {
                return Line::Refused(Refused::Resumed);
            }
            None => self.run = Some(run),
            Some(known) if *known != run => return Line::Refused(Refused::OtherRun),
            Some(_) => {}
        }
        let digest = Digest::of(line);
        match self.known.get(&record.sequence) {
            Some(known) if *known == digest => return Line::Events(Vec::new()),
            Some(_) => return Line::Refused(Refused::Twice(record.sequence)),
            None => {}
        }
        if record.sequence > EVENTS || self.waiting.len() >= WAITING {
            return Line::Refused(Refused::TooLong);
        }
        self.known.insert(record.sequence, digest);
        self.waiting.insert(record.sequence, record);
        let mut released = Vec::new();
        while let Some(record) = self.waiting.remove(&self.next) {
            self.next += 1;
            released.push(record);
        }
        Line::Events(released)
    }

    /// Nothing comes any more: what still waits, in order, and the numbers that never came.
    pub(super) fn rest(&mut self) -> (Vec<Record>, Vec<(u64, u64)>) {
        let (mut released, mut gaps) = (Vec::new(), Vec::new());
        for (sequence, record) in std::mem::take(&mut self.waiting) {
            if sequence > self.next {
                gaps.push((self.next, sequence - 1));
            }
            self.next = sequence + 1;
            released.push(record);
        }
        (released, gaps)
    }
}

fn read(line: &[u8]) -> Option<(String, Record)> {
    let value: Value = serde_json::from_slice(line).ok()?;
    let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let (kind, run) = (text("event")?, text("runId")?);
    let sequence = value.get("sequence")?.as_u64().filter(|sequence| *sequence > 0)?;
    let fine = !run.is_empty() && run.len() <= 64 && run.bytes().all(|byte| byte.is_ascii_graphic());
    fine.then_some((run, Record { sequence, kind, value }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(sequence: u64, kind: &str, run: &str) -> Vec<u8> {
        serde_json::json!({"event": kind, "sequence": sequence, "runId": run}).to_string().into_bytes()
    }

    fn numbers(line: Line) -> Vec<u64> {
        match line {
            Line::Events(events) => events.iter().map(|event| event.sequence).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn events_are_released_by_their_numbers_once() {
        let mut log = Sequencer::default();
        assert_eq!(numbers(log.line(&line(1, "pipeline_start", "r"))), [1]);
        assert_eq!(numbers(log.line(&line(4, "d", "r"))), [0_u64; 0]);
        assert_eq!(numbers(log.line(&line(3, "c", "r"))), [0_u64; 0]);
        assert_eq!(numbers(log.line(&line(3, "c", "r"))), [0_u64; 0]);
        assert_eq!(numbers(log.line(&line(2, "b", "r"))), [2, 3, 4]);
        assert_eq!(numbers(log.line(&line(2, "b", "r"))), [0_u64; 0]);
        assert_eq!(numbers(log.line(&line(7, "g", "r"))), [0_u64; 0]);
        assert_eq!(numbers(log.line(&line(6, "f", "r"))), [0_u64; 0]);
        let (rest, gaps) = log.rest();
        assert_eq!(rest.iter().map(|event| event.sequence).collect::<Vec<_>>(), [6, 7]);
        assert_eq!(gaps, [(5, 5)]);
    }

    #[test]
    fn what_is_not_the_log_of_one_fresh_run_is_refused() {
        let start = line(1, "pipeline_start", "r");
        for (second, why) in [
            (line(2, "b", "other"), Refused::OtherRun),
            (line(1, "b", "r"), Refused::Twice(1)),
            (line(EVENTS + 1, "b", "r"), Refused::TooLong),
        ] {
            let mut log = Sequencer::default();
            log.line(&start);
            assert_eq!(log.line(&second), Line::Refused(why));
        }
        for first in
            [line(17, "phase_start", "r"), line(1, "phase_start", "r"), line(2, "pipeline_start", "r")]
        {
            assert_eq!(Sequencer::default().line(&first), Line::Refused(Refused::Resumed));
        }
        for no_event in ["", "x", "{}", "[]", r#"{"event":"a","sequence":-1,"runId":"r"}"#] {
            assert_eq!(Sequencer::default().line(no_event.as_bytes()), Line::NoEvent, "{no_event}");
        }
    }

    #[test]
    fn what_never_comes_does_not_fill_the_memory() {
        let mut log = Sequencer::default();
        log.line(&line(1, "pipeline_start", "r"));
        let refused = (3..20_000).find(|n| matches!(log.line(&line(*n, "x", "r")), Line::Refused(_)));
        assert_eq!(refused, Some(WAITING as u64 + 3));
    }
}
