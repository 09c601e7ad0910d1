//! What an engine says, made fit for the log: claimed, visible, and bounded.
//!
//! Whatever an adapter emits, it cannot speak for the harness: source and basis are set here, and of the types only
//! those that an engine can have something to say about are let through.

use serde_json::{Value, json};

use super::adapter::Step;
use super::observed::EngineCounts;
use crate::event::{Draft, EventKind, Source};
use crate::vocab::{Basis, shown};

/// Events of one engine in the log.
const EVENTS: u64 = 20_000;
/// Of these, events for lines that nobody knew.
const UNRECOGNIZED: u64 = 1_000;
/// Bytes of all events of one engine.
const BYTES: usize = 64 * 1024 * 1024;
/// Characters of one text.
const TEXT: usize = 8_000;
/// Entries of one list or object.
const ENTRIES: usize = 200;
/// Levels of nesting.
const DEPTH: usize = 12;
/// Bytes of one event.
const EVENT_BYTES: usize = 64 * 1024;

/// Types that an engine can claim.
const CLAIMABLE: [EventKind; 11] = [
    EventKind::EngineError,
    EventKind::EvidenceClaimed,
    EventKind::FileChanged,
    EventKind::Message,
    EventKind::PhaseFinished,
    EventKind::PhaseStarted,
    EventKind::RawUnrecognized,
    EventKind::RevisionRequested,
    EventKind::ToolCalled,
    EventKind::ToolFinished,
    EventKind::UsageReported,
];

/// Whether every event of `steps` is a claim, of the kinds that an engine can have something to say about.
pub(super) fn only_claims(steps: &[Step]) -> Result<(), String> {
    for step in steps {
        let Step::Event(draft) = step else { continue };
        let kind = draft.kind.as_str();
        if (draft.source, draft.basis) != (Source::Engine, Basis::Claimed) {
            return Err(format!("`{kind}` is not told as a claim of the engine's"));
        }
        if !CLAIMABLE.contains(&draft.kind) {
            return Err(format!("it becomes `{kind}`, which is not an engine's to say"));
        }
    }
    Ok(())
}

/// Wishes of one engine that are judged; each further one is declined and counted.
const WISHES: u64 = 5_000;

/// Lets claims through within bounds, and counts the rest.
#[derive(Debug, Default)]
pub(super) struct ClaimGate {
    bytes: usize,
    wishes: u64,
}

impl ClaimGate {
    /// The event as it goes into the log; `None` when there are too many.
    pub(super) fn admit(&mut self, draft: Draft, counts: &mut EngineCounts) -> Option<Draft> {
        let kind = if CLAIMABLE.contains(&draft.kind) { draft.kind } else { EventKind::RawUnrecognized };
        let raw = kind == EventKind::RawUnrecognized;
        counts.unrecognized = counts.unrecognized.saturating_add(u64::from(raw));
        let (data, size) = fit(draft.data);
        let full = counts.events >= EVENTS || self.bytes.saturating_add(size) > BYTES;
        if full || (raw && counts.unrecognized > UNRECOGNIZED) {
            counts.suppressed = counts.suppressed.saturating_add(1);
            return None;
        }
        counts.events = counts.events.saturating_add(1);
        self.bytes = self.bytes.saturating_add(size);
        Some(Draft::claimed(kind, data))
    }

    /// What was asked, as it goes on record with the answer; `None` when it is too much to be answered with a yes.
    pub(super) fn ask(&mut self, asked: Value) -> Option<Value> {
        let (asked, size) = fit(asked);
        if self.wishes >= WISHES || self.bytes.saturating_add(size) > BYTES {
            return None;
        }
        self.wishes = self.wishes.saturating_add(1);
        self.bytes = self.bytes.saturating_add(size);
        Some(asked)
    }
}

/// The data of one event within bounds, and its size.
fn fit(data: Value) -> (Value, usize) {
    let data = bounded(data, DEPTH);
    let size = data.to_string().len();
    if size <= EVENT_BYTES {
        return (data, size);
    }
    let data = json!({"cut": true, "bytes": size, "head": text(&data.to_string())});
    let size = data.to_string().len();
    (data, size)
}

