//! Logs of the harness's own, and what must come of each: held against the adapter before an installation is started.
//!
//! They are synthetic (`engines/case/transcripts`): made from what is known of the event log, copied from nobody.

use super::adapter::CaseAdapter;
use crate::engine::adapter::{Adapter, Step, Stream};
use crate::engine::follow::WatchedFile;
use crate::evidence::EngineOutcome::{self, Completed, Crashed, Failed};
use crate::vocab::{Basis, counted};

const LOG: WatchedFile = WatchedFile { folder: 0, number: 0 };

/// Scenario, its log, how the program ended, and what must come of it.
type Scenario = (&'static str, &'static str, &'static str, EngineOutcome);

macro_rules! scenario {
    ($name:literal, $exit:literal, $outcome:expr) => {
        (
            $name,
            include_str!(concat!("../../../engines/case/transcripts/", $name, "/events.jsonl")),
            $exit,
            $outcome,
        )
    };
}

const SCENARIOS: [Scenario; 16] = [
    scenario!("happy", "exited:0", Completed),
    scenario!("tiny", "exited:0", Completed),
    scenario!("revise", "exited:0", Completed),
    scenario!("budget-exhausted", "exited:0", Failed),
    scenario!("critical-with-close", "exited:0", Failed),
    scenario!("hard-rubric", "exited:0", Failed),
    scenario!("verifier-fails", "exited:0", Failed),
    scenario!("missing-result", "exited:0", Failed),
    scenario!("provider-401", "exited:0", Failed),
    scenario!("parallel-out-of-order", "exited:0", Completed),
    scenario!("killed", "signal:9", Crashed),
    scenario!("resumed", "exited:0", Failed),
    scenario!("unknown-events", "exited:0", Completed),
    scenario!("hostile-strings", "exited:0", Failed),
    scenario!("nothing-done", "exited:0", Failed),
    scenario!("missing-events", "exited:0", Failed),
];
/// The one whose closer tries to publish.
const CLOSER: Scenario = scenario!("closer-denied", "exited:0", Completed);

fn play((_, log, exit, _): &Scenario) -> (Vec<Step>, EngineOutcome) {
    let mut adapter = CaseAdapter::new();
    let mut steps = adapter.opening();
    steps.extend(log.lines().flat_map(|line| adapter.on_line(Stream::File(LOG), line.as_bytes())));
    steps.extend(adapter.on_exit(exit));
    (steps, adapter.outcome().outcome)
}

/// Every log has the outcome that it must have, by events that are claims.
pub(in crate::engine) fn logs_hold() -> Result<String, String> {
    for scenario in SCENARIOS.iter().chain([&CLOSER]) {
        let (name, .., expected) = scenario;
        let (steps, outcome) = play(scenario);
        if outcome != *expected {
            return Err(format!("`{name}` is read as {outcome:?}, and must be {expected:?}"));
        }
        let claimed = |step: &Step| !matches!(step, Step::Event(draft) if draft.basis != Basis::Claimed);
        if !steps.iter().all(claimed) {
            return Err(format!("an event of `{name}` is no claim"));
        }
    }
    Ok(format!("{} with the outcome that each must have", counted(SCENARIOS.len().saturating_add(1), "log")))
}

/// Publishing is asked for and denied, on record.
pub(in crate::engine) fn publishing_is_denied() -> Result<String, String> {
    let (steps, _) = play(&CLOSER);
    let denied = steps.iter().filter(|step| matches!(step, Step::Deny { .. })).count();
    match denied {
        0 => Err("a closer that publishes is not denied".to_owned()),
        denied => Ok(format!("{} to publish denied by policy", counted(denied, "request"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_check_asks_holds_for_this_adapter() {
        logs_hold().unwrap();
        publishing_is_denied().unwrap();
    }
}
