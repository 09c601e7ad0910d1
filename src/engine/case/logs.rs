//! Logs of the harness's own, and what must come of each: held against the adapter before an installation is started.
//!
//! They are synthetic (`engines/case/transcripts`): made from what is known of the event log, copied from nobody.

use super::adapter::CaseAdapter;
use super::held::lines;
use crate::engine::adapter::Step;
use crate::engine::claim::only_claims;
use crate::engine::replay::{Replayed, Transcript, replay};
use crate::evidence::EngineOutcome::{self, Completed, Crashed, Failed};
use crate::vocab::counted;

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

fn play((_, log, exit, _): &Scenario) -> Replayed {
    replay(Box::new(CaseAdapter::new()), &Transcript { lines: &lines(log.as_bytes()), exit })
}

/// Every log has the outcome that it must have, by events that are claims.
pub(in crate::engine) fn logs_hold() -> Result<String, String> {
    for scenario in SCENARIOS.iter().chain([&CLOSER]) {
        let (name, .., expected) = scenario;
        let replayed = play(scenario);
        let outcome = replayed.outcome.outcome;
        if outcome != *expected {
            return Err(format!("`{name}` is read as {outcome:?}, and must be {expected:?}"));
        }
        only_claims(&replayed.steps).map_err(|why| format!("`{name}`: {why}"))?;
    }
    Ok(format!("{} with the outcome that each must have", counted(SCENARIOS.len().saturating_add(1), "log")))
}

/// Publishing is asked for and denied, on record.
pub(in crate::engine) fn publishing_is_denied() -> Result<String, String> {
    let denied = play(&CLOSER).steps;
    let denied = denied.iter().filter(|step| matches!(step, Step::Deny { .. })).count();
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
