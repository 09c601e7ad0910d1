//! Resuming a thread, against what app-server answers and what it could answer instead.

use serde_json::{Value, json};

use super::tests::{planned_after, planned_with};
use crate::engine::adapter::{Adapter as _, AdapterOutcome, EarlierAttempt, PreparedFile, Step, Stream};
use crate::event::EventKind;
use crate::evidence::EngineOutcome;

const HELLO: &str = r#"{"id":0,"result":{"userAgent":"x"}}"#;

/// What is sent after each line, what is told, and the outcome.
fn play(earlier: EarlierAttempt<'_>, lines: &[Value]) -> (Vec<Value>, Vec<Step>, AdapterOutcome) {
    let mut adapter = planned_after(earlier);
    let mut steps = adapter.opening();
    steps.extend(adapter.on_line(Stream::Stdout, HELLO.as_bytes()));
    for line in lines {
        steps.extend(adapter.on_line(Stream::Stdout, line.to_string().as_bytes()));
    }
    steps.extend(adapter.on_exit("exited:0"));
    let sent = steps.iter().filter_map(|step| match step {
        Step::Send(bytes) => Some(serde_json::from_slice(bytes).unwrap()),
        _ => None,
    });
    (sent.collect(), steps, adapter.outcome())
}

fn asked() -> EarlierAttempt<'static> {
    EarlierAttempt { thread: Some("th-1"), tree: true }
}

fn events(steps: &[Step], kind: EventKind) -> Vec<Value> {
    let of_kind = steps.iter().filter_map(|step| match step {
        Step::Event(draft) if draft.kind == kind => Some(draft.data.clone()),
        _ => None,
    });
    of_kind.collect()
}

fn thread(id: u64, thread: &str) -> Value {
    json!({"id": id, "result": {"thread": {"id": thread}}})
}

fn totals(turn: &str, input: u64, output: u64) -> Value {
    json!({"method": "thread/tokenUsage/updated", "params": {"threadId": "th-1", "turnId": turn, "tokenUsage":
        {"total": {"inputTokens": input, "outputTokens": output}, "last": {"inputTokens": 7, "outputTokens": 7}}}})
}

#[test]
fn the_thread_is_asked_for_with_its_settings_and_its_tokens_are_what_it_grew_by() {
    let turn = json!({"id": 2, "result": {"turn": {"id": "t"}}});
    let lines = [thread(4, "th-1"), totals("old", 100, 10), turn, totals("t", 250, 25), totals("t", 250, 25)];
    let (sent, steps, outcome) = play(asked(), &lines);
    let resume = sent.iter().find(|message| message["method"] == "thread/resume").unwrap();
    let expected = json!({"threadId": "th-1", "excludeTurns": true, "cwd": "/workspace",
        "approvalPolicy": "untrusted", "sandbox": "danger-full-access"});
    assert_eq!(resume["params"], expected);
    assert!(!sent.iter().any(|message| message["method"] == "thread/start"));
    let text = sent.last().unwrap()["params"]["input"][0]["text"].as_str().unwrap().to_owned();
    assert!(text.contains("interrupted") && !text.contains("Bounds"), "{text}");
    let named = steps.iter().position(|step| *step == Step::ThreadId("th-1".to_owned())).unwrap();
    let turn = steps.iter().rposition(|step| matches!(step, Step::Send(_))).unwrap();
    assert!(named < turn, "on record before the turn is asked for");
    // Of 100 and 10 an earlier attempt told.
    assert_eq!((outcome.claims.input_tokens, outcome.claims.output_tokens), (Some(150), Some(15)));
    assert_eq!(events(&steps, EventKind::UsageReported).len(), 1);
}

#[test]
fn another_thread_than_the_one_asked_for_is_an_error_and_gets_no_turn() {
    let (sent, steps, outcome) = play(asked(), &[thread(4, "th-2")]);
    assert!(!sent.iter().any(|message| message["method"] == "turn/start"));
    assert!(!steps.iter().any(|step| matches!(step, Step::ThreadId(_))));
    assert_eq!(outcome.outcome, EngineOutcome::Failed);
    assert!(outcome.message.unwrap().contains("thread th-1 was to be resumed, and codex resumed th-2"));
}

#[test]
fn without_a_rollout_it_begins_anew_and_says_so_and_another_error_is_one() {
    let error = |why: &str| json!({"id": 4, "error": {"code": -32600, "message": why}});
    for why in
        ["no rollout found for thread id th-1", "failed to read session metadata x: rollout at x is empty"]
    {
        let (sent, steps, _) = play(asked(), &[error(why), thread(1, "th-2")]);
        let methods: Vec<_> = sent.iter().filter_map(|message| message["method"].as_str()).collect();
        assert_eq!(methods, ["initialize", "initialized", "thread/resume", "thread/start", "turn/start"]);
        let said = events(&steps, EventKind::PhaseStarted);
        assert_eq!(said[0]["phase"], "thread-anew");
        assert!(steps.contains(&Step::ThreadId("th-2".to_owned())));
        let text = sent.last().unwrap()["params"]["input"][0]["text"].to_string();
        assert!(text.contains("Bounds") && text.contains("earlier attempt"), "{text}");
    }
    let (sent, _, outcome) = play(asked(), &[error("thread th-1 already has an active writer")]);
    assert!(!sent.iter().any(|message| message["method"] == "thread/start"));
    assert_eq!(outcome.outcome, EngineOutcome::Failed);
}

#[test]
fn without_an_earlier_thread_one_is_begun_as_ever() {
    let (sent, _, _) = play(EarlierAttempt::default(), &[thread(1, "th-1"), totals("old", 100, 10)]);
    assert!(sent.iter().any(|message| message["method"] == "thread/start"));
    let text = sent.last().unwrap()["params"]["input"][0]["text"].to_string();
    assert!(text.contains("Bounds") && !text.contains("earlier attempt"), "{text}");
}

#[test]
fn what_a_check_prepared_lies_in_the_home_at_every_attempt_beside_the_threads_that_stay() {
    let prepared =
        ["a.sqlite", "a.sqlite-wal"].map(|name| PreparedFile { name: name.to_owned(), bytes: name.into() });
    let again = EarlierAttempt { thread: Some("t"), tree: true };
    for earlier in [None, Some(again)] {
        let home = planned_with(earlier, &prepared).1.home.unwrap();
        let names: Vec<&str> = home.files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["config.toml", "a.sqlite", "a.sqlite-wal"]);
        assert!(home.files[1..].iter().all(|(name, bytes)| name.as_bytes() == bytes));
        assert_eq!(home.kept.unwrap().folder, "sessions");
        let empty = planned_with(earlier, &[]).1.home.unwrap();
        assert_eq!(empty.files, home.files[..1], "it is all that changes");
    }
}
