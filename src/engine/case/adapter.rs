//! The adapter: lines of the event log in order, attempts to publish, and words on the streams.
//!
//! ```text
//! fresh ─line 1 is pipeline_start→ reading ─pipeline_end→ over (the rest of the log means nothing)
//!   └───────────── a resumed, second, rewritten or contradictory log ─────────────→ refused
//! ```
//! Once refused, nothing more of the log is taken: its bytes are evidence, and no event is made of them.

use serde_json::json;

use super::events::{Reading, deny};
use super::log::{Line, Refused, Sequencer};
use super::{plan, words};
use crate::engine::adapter::{
    Adapter, AdapterError, AdapterOutcome, LaunchPlan, PlanInput, Step, Stream, unrecognized,
};
use crate::engine::follow::{FileFault, FileTrouble, WatchedFile};
use crate::event::{Draft, EventKind};

/// The adapter of the engine `case`.
#[derive(Debug, Default)]
pub struct CaseAdapter {
    log: Sequencer,
    reading: Reading,
}

impl CaseAdapter {
    /// An adapter that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn refuse(&mut self, why: &Refused) -> Vec<Step> {
        if self.reading.seen.refused.is_some() {
            return Vec::new();
        }
        let sentence = why.to_string();
        let data = json!({"message": format!("the event log is refused: {sentence}"), "final": true});
        self.reading.seen.refused = Some(sentence);
        vec![Step::Event(Draft::claimed(EventKind::EngineError, data))]
    }

    fn of_the_log(&mut self, file: WatchedFile, line: &[u8]) -> Vec<Step> {
        if self.reading.seen.refused.is_some() {
            return Vec::new();
        }
        if file.number > 0 {
            return self.refuse(&Refused::SecondLog);
        }
        match self.log.line(line) {
            Line::NoEvent => vec![unrecognized(Stream::File(file), line)],
            Line::Refused(why) => self.refuse(&why),
            Line::Events(events) => {
                events.iter().flat_map(|record| self.reading.record(record, file)).collect()
            }
        }
    }

    fn of_a_stand_in(line: &[u8]) -> Vec<Step> {
        let text = String::from_utf8_lossy(line);
        vec![deny(json!({"what": "publication", "by": "stand-in", "command": text}), &text)]
    }
}

impl Adapter for CaseAdapter {
    fn plan(&mut self, input: &PlanInput<'_>) -> Result<LaunchPlan, AdapterError> {
        plan::plan(input)
    }

    fn opening(&mut self) -> Vec<Step> {
        vec![Step::CloseInput]
    }

    fn on_line(&mut self, stream: Stream, line: &[u8]) -> Vec<Step> {
        let known = match stream {
            Stream::File(file) if file.folder == plan::EVENTS => return self.of_the_log(file, line),
            Stream::File(file) if file.folder == plan::ATTEMPTS => return Self::of_a_stand_in(line),
            Stream::File(_) => None,
            Stream::Stdout => words::stdout(line),
            Stream::Stderr => words::stderr(line).map(|(steps, crash)| {
                if crash.is_some() {
                    self.reading.seen.crash = crash;
                }
                steps
            }),
        };
        known.unwrap_or_else(|| vec![unrecognized(stream, line)])
    }

    fn on_trouble(&mut self, trouble: &FileTrouble) -> Vec<Step> {
        match trouble.what {
            // What is said of attempts to publish decides nothing, and the raw copies are taken as they are.
            _ if trouble.folder != plan::EVENTS => Vec::new(),
            // A killed writer leaves half a line; the end that is missing then tells the same.
            FileFault::CutLine | FileFault::LongLine => Vec::new(),
            _ => self.refuse(&Refused::Trouble(trouble.sentence.clone())),
        }
    }

    fn on_exit(&mut self, exit: &str) -> Vec<Step> {
        self.reading.seen.exit = Some(exit.to_owned());
        let mut steps = Vec::new();
        if self.reading.seen.refused.is_none() {
            let (rest, gaps) = self.log.rest();
            for (first, last) in &gaps {
                let data =
                    json!({"message": format!("events {first} to {last} are missing"), "final": false});
                steps.push(Step::Event(Draft::claimed(EventKind::EngineError, data)));
            }
            self.reading.seen.gaps = gaps;
            let file = WatchedFile { folder: plan::EVENTS, number: 0 };
            steps.extend(rest.iter().flat_map(|record| self.reading.record(record, file)));
        }
        steps.extend(self.reading.close());
        steps
    }

    fn interrupt(&mut self) -> Vec<Step> {
        // It has no words for it: the harness signals.
        self.reading.seen.stopping = true;
        Vec::new()
    }

    fn outcome(&self) -> AdapterOutcome {
        let (outcome, message) = self.reading.seen.outcome();
        AdapterOutcome { outcome, message, last_words: None, claims: self.reading.claims.clone() }
    }
}
