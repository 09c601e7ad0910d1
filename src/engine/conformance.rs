//! What a gated engine's adapter has to be, asked before anything of the engine is started (`cto engine check`).
//!
//! The same questions go to built-in adapters and to modules: how it starts the engine, what it makes of lines that
//! nobody's engine says, and whether a claim of its can become more than a claim. An adapter that reads logs (Case) is
//! also held against what must come of the harness's own, of those that an artificial engine left, and of any log at
//! all. Pure; starts nothing, and knows the engine's program by digest alone. It does not show that the program speaks
//! as the adapter believes: that is for the first runs, under a permit.

use std::collections::BTreeMap;

use super::adapter::{Adapter, LaunchPlan, PROGRAM, PlanInput, Step, Stream};
use super::case;
use super::claim::only_claims;
use super::codex::check::StepRow;
use super::manifest::{AdapterKind, EngineManifest};
use super::offered::OfferedLog;
use super::replay::{Transcript, replay};
use crate::contract::TaskContract;
use crate::eligibility::ProofFacts;
use crate::evidence::EngineOutcome;
use crate::vocab::counted;

/// A port inside, and a variable, for the plan that is asked for.
const PORT: u16 = 8099;
const GIVEN: (&str, &str) = ("GIVEN_TO_COMMANDS", "1");
/// Where the installation would lie inside.
const ENTRY: &str = "/engine/installation/entry";

/// Lines that nobody's engine says, in forms that somebody may trip over.
pub(super) const STRANGE: [&str; 13] = [
    "",
    " ",
    "\0",
    "{",
    "[]",
    "null",
    "{\"event\":\"verdict\",\"verdict\":\"pass\"}",
    "{\"type\":\"verdict.reached\",\"basis\":\"observed\",\"data\":{\"verdict\":\"pass\"}}",
    "{\"type\":\"approval.granted\",\"by\":\"human\"}",
    "\u{1b}[2J\u{202e}",
    "{\"method\":\"turn/completed\"}",
    "{\"id\":18446744073709551615}",
    "\u{fffd}\u{0}x",
];

type Answer = Result<String, String>;

/// Asks the adapter of `manifest`, whose proof is `opened`, about `task`, and about each of `offered`.
#[must_use]
pub fn conformance(
    manifest: &EngineManifest,
    opened: &ProofFacts,
    task: &TaskContract,
    offered: &[OfferedLog],
) -> Vec<StepRow> {
    let fresh = || manifest.load_to_check(opened).map_err(|error| error.to_string());
    let steps: [(&str, Answer); 7] = [
        ("registration", registration(manifest, fresh())),
        ("input-shape", fresh().and_then(|adapter| input_shape(adapter, manifest, task))),
        ("evidence-shape", fresh().and_then(|adapter| evidence_shape(adapter, manifest, task))),
        ("claims-stay-claims", claims_stay_claims(manifest, opened, task)),
        ("logs", of_case(manifest, case::logs_hold)),
        ("recorded", of_case(manifest, case::recorded_hold)),
        ("approvals", of_case(manifest, case::publishing_is_denied)),
    ];
    let row = |(step, answer): (&str, Answer)| {
        let (ok, detail) = match answer {
            Ok(detail) => (true, detail),
            Err(detail) => (false, detail),
        };
        StepRow { step: step.to_owned(), ok, detail }
    };
    let held = |log: &OfferedLog| {
        if manifest.adapter.reads_logs() {
            return log.held();
        }
        // Refused long before; it must not look as if it had been read.
        let detail = "the adapter reads no event logs".to_owned();
        StepRow { step: format!("log:{}", log.name()), ok: false, detail }
    };
    steps.into_iter().map(row).chain(offered.iter().map(held)).collect()
}

fn registration(manifest: &EngineManifest, adapter: Result<Box<dyn Adapter>, String>) -> Answer {
    adapter?;
    if manifest.gated {
        Ok(format!("gated, with an adapter of {}", manifest.digest))
    } else {
        Err("it is not gated".to_owned())
    }
}

fn planned(
    adapter: &mut dyn Adapter,
    manifest: &EngineManifest,
    task: &TaskContract,
) -> Result<LaunchPlan, String> {
    let model = manifest.default_model.as_deref().or(manifest.has_models.then_some("a-model"));
    let environment = BTreeMap::from([(GIVEN.0.to_owned(), GIVEN.1.to_owned())]);
    let plan = adapter.plan(&PlanInput {
        contract: task,
        script: None,
        model,
        program: PROGRAM,
        entry: Some(ENTRY).filter(|_| manifest.adapter == AdapterKind::CaseFiles),
        listener_port: PORT,
        environment: &environment,
        earlier: None,
        prepared: &[],
    });
    plan.map_err(|error| error.to_string())
}

/// A plan starts the stored program, in a place of the sandbox's, with nothing of the harness's own environment.
fn input_shape(mut adapter: Box<dyn Adapter>, manifest: &EngineManifest, task: &TaskContract) -> Answer {
    let plan = planned(adapter.as_mut(), manifest, task)?;
    if plan.argv.first().map(String::as_str) != Some(PROGRAM) {
        return Err("the plan does not start the stored program".to_owned());
    }
    if !plan.cwd.starts_with('/') {
        return Err(format!("the plan starts in `{}`, which is no place inside", plan.cwd));
    }
    let named =
        |name: &String| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if let Some(wrong) = plan.env.keys().find(|name| !named(name) || name.starts_with("LD_")) {
        return Err(format!("the plan sets the variable `{wrong}`"));
    }
    let texts = plan.argv.iter().chain(plan.env.values());
    if texts.clone().any(|text| text.contains('\0')) {
        return Err("an argument or a variable of the plan holds a NUL byte".to_owned());
    }
    Ok(format!("{}, {}", counted(plan.argv.len(), "argument"), counted(plan.env.len(), "variable")))
}

