//! An engine's own output, read once more: adapters are pure, so the same bytes give the same answers.
//!
//! Built-in adapters and modules go through the same function; what a suite asks of the one it asks of the other.

use super::adapter::{Adapter, AdapterError, AdapterOutcome, Step, Stream};
use super::manifest::EngineManifest;
use super::trouble::Trouble;

/// What an engine wrote, and how it ended.
#[derive(Debug, Clone, Copy)]
pub struct Transcript<'a> {
    /// Its lines without newlines, in the order in which they came.
    pub lines: &'a [(Stream, &'a [u8])],
    /// `exited:<code>` or `signal:<number>`.
    pub exit: &'a str,
}

/// What an adapter made of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Replayed {
    /// Every step: of the opening, of each line, and of the end.
    pub steps: Vec<Step>,
    /// How it read the end.
    pub outcome: AdapterOutcome,
    /// What went wrong with the adapter itself.
    pub trouble: Option<Trouble>,
}

/// Hands `transcript` to a fresh adapter (or one that has made its plan and nothing else).
#[must_use]
pub fn replay(mut adapter: Box<dyn Adapter>, transcript: &Transcript<'_>) -> Replayed {
    let mut steps = Vec::new();
    hand(adapter.as_mut(), transcript.lines.iter().copied(), transcript.exit, |new| steps.extend(new));
    Replayed { steps, outcome: adapter.outcome(), trouble: adapter.trouble() }
}

fn hand<'a>(
    adapter: &mut dyn Adapter,
    lines: impl Iterator<Item = (Stream, &'a [u8])>,
    exit: &str,
    mut take: impl FnMut(Vec<Step>),
) {
    take(adapter.opening());
    for (stream, line) in lines {
        take(adapter.on_line(stream, line));
    }
    take(adapter.on_exit(exit));
}

/// The last message of an engine that wrote `stdout` and ended with `exit`, whole and as it came.
pub fn last_words(
    manifest: &EngineManifest,
    stdout: &[u8],
    exit: &str,
) -> Result<Option<String>, AdapterError> {
    let mut adapter = manifest.load_adapter()?;
    let lines = stdout.split(|byte| *byte == b'\n').map(|line| (Stream::Stdout, line));
    // What it would send and record, nobody wants again.
    hand(adapter.as_mut(), lines, exit, drop);
    Ok(adapter.outcome().last_words)
}
