//! `cto run`: the whole flow, with a live view and a summary.

use std::time::Duration;

use serde_json::json;

use super::args::RunArgs;
use super::live::LiveView;
use super::output::{Line, Output, Tone};
use super::problem::Problem;
use super::request::request;
use super::{Exit, bundle_view, publish, summary};
use crate::event::EventKind;
use crate::evidence::PATCH;
use crate::home::Home;
use crate::run::{Observer, Progress, RunError, RunOutcome, RunRequest, Step, run as carry_out};

/// Runs a contract and shows what came of it.
pub(super) fn run(args: &RunArgs, output: &mut Output) -> Result<Exit, Problem> {
    output.for_programs(args.json);
    let mut request = request(&args.contract, args.engine.as_deref())?;
    request.out.clone_from(&args.out);
    request.wait = args.wait;
    request.learn = args.learn;
    carry(&request, args.json, output)
}

/// Carries out `request`, with a live view or with two lines of JSON.
pub(super) fn carry(request: &RunRequest, json: bool, output: &mut Output) -> Result<Exit, Problem> {
    let home = Home::open()?;
    watched(json, output, |watching| carry_out(&home, request, watching))
}

/// Carries a run out, shows what happens meanwhile and what came of it.
pub(super) fn watched(
    json: bool,
    output: &mut Output,
    carry_out: impl FnOnce(&mut dyn Observer) -> Result<RunOutcome, RunError>,
) -> Result<Exit, Problem> {
    let outcome = {
        let mut watching = Watching { view: (!json).then(LiveView::new), output };
        carry_out(&mut watching)?
    };
    let exit = exit_of(&outcome);
    if json {
        output.json(&result(&outcome, exit));
    } else {
        let view = bundle_view::BundleView { dir: outcome.bundle.clone(), record: None };
        let patch = view.read(PATCH)?;
        if let Some(report) = view.report()? {
            summary::print(&report, &outcome.bundle, patch.as_deref(), output);
        }
        epilogue(&outcome, output);
    }
    Ok(exit)
}

fn exit_of(outcome: &RunOutcome) -> Exit {
    if outcome.interrupted {
        Exit::Interrupted
    } else {
        outcome.publication.as_ref().map_or_else(|| outcome.verdict.into(), publish::exit_of)
    }
}

fn result(outcome: &RunOutcome, exit: Exit) -> serde_json::Value {
    json!({"result": {
        "run_id": outcome.run_id, "verdict": outcome.verdict, "reasons": outcome.reasons,
        "bundle": outcome.bundle, "decision_id": outcome.decision_id, "approval": outcome.pending,
        "branch": outcome.publication.as_ref().and_then(publish::made), "publication": outcome.publication,
        "exit_code": exit.code(),
    }})
}

fn epilogue(outcome: &RunOutcome, output: &mut Output) {
    if let Some(id) = &outcome.pending {
        let line = Line::of(" ").plain("somebody has to say yes: ");
        output.say(&line.add(Tone::Accent, format!("cto approve {id} --as NAME --key FILE")));
        output.say(&Line::of(" ").plain("and then run the same contract again"));
    }
    if let Some(publication) = &outcome.publication {
        publish::tell(publication, output);
    }
}

/// Tells a person on standard error, and a program the one line it waits for.
struct Watching<'a> {
    view: Option<LiveView>,
    output: &'a mut Output,
}

impl Observer for Watching<'_> {
    fn progress(&mut self, progress: Progress) {
        if let Progress::CanResume { run_id } = &progress {
            let line = Line::of(" ").plain("an earlier run of this task died and can be gone on with: ");
            self.output.note(&line.add(Tone::Accent, format!("cto resume {run_id}")));
            return;
        }
        let Some(view) = &self.view else {
            if let Progress::Launched { run_id, bundle } = progress {
                self.output.launched(run_id, bundle);
            } else if let Progress::Waiting { approval } = &progress {
                // Standard output has its two lines and nothing else; whoever waits with it reads this one.
                self.output.note(&Line::new().plain(json!({"waiting": {"approval": approval}}).to_string()));
            }
            return;
        };
        match progress {
            Progress::Launched { run_id, .. } => view.title(run_id.as_str()),
            Progress::Began(step) => view.begin(step.as_str()),
            Progress::Ended { step, micros, note, well } => {
                let note = if step == Step::Seal { "" } else { note.as_str() };
                view.done(step.as_str(), Duration::from_micros(micros), note, well);
            }
            Progress::Event { kind, line } => {
                if of_the_engine(kind) {
                    view.engine_line(&line);
                }
            }
            Progress::CanResume { .. } => {}
            Progress::Waiting { approval } => {
                view.note(&format!("waiting for: cto approve {approval} --as NAME --key FILE"));
            }
        }
    }
}

const fn of_the_engine(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::ToolCalled
            | EventKind::ToolFinished
            | EventKind::Message
            | EventKind::PhaseStarted
            | EventKind::EngineError
            | EventKind::EgressDenied
            | EventKind::CheckFinished
            | EventKind::LimitReached
    )
}
