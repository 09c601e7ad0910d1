//! What Case says on its streams: text for people on the one, JSON lines on the other. No outcome is read from either.

use serde_json::{Value, json};

use crate::engine::adapter::Step;
use crate::event::{Draft, EventKind};

/// What its lines for people begin with.
const FOR_PEOPLE: &[u8] = b"[unattended] ";
/// Messages that tell nothing that the event log does not; the raw log has them.
const QUIET: [&str; 7] = [
    "agent completed",
    "command completed",
    "command failed",
    "pipeline finished",
    "pipeline started",
    "run metrics written",
    "phase",
];
/// How a phase says that it tries once more; nothing else tells of it.
const AGAIN: [&str; 4] = ["retrying", "retry-succeeded", "retry-failed", "retry-not-viable"];

/// What a line on standard output comes to; `None` where nobody knows it.
pub(super) fn stdout(line: &[u8]) -> Option<Vec<Step>> {
    line.starts_with(FOR_PEOPLE).then(Vec::new)
}

/// What a line on standard error comes to, and why Case gave up where it says so; `None` where nobody knows it.
pub(super) fn stderr(line: &[u8]) -> Option<(Vec<Step>, Option<String>)> {
    if let Some(why) = line.strip_prefix(b"Fatal: ") {
        return Some(fatal(&String::from_utf8_lossy(why)));
    }
    let document: Value = serde_json::from_slice(line).ok()?;
    let text = |name: &str| document.get(name).and_then(Value::as_str).unwrap_or("");
    let message = text("msg");
    match message {
        "spawning agent" => {
            let words = format!("{} works with {}/{}", text("agent"), text("provider"), text("model"));
            Some((vec![said("agent", &words)], None))
        }
        "pipeline crashed" => Some(fatal(text("error"))),
        _ if message.starts_with("phase:") && AGAIN.contains(&text("status")) => {
            Some((vec![said("notice", &format!("{message}: {}", text("status")))], None))
        }
        _ if QUIET.contains(&message) || message.starts_with("phase:") => Some((Vec::new(), None)),
        _ => None,
    }
}

fn fatal(why: &str) -> (Vec<Step>, Option<String>) {
    let data = json!({"message": why, "final": true});
    (vec![Step::Event(Draft::claimed(EventKind::EngineError, data))], Some(why.to_owned()))
}

pub(super) fn said(role: &str, words: &str) -> Step {
    Step::Event(Draft::claimed(EventKind::Message, json!({"role": role, "text": words})))
}
