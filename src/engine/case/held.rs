//! A log that somebody recorded, held against the adapter: what must be so of every log, whatever stands in it.
//!
//! It is read to its end, every event is a claim in the order of the log's own numbers, the same log says the same twice,
//! and what it says of its end is nothing without the end of the program. It does not show that what the log says is so, nor
//! that every line is understood: lines that are not are counted.

use std::collections::BTreeMap;

use super::adapter::CaseAdapter;
use super::plan;
use crate::engine::adapter::{Adapter, Step, Stream};
use crate::engine::claim::only_claims;
use crate::engine::follow::{LINE_BYTES, WatchedFile};
use crate::engine::replay::{Replayed, Transcript, replay};
use crate::event::EventKind;
use crate::evidence::EngineOutcome;
use crate::vocab::counted;

const LOG: WatchedFile = WatchedFile { folder: plan::EVENTS, number: 0 };

/// Makes an adapter that has seen nothing.
pub(super) type Fresh<'a> = &'a dyn Fn() -> Box<dyn Adapter>;

/// Whole lines as the follower hands them over; half a line at the end is none.
pub(super) fn lines(log: &[u8]) -> Vec<(Stream, &[u8])> {
    let whole = log.split_inclusive(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\n"));
    whole.map(|line| (Stream::File(LOG), line)).collect()
}

/// Holds `log` against a fresh adapter, and says what came of it in counts: no word of the log is in the answer.
pub(in crate::engine) fn log_holds(log: &str) -> Result<String, String> {
    hold(&|| Box::new(CaseAdapter::new()), log.as_bytes())
}

fn hold(fresh: Fresh<'_>, log: &[u8]) -> Result<String, String> {
    let lines = lines(log);
    if log.last().is_some_and(|byte| *byte != b'\n') {
        return Err("its last line has no end: it is not a whole log".to_owned());
    }
    if lines.iter().any(|(_, line)| line.len() > LINE_BYTES) {
        return Err(format!("a line of it is longer than the {LINE_BYTES} bytes that are read of one"));
    }
    let read = |lines: &[(Stream, &[u8])], exit| replay(fresh(), &Transcript { lines, exit });
    let once = read(&lines, "exited:0");
    read_to_its_end(&once)?;
    only_claims(&once.steps)?;
    in_order(&once.steps)?;
    if once != read(&lines, "exited:0") {
        return Err("the same log gives other events the second time".to_owned());
    }
    let endless: Vec<_> = lines.iter().copied().filter(|(_, line)| !is_end(line)).collect();
    for (lines, exit, what) in [
        (&lines, "exited:1", "of a program that failed"),
        (&lines, "signal:9", "of a program that was killed"),
        (&endless, "exited:0", "without the end of its run"),
    ] {
        if read(lines, exit).outcome.outcome == EngineOutcome::Completed {
            return Err(format!("the log {what} is read as a completed task"));
        }
    }
    Ok(counts(&once, lines.len()))
}

fn read_to_its_end(read: &Replayed) -> Result<(), String> {
    if let Some(trouble) = &read.trouble {
        return Err(format!("the adapter is in trouble: {trouble}"));
    }
    for step in &read.steps {
        if let Step::Event(draft) = step
            && draft.kind == EventKind::EngineError
        {
            let why = draft.data.get("message").and_then(serde_json::Value::as_str);
            return Err(format!(
                "it is not read to its end: {}",
                why.unwrap_or("the adapter does not say why")
            ));
        }
    }
    let begins = read.steps.iter().any(|step| matches!(step, Step::ThreadId(_)));
    if begins { Ok(()) } else { Err("it does not hold the start of a run: it is no event log".to_owned()) }
}

fn in_order(steps: &[Step]) -> Result<(), String> {
    let number = |step: &Step| match step {
        Step::Event(draft) => draft.data.get("sequence")?.as_u64(),
        Step::Deny { asked, .. } => asked.get("sequence")?.as_u64(),
        _ => None,
    };
    let numbers: Vec<u64> = steps.iter().filter_map(number).collect();
    if numbers.is_sorted() {
        Ok(())
    } else {
        Err("its events are not in the order of their numbers".to_owned())
    }
}

fn is_end(line: &[u8]) -> bool {
    let document: Option<BTreeMap<String, serde_json::Value>> = serde_json::from_slice(line).ok();
    document.is_some_and(|document| document.get("event").is_some_and(|event| event == "pipeline_end"))
}

fn counts(read: &Replayed, lines: usize) -> String {
    let of = |wanted: &dyn Fn(&Step) -> bool| read.steps.iter().filter(|step| wanted(step)).count();
    let unknown = of(&|step| matches!(step, Step::Event(draft) if draft.kind == EventKind::RawUnrecognized));
    let claims = of(&|step| matches!(step, Step::Event(_))).saturating_sub(unknown);
    let denied = of(&|step| matches!(step, Step::Deny { .. }));
    format!(
        "{}, {}, {} to publish denied, {} not understood",
        counted(lines, "line"),
        counted(claims, "claim"),
        counted(denied, "request"),
        counted(unknown, "line")
    )
}

#[cfg(test)]
pub(super) mod tests {
    use std::cell::Cell;

    use serde_json::{Value, json};

    use super::*;
    use crate::engine::adapter::{AdapterError, AdapterOutcome, LaunchPlan, PlanInput};
    use crate::engine::trouble::{Trouble, TroubleKind};
    use crate::event::{Draft, Source};
    use crate::vocab::Basis;

    const HAPPY: &str = include_str!("../../../engines/case/transcripts/happy/events.jsonl");

    /// The real adapter, bent where a test bends it.
    pub(in crate::engine) struct Bent {
        inner: CaseAdapter,
        pub(in crate::engine) draft: fn(&mut Draft),
        outcome: fn(&str, EngineOutcome) -> EngineOutcome,
        trouble: Option<Trouble>,
        exit: String,
    }

    impl Bent {
        pub(in crate::engine) fn nowhere() -> Self {
            let (inner, exit) = (CaseAdapter::new(), String::new());
            Self { inner, draft: |_| {}, outcome: |_, outcome| outcome, trouble: None, exit }
        }
    }

    impl Adapter for Bent {
        fn plan(&mut self, input: &PlanInput<'_>) -> Result<LaunchPlan, AdapterError> {
            self.inner.plan(input)
        }
        fn opening(&mut self) -> Vec<Step> {
            self.inner.opening()
        }
        fn on_line(&mut self, stream: Stream, line: &[u8]) -> Vec<Step> {
            let mut steps = self.inner.on_line(stream, line);
            for step in &mut steps {
                if let Step::Event(draft) = step {
                    (self.draft)(draft);
                }
            }
            steps
        }
        fn on_exit(&mut self, exit: &str) -> Vec<Step> {
            exit.clone_into(&mut self.exit);
            self.inner.on_exit(exit)
        }
        fn interrupt(&mut self) -> Vec<Step> {
            self.inner.interrupt()
        }
        fn outcome(&self) -> AdapterOutcome {
            let honest = self.inner.outcome();
            AdapterOutcome { outcome: (self.outcome)(&self.exit, honest.outcome), ..honest }
        }
        fn trouble(&self) -> Option<Trouble> {
            self.trouble.clone()
        }
    }

    /// What is bent, and a word of what must be said of it.
    type Bend = (fn(&mut Bent), &'static str);

    fn of(change: fn(&mut Bent)) -> Result<String, String> {
        let fresh = || -> Box<dyn Adapter> {
            let mut bent = Bent::nowhere();
            change(&mut bent);
            Box::new(bent)
        };
        hold(&fresh, HAPPY.as_bytes())
    }

    fn backwards(draft: &mut Draft) {
        if let Some(number) = draft.data.get("sequence").and_then(Value::as_u64) {
            draft.data["sequence"] = json!(1_000 - number);
        }
    }

    #[test]
    fn an_adapter_that_makes_more_of_a_log_than_claims_does_not_hold() {
        let told = of(|_| {}).unwrap();
        assert!(told.contains(" 0 lines not understood") && !told.contains(" 0 requests"), "{told}");
        let changes: [Bend; 7] = [
            (|bent| bent.draft = |draft| draft.basis = Basis::Observed, "not told as a claim"),
            (|bent| bent.draft = |draft| draft.source = Source::Kernel, "not told as a claim"),
            (
                |bent| bent.draft = |draft| draft.kind = EventKind::VerdictReached,
                "`verdict.reached`, which is not",
            ),
            (
                |bent| bent.draft = |draft| draft.kind = EventKind::ExecObserved,
                "`exec.observed`, which is not",
            ),
            (
                |bent| bent.draft = |draft| draft.kind = EventKind::SpendSettled,
                "`spend.settled`, which is not",
            ),
            (|bent| bent.draft = backwards, "order of their numbers"),
            (|bent| bent.trouble = Some(TroubleKind::Trap.because("x")), "in trouble"),
        ];
        for (change, word) in changes {
            let why = of(change).unwrap_err();
            assert!(why.contains(word), "{word}: {why}");
        }
    }

    #[test]
    fn an_outcome_that_only_the_log_claims_does_not_hold() {
        let changes: [Bend; 3] = [
            (
                |bent| {
                    bent.outcome =
                        |exit, honest| if exit == "exited:1" { EngineOutcome::Completed } else { honest }
                },
                "of a program that failed is read as a completed task",
            ),
            (
                |bent| {
                    bent.outcome =
                        |exit, honest| if exit == "signal:9" { EngineOutcome::Completed } else { honest }
                },
                "of a program that was killed is read",
            ),
            (
                |bent| {
                    bent.outcome =
                        |exit, honest| if exit == "exited:0" { EngineOutcome::Completed } else { honest }
                },
                "without the end of its run is read",
            ),
        ];
        for (change, word) in changes {
            let why = of(change).unwrap_err();
            assert!(why.contains(word), "{word}: {why}");
        }
    }

    #[test]
    fn an_adapter_that_says_something_else_the_second_time_does_not_hold() {
        let calls = Cell::new(0_u32);
        let fresh = || -> Box<dyn Adapter> {
            calls.set(calls.get() + 1);
            let mut adapter = CaseAdapter::new();
            if calls.get() == 2 {
                adapter.interrupt();
            }
            Box::new(adapter)
        };
        assert!(hold(&fresh, HAPPY.as_bytes()).unwrap_err().contains("the second time"));
    }

    #[test]
    fn a_log_that_is_not_whole_or_is_none_does_not_hold_and_is_not_quoted() {
        let all: Vec<&str> = HAPPY.lines().collect();
        let text = |lines: &[&str]| lines.iter().fold(String::new(), |text, line| text + line + "\n");
        log_holds(HAPPY).unwrap();
        for (log, word) in [
            (String::new(), "no event log"),
            ("a secret word\n".repeat(3), "no event log"),
            (text(&all[1..]), "resumed log"),
            (text(&[&all[..3], &all[4..]].concat()), "are missing"),
            (
                text(&all) + &text(&all[..1]).replace("pipeline_start", "phase_start"),
                "two events with the number 1",
            ),
            (text(&all) + "{\"event\": \"a secret word", "no end"),
            (text(&all) + &"x".repeat(LINE_BYTES + 1) + "\n", "longer than"),
        ] {
            let why = log_holds(&log).unwrap_err();
            assert!(why.contains(word) && !why.contains("secret word"), "{why}");
        }
        // What is not understood is counted.
        let told = log_holds(&(text(&all) + "a secret word\n")).unwrap();
        assert!(told.ends_with("1 line not understood"), "{told}");
    }
}
