//! Programs that the kernel executed, as spans: one for each, below the program whose process made its process.

use serde_json::{Value, json};

use super::builder::{TraceBuilder, word};
use crate::event::Event;

/// Words of a command line that a span keeps.
const WORDS_MAX: usize = 64;

impl TraceBuilder {
    /// Takes one `exec.observed`.
    pub(super) fn process(&mut self, event: &Event) {
        let number = |name: &str| event.data.get(name).and_then(Value::as_u64);
        let (Some(process), Some(during)) = (number("process"), word(&event.data, &["during"])) else {
            return;
        };
        let key = |process: u64| format!("process {during} {process}");
        let at = event.time.unix_micros();
        if word(&event.data, &["what"]).as_deref() == Some("ended") {
            let status = word(&event.data, &["status"]).unwrap_or_default();
            if let Some(span) = self.span(&key(process)) {
                span.end = Some(at);
                match status.strip_prefix("exited:").and_then(|code| code.parse::<i64>().ok()) {
                    Some(code) => span.attributes.push(("process.exit.code", code.into())),
                    None => span.error = Some(status),
                }
            }
            return;
        }
        if process == 1 {
            // Numbers begin anew with each sandbox.
            self.forget(&format!("process {during} "));
        }
        // The program before it in the same process ends here.
        self.end(&key(process), at);
        let program = word(&event.data, &["program"]).unwrap_or_default();
        let name = program.rsplit('/').next().unwrap_or(&program).to_owned();
        let made_by = number("parent").map(key);
        let parent = made_by.filter(|key| self.span(key).is_some()).unwrap_or_else(|| during.clone());
        if !self.begin_below(&parent, &key(process), event.seq, &format!("execute {name}"), at) {
            return;
        }
        let words = event.data.get("argv").and_then(Value::as_array).into_iter().flatten();
        let words: Vec<Value> = words.take(WORDS_MAX).cloned().collect();
        let Some(span) = self.span(&key(process)) else { return };
        span.attributes.extend([
            ("process.executable.path", Value::from(program)),
            ("process.executable.name", name.into()),
            ("process.command_args", words.into()),
            ("process.working_directory", word(&event.data, &["cwd"]).into()),
            ("opencto.basis", json!(event.basis)),
        ]);
        if let Some(pid) = number("pid") {
            span.attributes.push(("process.pid", pid.into()));
        }
    }
}
