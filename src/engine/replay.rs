//! An engine's own output, read once more: adapters are pure, so the same bytes give the same answers.

use super::adapter::{AdapterError, Stream};
use super::manifest::EngineManifest;

/// The last message of an engine that wrote `stdout` and ended with `exit`, whole and as it came.
pub fn last_words(
    manifest: &EngineManifest,
    stdout: &[u8],
    exit: &str,
) -> Result<Option<String>, AdapterError> {
    let mut adapter = manifest.load_adapter()?;
    // What it would send and record, nobody wants again.
    adapter.opening();
    for line in stdout.split(|byte| *byte == b'\n') {
        adapter.on_line(Stream::Stdout, line);
    }
    adapter.on_exit(exit);
    Ok(adapter.outcome().last_words)
}