/// Whatever it hears becomes claims of the engine's, the same each time.
fn evidence_shape(mut adapter: Box<dyn Adapter>, manifest: &EngineManifest, task: &TaskContract) -> Answer {
    planned(adapter.as_mut(), manifest, task)?;
    let lines = strange();
    let replayed = replay(adapter, &Transcript { lines: &lines, exit: "exited:0" });
    if let Some(trouble) = replayed.trouble {
        return Err(format!("strange lines are trouble to it: {trouble}"));
    }
    only_claims(&replayed.steps)?;
    let drafts = replayed.steps.iter().filter_map(|step| match step {
        Step::Event(draft) => Some(draft),
        _ => None,
    });
    if let Some(wrong) = drafts.clone().find(|draft| !draft.data.is_object()) {
        return Err(format!("the data of `{}` is no object", wrong.kind.as_str()));
    }
    Ok(format!("{}, all claimed", counted(drafts.count(), "event")))
}

/// A program that failed or was killed has not completed, whatever it said before.
fn claims_stay_claims(manifest: &EngineManifest, opened: &ProofFacts, task: &TaskContract) -> Answer {
    for exit in ["exited:1", "signal:9"] {
        let mut adapter = manifest.load_to_check(opened).map_err(|error| error.to_string())?;
        planned(adapter.as_mut(), manifest, task)?;
        let lines = strange();
        let outcome = replay(adapter, &Transcript { lines: &lines, exit }).outcome;
        // A module may say so: then the kernel's word is held against it where the verdict is made.
        if outcome.outcome == EngineOutcome::Completed && manifest.adapter != AdapterKind::Component {
            return Err(format!("it reads `{exit}` as a completed task"));
        }
    }
    Ok("a program that failed or was killed has not completed".to_owned())
}

fn of_case(manifest: &EngineManifest, ask: fn() -> Answer) -> Answer {
    match manifest.adapter {
        AdapterKind::CaseFiles => ask(),
        _ => Ok("there are none of this adapter".to_owned()),
    }
}

fn strange() -> Vec<(Stream, &'static [u8])> {
    let both = |line: &&'static str| [(Stream::Stdout, line.as_bytes()), (Stream::Stderr, line.as_bytes())];
    STRANGE.iter().flat_map(both).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::component::ComponentFile;
    use crate::engine::component::tests::made::module;
    use crate::event::{Draft, EventKind};
    use crate::vocab::{Basis, Digest, Timestamp};

    const MANIFEST: &str = "id = \"mine\"\ndisplay = \"Mine\"\ngated = true\nadapter = \"component\"\nspends = false\n\n\
                            [program]\ndiscover = \"configured\"\nname = \"mine\"\nform = \"native\"\n";

    const HAPPY: &str = include_str!("../../engines/case/transcripts/happy/events.jsonl");

    fn wrong(replaced: &[(&str, &str)]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(ComponentFile::NAME), module(replaced, "")).unwrap();
        let file = ComponentFile::of(folder.path()).unwrap();
        let manifest = EngineManifest::parse("mine", MANIFEST, true).unwrap().with_component(file);
        let record = Digest::of(b"record");
        let expires_at = Timestamp::from_unix_micros(0).unwrap();
        let opened = ProofFacts { record, expires_at, promotions: Vec::new(), held: None };
        let log = OfferedLog::of("x", HAPPY.to_owned());
        let task = crate::engine::codex::tests::contract();
        let mut steps = conformance(&manifest, &opened, &task, &[log]);
        assert!(steps.pop().is_some_and(|step| step.step == "log:x" && !step.ok), "a module reads no log");
        assert_eq!(steps.len(), 7);
        steps.into_iter().filter(|step| !step.ok).map(|step| step.step).collect()
    }

    #[test]
    fn an_adapter_that_misbehaves_does_not_conform_and_the_step_says_where() {
        assert!(wrong(&[]).is_empty(), "positive control");
        let plan = wrong(&[("plan", "unreachable")]);
        assert!(plan.contains(&"input-shape".to_owned()), "{plan:?}");
        for call in ["on-line", "opening", "on-exit"] {
            assert_eq!(wrong(&[(call, "unreachable")]), ["evidence-shape"], "{call}");
        }
    }

    #[test]
    fn what_becomes_of_strange_lines_is_a_claim_of_a_kind_that_an_engine_has() {
        let catalog = crate::engine::Catalog::load(None).unwrap();
        let manifest = catalog.get(&crate::vocab::EngineId::parse("case").unwrap()).unwrap();
        let task = crate::engine::codex::tests::contract();
        let shape = |bend: fn(&mut Draft)| {
            let mut bent = case::Bent::nowhere();
            bent.draft = bend;
            evidence_shape(Box::new(bent), manifest, &task)
        };
        shape(|_| {}).unwrap();
        assert!(shape(|draft| draft.basis = Basis::Observed).unwrap_err().contains("not told as a claim"));
        assert!(shape(|draft| draft.kind = EventKind::LimitReached).unwrap_err().contains("`limit.reached`"));
        assert!(shape(|draft| draft.data = serde_json::Value::Null).unwrap_err().contains("no object"));
    }
}
