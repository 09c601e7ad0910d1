//! Every scenario: the log line by line, then the end, against `expected.json` beside it (an ignored test writes it anew).

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::CaseAdapter;
use crate::engine::adapter::{Adapter, AdapterOutcome, Step, Stream};
use crate::engine::follow::{FileFault, FileTrouble, WatchedFile};
use crate::event::EventKind;
use crate::evidence::EngineOutcome::{self, Completed, Crashed, Failed};

const LOG: WatchedFile = WatchedFile { folder: 0, number: 0 };

/// Scenario, how the program ended, what must come of it, and what the sentence for it must hold.
const SCENARIOS: [(&str, &str, EngineOutcome, &str); 19] = [
    ("happy", "exited:0", Completed, ""),
    ("tiny", "exited:0", Completed, ""),
    ("revise", "exited:0", Completed, ""),
    ("budget-exhausted", "exited:0", Failed, "used up"),
    ("critical-with-close", "exited:0", Failed, "2 critical findings"),
    ("hard-rubric", "exited:0", Failed, "failed `scope-discipline`"),
    ("verifier-fails", "exited:0", Failed, "failed at verifier"),
    ("missing-result", "exited:0", Failed, "failed at implementer"),
    ("provider-401", "exited:0", Failed, "failed at implementer"),
    ("parallel-out-of-order", "exited:0", Completed, ""),
    ("killed", "signal:9", Crashed, "without the end of its run"),
    ("resumed", "exited:0", Failed, "resumed log"),
    ("bogus-pr", "exited:0", Completed, ""),
    ("truncated-last-line", "signal:15", Crashed, "without the end of its run"),
    ("unknown-events", "exited:0", Completed, ""),
    ("hostile-strings", "exited:0", Failed, "ended as"),
    ("nothing-done", "exited:0", Failed, "never began to implement"),
    ("closer-denied", "exited:0", Completed, "nothing was published"),
    ("missing-events", "exited:0", Failed, "are missing"),
];

struct Played {
    steps: Vec<Step>,
    outcome: AdapterOutcome,
}

fn folder(scenario: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("engines/case/transcripts").join(scenario)
}

fn play(scenario: &str, exit: &str) -> Played {
    let read = |name: &str| std::fs::read(folder(scenario).join(name)).unwrap_or_default();
    let mut adapter = CaseAdapter::new();
    let mut steps = adapter.opening();
    for (stream, name) in [(Stream::Stderr, "stderr.log"), (Stream::Stdout, "stdout.log")] {
        let text = read(name);
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        steps.extend(lines.flat_map(|line| adapter.on_line(stream, line)));
    }
    let log = read("events.jsonl");
    assert!(!log.is_empty(), "{scenario} has no log");
    let (whole, rest) = log.split_at(log.iter().rposition(|byte| *byte == b'\n').unwrap() + 1);
    for line in whole.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap();
        steps.extend(adapter.on_line(Stream::File(LOG), line));
    }
    if !rest.is_empty() {
        let sentence = "its last line has no end".to_owned();
        let trouble = FileTrouble { folder: 0, file: Some(LOG), what: FileFault::CutLine, sentence };
        steps.extend(adapter.on_trouble(&trouble));
    }
    steps.extend(adapter.on_exit(exit));
    Played { steps, outcome: adapter.outcome() }
}

fn told(played: &Played) -> Value {
    let step = |step: &Step| match step {
        Step::Event(draft) => {
            assert_eq!(draft.basis, crate::vocab::Basis::Claimed);
            json!({"type": draft.kind, "data": draft.data})
        }
        Step::Deny { asked, why, .. } => json!({"deny": asked, "why": why}),
        Step::ThreadId(id) => json!({ "thread": id }),
        Step::CloseInput => json!("close-input"),
        other => panic!("{other:?}"),
    };
    let AdapterOutcome { outcome, message, claims, .. } = &played.outcome;
    let commands: Vec<&String> = claims.commands.iter().map(|claim| &claim.command).collect();
    json!({"steps": played.steps.iter().map(step).collect::<Vec<_>>(), "outcome": outcome, "message": message,
        "files": claims.files, "statements": claims.statements, "commands": commands})
}

fn document(played: &Played) -> String {
    format!("{:#}\n", told(played))
}

fn expected(scenario: &str) -> PathBuf {
    folder(scenario).join("expected.json")
}

#[test]
#[ignore = "writes down what comes now as what is expected; read the difference before it is kept"]
fn the_expectations_are_written_anew() {
    for (scenario, exit, ..) in SCENARIOS {
        std::fs::write(expected(scenario), document(&play(scenario, exit))).unwrap();
    }
}

#[test]
fn every_scenario_gives_exactly_the_expected_events() {
    for (scenario, exit, outcome, sentence) in SCENARIOS {
        let played = play(scenario, exit);
        assert_eq!(played.outcome.outcome, outcome, "{scenario}: {:?}", played.outcome.message);
        let message = played.outcome.message.clone().unwrap_or_default();
        assert!(message.contains(sentence), "{scenario}: {message}");
        assert_eq!(document(&played), std::fs::read_to_string(expected(scenario)).unwrap(), "{scenario}");
    }
    let folders = std::fs::read_dir(folder("")).unwrap().count();
    assert_eq!(folders, SCENARIOS.len(), "a scenario is not played");
}

