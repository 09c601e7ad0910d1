//! An event as one line for people.

use crate::event::{Draft, EventKind, Redact};
use crate::vocab::{ApprovalId, shown};

/// Characters of a line.
const LINE: usize = 160;

/// The keys of event data that say the most, in order.
const TELLING: [&str; 12] = [
    "text",
    "message",
    "command",
    "path",
    "tool",
    "thread_id",
    "check",
    "outcome",
    "verdict",
    "name",
    "reason",
    "status",
];

/// The request that the engine's act waits for, where the event puts one.
pub(super) fn waits_for(draft: &Draft) -> Option<ApprovalId> {
    // A request about the run itself is told by whoever waits for it.
    draft.data.get("asked").filter(|_| draft.kind == EventKind::ApprovalRequested)?;
    ApprovalId::parse(draft.data.get("approval")?.as_str()?).ok()
}

/// The request about an act that the event answers for good.
pub(super) fn answered(draft: &Draft) -> Option<ApprovalId> {
    let answer = matches!(draft.kind, EventKind::ApprovalGranted | EventKind::ApprovalDenied);
    draft.data.get("digest").filter(|_| answer)?;
    let counts = draft.data.get("counts").and_then(serde_json::Value::as_bool) != Some(false);
    ApprovalId::parse(draft.data.get("approval").filter(|_| counts)?.as_str()?).ok()
}

/// A few words about an event, safe to show: without what may not be written either.
pub(super) fn of(draft: &Draft, redact: &dyn Redact) -> String {
    let told: Vec<String> = TELLING
        .iter()
        .filter_map(|key| match draft.data.get(key)? {
            serde_json::Value::String(text) => Some(text.clone()),
            serde_json::Value::Array(list) => {
                Some(list.iter().filter_map(|v| v.as_str()).collect::<Vec<_>>().join(" "))
            }
            serde_json::Value::Number(number) => Some(format!("{key} {number}")),
            _ => None,
        })
        .take(2)
        .collect();
    let line = format!("{} {}", draft.kind.as_str(), told.join(" · "));
    // Before it is cut: of half a secret nobody knows that it is one.
    let clean = redact.redact(line.as_bytes()).map(|(clean, _)| String::from_utf8_lossy(&clean).into_owned());
    shown(&clean.unwrap_or(line).replace('\n', " ")).chars().take(LINE).collect()
}
