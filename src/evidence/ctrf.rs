//! `tests.ctrf.json`: the verification commands in the Common Test Report Format, a pure function of the report.

use serde_json::{Value, json};

use super::report::Report;
use super::work::{CommandOutcome, CommandRow};

/// The version of the format.
const SPEC_VERSION: &str = "0.0.0";

/// The file's bytes. `harness` is the version that the root names.
#[must_use]
pub fn ctrf(report: &Report, harness: &str) -> Vec<u8> {
    let commands =
        report.sections.verification.as_ref().map_or(&[][..], |section| section.commands.as_slice());
    let count = |outcome| commands.iter().filter(|row| row.outcome == outcome).count();
    let times = &report.sections.times;
    let summary = json!({
        "tests": commands.len(),
        "passed": count(CommandOutcome::Passed),
        "failed": count(CommandOutcome::Failed),
        "pending": 0,
        "skipped": 0,
        "other": count(CommandOutcome::Errored),
        "start": times.started.unix_micros() / 1000,
        "stop": times.finished.unix_micros() / 1000,
    });
    let tests: Vec<Value> = commands.iter().map(test).collect();
    let tool = json!({"name": "cto-harness", "version": harness});
    let document = json!({
        "reportFormat": "CTRF",
        "specVersion": SPEC_VERSION,
        "generatedBy": "cto-harness",
        "results": {"tool": tool, "summary": summary, "tests": tests},
    });
    let mut out = format!("{document:#}").into_bytes();
    out.push(b'\n');
    out
}

fn test(row: &CommandRow) -> Value {
    let (status, raw) = match row.outcome {
        CommandOutcome::Passed => ("passed", "passed"),
        CommandOutcome::Failed => ("failed", "failed"),
        // Not `skipped`: it was wanted, and there is no answer.
        CommandOutcome::Errored => ("other", "errored"),
    };
    let micros =
        [&row.on_base, &row.on_result].into_iter().flatten().map(|result| result.micros).sum::<u64>();
    json!({
        "name": row.command,
        "status": status,
        "rawStatus": raw,
        "duration": micros / 1000,
        "extra": {"expect": row.expect, "on_base": row.on_base, "on_result": row.on_result},
    })
}