#[test]
fn an_exit_status_of_zero_saves_nothing_and_another_one_spoils_everything() {
    for (scenario, ..) in SCENARIOS {
        for exit in ["exited:1", "exited:77", "signal:9"] {
            assert_ne!(play(scenario, exit).outcome.outcome, Completed, "{scenario} {exit}");
        }
    }
}

#[test]
fn phases_that_never_began_are_no_events_and_a_pull_request_is_a_claim() {
    let happy = play("happy", "exited:0");
    let skipped = happy.steps.iter().filter(|step| match step {
        Step::Event(draft) => draft.data.get("outcome") == Some(&json!("skipped")),
        _ => false,
    });
    assert_eq!(skipped.count(), 0);
    for scenario in ["happy", "bogus-pr"] {
        let played = play(scenario, "exited:0");
        let denied = played.steps.iter().filter(|step| matches!(step, Step::Deny { .. })).count();
        assert!(denied >= 2, "{scenario}: {denied}");
        let said = &played.outcome.claims.statements;
        assert!(said.iter().any(|text| text.contains("opened the pull request")), "{said:?}");
    }
}

#[test]
fn the_order_of_lines_does_not_show() {
    let path = folder("parallel-out-of-order").join("events.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    let number = |line: &&str| serde_json::from_str::<Value>(line).unwrap()["sequence"].as_u64().unwrap();
    assert!(!lines.is_sorted_by_key(number), "the scenario is in order");
    let played = |lines: &[&str]| {
        let mut adapter = CaseAdapter::new();
        let mut steps: Vec<Step> =
            lines.iter().flat_map(|line| adapter.on_line(Stream::File(LOG), line.as_bytes())).collect();
        steps.extend(adapter.on_exit("exited:0"));
        steps
    };
    let as_it_is = played(&lines);
    lines.sort_by_key(number);
    lines.dedup();
    assert_eq!(as_it_is, played(&lines));
}

#[test]
fn a_log_that_was_tampered_with_or_is_one_of_two_is_no_completion() {
    let text = std::fs::read(folder("happy").join("events.jsonl")).unwrap();
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    let after = |attack: &dyn Fn(&mut CaseAdapter) -> Vec<Step>| {
        let mut adapter = CaseAdapter::new();
        for line in &lines {
            adapter.on_line(Stream::File(LOG), line);
        }
        let steps = attack(&mut adapter);
        adapter.on_exit("exited:0");
        (steps, adapter.outcome())
    };
    assert_eq!(after(&|_| Vec::new()).1.outcome, Completed);
    for what in
        [FileFault::Replaced, FileFault::Shrunk, FileFault::Gone, FileFault::Rewritten, FileFault::TooLong]
    {
        let trouble = FileTrouble { folder: 0, file: Some(LOG), what, sentence: "x".to_owned() };
        let (steps, outcome) = after(&|adapter| adapter.on_trouble(&trouble));
        assert_eq!((steps.len(), outcome.outcome), (1, Failed), "{what:?}");
    }
    let second = WatchedFile { folder: 0, number: 1 };
    let (_, outcome) = after(&|adapter| adapter.on_line(Stream::File(second), lines[0]));
    assert!(outcome.message.unwrap().contains("more than one log"));
    let other = b"{\"event\":\"pipeline_end\",\"outcome\":\"completed\",\"sequence\":2,\"runId\":\"0c5e0000-0000-4000-8000-000000000001\"}";
    let (_, outcome) = after(&|adapter| adapter.on_line(Stream::File(LOG), other));
    assert!(outcome.message.unwrap().contains("two events with the number 2"));
    // What is said of attempts to publish is no log.
    let trouble = FileTrouble { folder: 1, file: None, what: FileFault::Gone, sentence: "x".to_owned() };
    assert_eq!(after(&|adapter| adapter.on_trouble(&trouble)).1.outcome, Completed);
}

#[test]
fn a_stand_in_tells_of_an_attempt_and_no_word_of_the_streams_is_an_outcome() {
    let mut adapter = CaseAdapter::new();
    let steps = adapter.on_line(Stream::File(WatchedFile { folder: 1, number: 0 }), b"gh pr create");
    assert!(
        matches!(&steps[..], [Step::Deny { asked, .. }] if asked["command"] == "gh pr create"),
        "{steps:?}"
    );
    for line in [
        "[unattended] Pipeline completed successfully.",
        "{\"msg\":\"pipeline finished\",\"outcome\":\"completed\"}",
    ] {
        adapter.on_line(Stream::Stdout, line.as_bytes());
        adapter.on_line(Stream::Stderr, line.as_bytes());
    }
    adapter.on_line(Stream::Stderr, b"Fatal: no such model");
    adapter.on_exit("exited:0");
    let outcome = adapter.outcome();
    assert_eq!(outcome.outcome, Crashed);
    assert!(outcome.message.unwrap().contains("no such model"));
}

#[test]
fn random_bytes_are_never_an_outcome_and_end_no_harness() {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut adapter = CaseAdapter::new();
    for _ in 0..2_000 {
        let mut line = Vec::new();
        for _ in 0..(state % 200) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            line.push(state.to_be_bytes()[3]);
        }
        state = state.wrapping_add(1);
        for stream in [Stream::File(LOG), Stream::Stdout, Stream::Stderr] {
            for step in adapter.on_line(stream, &line) {
                assert!(matches!(step, Step::Event(draft) if draft.kind == EventKind::RawUnrecognized));
            }
        }
    }
    adapter.on_exit("exited:0");
    assert_eq!(adapter.outcome().outcome, Crashed);
}
