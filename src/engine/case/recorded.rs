//! Logs and status files that the artificial Case really left, and what must come of each: held against the adapter before
//! an installation is started.
//!
//! `engines/case/recorded` is written by the test that drives `fixtures/artificial-case` in the sandbox, which also holds
//! every file there against what that program does now. Nothing in it is of the real Case, and so none of it shows that
//! the real one speaks like this.

use serde_json::{Value, json};

use super::adapter::CaseAdapter;
use super::held::{Fresh, lines};
use crate::engine::adapter::{Adapter, Step, Stream};
use crate::engine::claim::only_claims;
use crate::engine::replay::{Replayed, Transcript, replay};
use crate::evidence::EngineOutcome::{self, Completed, Crashed, Failed};
use crate::vocab::counted;

/// One run of the artificial program.
struct Recorded {
    name: &'static str,
    log: &'static str,
    /// The task file and the line of sums as the run left them; empty where it left none.
    status: [&'static str; 2],
    exit: &'static str,
    outcome: EngineOutcome,
    /// Exactly what must come of the log.
    expected: &'static str,
}

macro_rules! recorded {
    ($name:literal, $exit:literal, $outcome:expr) => {
        Recorded {
            name: $name,
            log: include_str!(concat!("../../../engines/case/recorded/", $name, "/events.jsonl")),
            status: [
                include_str!(concat!("../../../engines/case/recorded/", $name, "/task.json")),
                include_str!(concat!("../../../engines/case/recorded/", $name, "/run-log.jsonl")),
            ],
            exit: $exit,
            outcome: $outcome,
            expected: include_str!(concat!("../../../engines/case/recorded/", $name, "/expected.jsonl")),
        }
    };
}

const RECORDED: [Recorded; 12] = [
    recorded!("happy", "exited:0", Completed),
    recorded!("revise", "exited:0", Completed),
    recorded!("parallel", "exited:0", Completed),
    recorded!("bogus-pr", "exited:0", Completed),
    recorded!("closer-publishes", "exited:0", Completed),
    recorded!("hostile-strings", "exited:0", Completed),
    recorded!("verifier-fails", "exited:0", Failed),
    recorded!("no-result", "exited:0", Failed),
    recorded!("provider-401", "exited:0", Failed),
    recorded!("resumed", "exited:0", Failed),
    recorded!("crash", "exited:1", Crashed),
    recorded!("killed", "signal:9", Crashed),
];

/// What comes of `log` and of how its program ended, one JSON document a line: the outcome with what is claimed, and then
/// each step. The same text comes of the same bytes each time.
#[must_use]
pub fn comes_of(log: &str, exit: &str) -> String {
    text(&read(&honest, log, &[], exit), exit)
}

fn honest() -> Box<dyn Adapter> {
    Box::new(CaseAdapter::new())
}

fn text(replayed: &Replayed, exit: &str) -> String {
    let (outcome, claims) = (&replayed.outcome, &replayed.outcome.claims);
    let commands: Vec<&String> = claims.commands.iter().map(|claim| &claim.command).collect();
    let head = json!({"exit": exit, "outcome": outcome.outcome, "message": outcome.message,
        "files": claims.files, "statements": claims.statements, "commands": commands});
    let documents = std::iter::once(head).chain(replayed.steps.iter().map(document));
    documents.fold(String::new(), |text, document| text + &document.to_string() + "\n")
}

fn document(step: &Step) -> Value {
    match step {
        Step::Event(draft) => json!({"type": draft.kind, "data": draft.data}),
        Step::Deny { asked, why, .. } => json!({"deny": asked, "why": why}),
        Step::ThreadId(id) => json!({ "thread": id }),
        Step::CloseInput => json!("close-input"),
        // This adapter takes no such step; where it did, that would not be what is expected.
        Step::Send(_) | Step::Ask { .. } | Step::Done => json!("another step"),
    }
}

fn read(fresh: Fresh<'_>, log: &str, said: &[(Stream, &[u8])], exit: &str) -> Replayed {
    let lines = [said, &lines(log.as_bytes())].concat();
    replay(fresh(), &Transcript { lines: &lines, exit })
}

/// Every recorded log gives exactly what is expected of it, as claims, whatever the status files say.
pub(in crate::engine) fn recorded_hold() -> Result<String, String> {
    RECORDED.iter().try_for_each(|one| holds(&honest, one))?;
    let fails = |one: &&Recorded| one.outcome != Completed && one.status.concat().contains("completed");
    let told = RECORDED.iter().filter(fails).count();
    Ok(format!(
        "{} of the artificial engine with exactly the events of each; {told} of them failed and left a status of success",
        counted(RECORDED.len(), "log")
    ))
}

fn holds(fresh: Fresh<'_>, one: &Recorded) -> Result<(), String> {
    let Recorded { name, log, status, exit, outcome, expected } = one;
    let replayed = read(fresh, log, &[], exit);
    if replayed.outcome.outcome != *outcome {
        return Err(format!("`{name}` is read as {:?}, and must be {outcome:?}", replayed.outcome.outcome));
    }
    only_claims(&replayed.steps).map_err(|why| format!("`{name}`: {why}"))?;
    if text(&replayed, exit) != *expected {
        return Err(format!("other events come of `{name}` than must"));
    }
    // The words of the status files, on the streams: they are nobody's outcome there, either.
    let words = status.iter().flat_map(|text| text.lines());
    let said: Vec<(Stream, &[u8])> = words
        .flat_map(|line| [(Stream::Stdout, line.as_bytes()), (Stream::Stderr, line.as_bytes())])
        .collect();
    if read(fresh, log, &said, exit).outcome != replayed.outcome {
        return Err(format!("the status that `{name}` left changes what comes of it"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::held::tests::Bent;
    use super::*;
    use crate::vocab::Basis;

    #[test]
    fn what_the_artificial_engine_left_gives_exactly_what_is_expected() {
        let told = recorded_hold().unwrap();
        assert!(told.starts_with("12 logs") && !told.contains("; 0 of them"), "{told}");
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/engines/case/recorded");
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), RECORDED.len(), "a log is not held");
    }

    #[test]
    fn another_outcome_another_event_or_another_log_is_told() {
        let one = |name: &str| RECORDED.into_iter().find(|one| one.name == name).unwrap();
        let why = |one: Recorded| holds(&honest, &one).unwrap_err();
        let outcome = why(Recorded { outcome: Failed, ..one("happy") });
        assert!(outcome.contains("`happy` is read as Completed, and must be Failed"), "{outcome}");
        let exit = why(Recorded { exit: "exited:1", ..one("happy") });
        assert!(exit.contains("is read as Crashed"), "{exit}");
        let other = why(Recorded { expected: one("revise").expected, ..one("happy") });
        assert!(other.contains("other events come of `happy`"), "{other}");
        let log = why(Recorded { log: one("revise").log, ..one("happy") });
        assert!(log.contains("other events"), "{log}");
        let status = why(Recorded { status: ["Fatal: it is over", ""], ..one("killed") });
        assert!(status.contains("the status that `killed` left changes"), "{status}");
        let observed = || -> Box<dyn Adapter> {
            let mut bent = Bent::nowhere();
            bent.draft = |draft| draft.basis = Basis::Observed;
            Box::new(bent)
        };
        let claim = holds(&observed, &one("happy")).unwrap_err();
        assert!(claim.contains("not told as a claim"), "{claim}");
    }
}