/// A text of the engine's: cut, and nothing hidden in it.
pub(super) fn text(words: &str) -> String {
    match words.char_indices().nth(TEXT) {
        None => shown(words),
        Some((end, _)) => shown(words.split_at(end).0) + "…",
    }
}

/// A value of the engine's within bounds.
fn bounded(value: Value, depth: usize) -> Value {
    match value {
        Value::String(words) => Value::String(text(&words)),
        Value::Array(_) | Value::Object(_) if depth == 0 => Value::String("…".to_owned()),
        Value::Array(items) => items.into_iter().take(ENTRIES).map(|item| bounded(item, depth - 1)).collect(),
        Value::Object(fields) => {
            let fields = fields.into_iter().take(ENTRIES);
            fields.map(|(name, item)| (text(&name), bounded(item, depth - 1))).collect()
        }
        plain => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Source;
    use crate::vocab::Basis;

    #[test]
    fn an_adapter_cannot_speak_for_the_harness() {
        let (mut gate, mut counts) = (ClaimGate::default(), EngineCounts::default());
        for kind in [EventKind::VerdictReached, EventKind::ApprovalGranted, EventKind::EgressAllowed] {
            let draft = gate.admit(Draft::observed(kind, json!({"verdict": "pass"})), &mut counts).unwrap();
            assert_eq!((draft.source, draft.basis), (Source::Engine, Basis::Claimed));
            assert_eq!(draft.kind, EventKind::RawUnrecognized);
        }
    }

    #[test]
    fn texts_are_visible_and_everything_is_bounded() {
        let (mut gate, mut counts) = (ClaimGate::default(), EngineCounts::default());
        let mut deep = json!("x");
        for _ in 0..100 {
            deep = json!([deep]);
        }
        let data = json!({"text": "a\u{1b}[2J\u{202e}b", "long": "é".repeat(100_000), "deep": deep,
            "many": vec![1; 10_000]});
        let draft = gate.admit(Draft::claimed(EventKind::Message, data), &mut counts).unwrap();
        assert_eq!(draft.data["text"], "a\\u{1b}[2J\\u{202e}b");
        assert!(draft.data.to_string().len() < EVENT_BYTES);
        assert_eq!(draft.data["many"].as_array().unwrap().len(), ENTRIES);

        let wide: Vec<_> = (0..100).map(|_| "x".repeat(5_000)).collect();
        let draft =
            gate.admit(Draft::claimed(EventKind::Message, json!({ "wide": wide })), &mut counts).unwrap();
        assert_eq!(draft.data["cut"], true);
        assert!(draft.data.to_string().len() < EVENT_BYTES);
    }

    #[test]
    fn wishes_are_judged_within_bounds_of_number_and_size() {
        let (mut gate, mut counts) = (ClaimGate::default(), EngineCounts::default());
        let wide: Vec<_> = (0..100).map(|_| "x".repeat(5_000)).collect();
        let asked = gate.ask(json!({ "command": wide })).unwrap();
        assert!(asked["cut"] == true && asked.to_string().len() < EVENT_BYTES);
        let judged = (0..300_000).filter(|_| gate.ask(json!({"what": "patch"})).is_some()).count();
        assert_eq!(judged as u64, WISHES - 1);
        assert!(gate.admit(Draft::claimed(EventKind::Message, json!({})), &mut counts).is_some());
    }

    #[test]
    fn noise_is_counted_and_not_kept_and_does_not_crowd_out_the_rest() {
        let (mut gate, mut counts) = (ClaimGate::default(), EngineCounts::default());
        let noise = || Draft::claimed(EventKind::RawUnrecognized, json!({"line": "x"}));
        let kept = (0..5_000).filter(|_| gate.admit(noise(), &mut counts).is_some()).count() as u64;
        assert_eq!(
            (kept, counts.suppressed, counts.unrecognized),
            (UNRECOGNIZED, 5_000 - UNRECOGNIZED, 5_000)
        );
        assert!(gate.admit(Draft::claimed(EventKind::Message, json!({})), &mut counts).is_some());
    }
}
