//! Going on with a thread of codex's: what is asked for, whether that is what came, and what is counted of it.
//!
//! A thread that is resumed sends no raw events, so its tokens are read from the totals of the thread: what they grow by.
//! The first totals after the resumption are those of earlier attempts, and are counted there.

use serde_json::{Value, json};

use crate::engine::adapter::EarlierAttempt;
use crate::event::{Draft, EventKind};

/// What codex says of a thread of which it wrote nothing down, or not even a whole first line (0.169.0).
const NOTHING_WRITTEN: [&str; 2] = ["no rollout found", "failed to read session metadata"];

/// What an earlier attempt left, and what became of it.
#[derive(Debug, Default)]
pub(super) struct Resume {
    thread: Option<String>,
    tree: bool,
    /// The thread's totals of input, output, cached and reasoning tokens, once they are known.
    totals: Option<[u64; 4]>,
}

impl Resume {
    pub(super) fn of(earlier: Option<EarlierAttempt<'_>>) -> Self {
        let earlier = earlier.unwrap_or_default();
        Self { thread: earlier.thread.map(str::to_owned), tree: earlier.tree, totals: None }
    }

    /// The thread to ask for; `None` where a new one is begun.
    pub(super) fn thread(&self) -> Option<&str> {
        self.thread.as_deref()
    }

    /// Why `answered` is not what was asked for.
    pub(super) fn refuses(&self, answered: &str) -> Option<String> {
        let asked = self.thread.as_deref().filter(|asked| *asked != answered)?;
        Some(format!("thread {asked} was to be resumed, and codex resumed {answered}"))
    }

    /// Whether the error to a resumption means that there is nothing to resume; a new thread is begun then, and this
    /// says so.
    pub(super) fn gives_way(&mut self, error: &str) -> Option<Draft> {
        let asked = self.thread.take_if(|_| NOTHING_WRITTEN.iter().any(|known| error.contains(known)))?;
        let words = format!("codex wrote nothing of thread {asked} down: a new one is begun ({error})");
        Some(Draft::claimed(EventKind::PhaseStarted, json!({"phase": "thread-anew", "message": words})))
    }

    /// What the turn begins with.
    pub(super) fn turn_text(&self, task: &str) -> String {
        match (&self.thread, self.tree) {
            (Some(_), _) => "The run was interrupted and goes on now. What was running then was ended; the work tree is \
                as it was left. The task and its bounds stand as they were given: look at where you are, and go on."
                .to_owned(),
            (None, true) => format!(
                "{task}\nAn earlier attempt was interrupted: the work tree may hold a part of its work. Look at it first.\n"
            ),
            (None, false) => task.to_owned(),
        }
    }

    /// What the thread's totals grew by; `in_turn` where they are of this attempt's turn.
    pub(super) fn usage(&mut self, params: &Value, in_turn: bool) -> Option<Draft> {
        self.thread.as_ref()?;
        let count = |name: &str| {
            params.pointer("/tokenUsage/total").and_then(|total| total.get(name)).and_then(Value::as_u64)
        };
        let names = ["inputTokens", "outputTokens", "cachedInputTokens", "reasoningOutputTokens"];
        let now = names.map(|name| count(name).unwrap_or(0));
        let before = self.totals.replace(now);
        let [input, output, cached, reasoning] = match (before, in_turn) {
            (_, false) => return None,
            (Some(before), true) => {
                let mut grown = now;
                for (grown, before) in grown.iter_mut().zip(before) {
                    *grown = grown.saturating_sub(before);
                }
                grown
            }
            // Without totals of before, the last answer alone is what is new.
            (None, true) => {
                let last = |name: &str| params.pointer("/tokenUsage/last")?.get(name)?.as_u64();
                names.map(|name| last(name).unwrap_or(0))
            }
        };
        (input > 0 || output > 0).then(|| {
            let data = json!({"input_tokens": input, "output_tokens": output, "cached_input_tokens": cached,
                "reasoning_output_tokens": reasoning});
            Draft::claimed(EventKind::UsageReported, data)
        })
    }
}
