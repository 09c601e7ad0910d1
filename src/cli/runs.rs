//! `cto runs`: the runs of this machine, newest first.

use super::Exit;
use super::args::ListArgs;
use super::output::{Line, Output, Tone};
use super::problem::Problem;
use super::publish;
use super::table::Table;
use crate::home::Home;
use crate::store::{RunRecord, RunState, Store};
use crate::vocab::Verdict;

/// Every record as a table, or one JSON object a line.
pub(super) fn list(args: &ListArgs, output: &mut Output) -> Result<Exit, Problem> {
    output.for_programs(args.json);
    let store = Store::open(Home::open()?.state())?;
    let records = store.list()?;
    if args.json {
        for record in &records {
            output.json(&serde_json::json!({
                "run_id": record.run_id, "task_id": record.task_id, "state": state(record).1, "resumable": store.can_go_on(record)?,
                "started": record.started, "bundle": record.bundle, "pending": record.pending,
                "publication": record.publication,
            }));
        }
        return Ok(Exit::Pass);
    }
    if records.is_empty() {
        output.say(&Line::of("no run is recorded here; start one: cto run fixtures/fix-failing-test"));
        return Ok(Exit::Pass);
    }
    let mut table = Table::new(&["run", "state", "started", "task", "bundle"]);
    for record in &records {
        let (tone, text) =
            if store.can_go_on(record)? { (Tone::Warn, "resumable".to_owned()) } else { state(record) };
        let started = record.started.to_string();
        table.row([
            (Tone::Plain, record.run_id.to_string()),
            (tone, text),
            (Tone::Quiet, started.get(..19).unwrap_or(&started).replace('T', " ")),
            (Tone::Plain, record.task_id.to_string()),
            (Tone::Quiet, record.bundle.display().to_string()),
        ]);
    }
    for line in table.lines() {
        output.say(&line);
    }
    Ok(Exit::Pass)
}

/// The state in one word.
pub(super) fn state(record: &RunRecord) -> (Tone, String) {
    match (&record.run_state, &record.pending) {
        (RunState::Running, Some(_)) => (Tone::Warn, "waiting".into()),
        (RunState::Running, None) => (Tone::Accent, "running".into()),
        (RunState::Sealed { verdict: Verdict::Pass }, _) => match publish::word(record) {
            Some(word) if !record.publication_is_due() => (Tone::Good, format!("pass, {word}")),
            Some(word) => (Tone::Warn, format!("pass, {word}")),
            None if record.publication_is_due() => (Tone::Warn, "pass, branch due".into()),
            None => (Tone::Good, "pass".into()),
        },
        (RunState::Sealed { verdict: Verdict::Fail }, _) => (Tone::Bad, "fail".into()),
        (RunState::Sealed { verdict: Verdict::Blocked }, _) => (Tone::Warn, "blocked".into()),
        (RunState::Incomplete, _) => (Tone::Bad, "incomplete".into()),
        (RunState::GivenUp, _) => (Tone::Quiet, "given up".into()),
        (RunState::Unrecorded, _) => (Tone::Bad, "unrecorded".into()),
    }
}
