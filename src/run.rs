//! The story: one sealed contract to one sealed bundle.
//!
//! A run reads from top to bottom: contract → facts → decision → (approval → decision again) → permit →
//! workspace → sandbox → engine → patch → verification in a second sandbox → inspection → verdict → sealed
//! bundle. A run that is refused, fails, is cancelled or breaks seals a bundle too; an error value means only
//! that something could not be asked for or could not be recorded.

mod approve;
mod bundles;
mod cancel;
mod claims;
mod conformance;
mod cutoff;
mod earlier;
mod earned;
mod engines;
mod execute;
mod gather;
mod input;
mod judge;
mod learn;
mod leftovers;
mod line;
#[cfg(test)]
mod module_tests;
mod money;
mod offered;
mod output;
mod people;
mod prepared;
mod proving;
mod publish;
pub mod recheck;
mod recording;
mod report;
mod request;
mod resume;
mod stop;
mod target;
mod threads;

use std::sync::Arc;

pub use cancel::{Cancelled, cancel};
pub use gather::{evidence_places, own_places};
pub use leftovers::clean_up;
pub use publish::{UNRECORDED, publish};
pub use request::{ContractInput, Observer, Progress, RunError, RunOutcome, RunRequest, Step};
pub use resume::{resumable, resume};

use serde_json::json;

use crate::audit::{Act, Audit};
use crate::eligibility::{Decision, DecisionDocument, Facts, Observed, decide};
use crate::event::{Draft, EventKind, EventSink as _};
use crate::evidence::{DECISION, Redactor, SealStatement};
use crate::home::Home;
use crate::inspection::secrets::Scanner;
use crate::vocab::{EngineId, RunId, Timestamp, counted};
use crate::workspace::RunUidLease;

use cutoff::CutOff;
use earlier::Earlier;
use execute::Tools;
use gather::{Probing, Seen, Settings};
use input::Asked;
use recording::{RecordError, Recording, Stopwatch};
use report::Told;
use resume::Again;
use stop::Stop;

/// Name and version of this program, as it stands in evidence.
pub const HARNESS: &str = concat!("cto-harness ", env!("CARGO_PKG_VERSION"));

/// Runs what `request` names and seals what came of it.
pub fn run(home: &Home, request: &RunRequest, observer: &mut dyn Observer) -> Result<RunOutcome, RunError> {
    block_on(tell(home, request, None, observer))
}

fn block_on(told: impl Future<Output = Result<RunOutcome, RunError>>) -> Result<RunOutcome, RunError> {
    let event_loop = tokio::runtime::Builder::new_current_thread().enable_all().build();
    event_loop.map_err(RecordError::Loop)?.block_on(told)
}

/// Decides what `request` names, and starts nothing. The document is what a run would seal.
pub fn decide_only(home: &Home, request: &RunRequest) -> Result<DecisionDocument, RunError> {
    let probing = Probing::begin(home);
    let settings = Settings::read(home)?;
    let asked = Asked::seal(home, request, &settings.ceilings)?;
    asked.refuse_secret_names(&Scanner::embedded())?;
    let scene = Scene::look(home, request, settings, asked, RunId::new(), probing)?;
    let audit = Audit::new(home.state(), scene.account());
    audit.act(Act::Decide, None, scene.asked.contract.digest().to_string()).map_err(RecordError::from)?;
    Ok(scene.decide(home)?.document().clone())
}

/// Everything that is known before the decision.
struct Scene {
    settings: Settings,
    asked: Asked,
    seen: Seen,
    facts: Facts,
    run_id: RunId,
}

impl Scene {
    fn look(
        home: &Home,
        request: &RunRequest,
        settings: Settings,
        asked: Asked,
        run_id: RunId,
        probing: Probing,
    ) -> Result<Self, RecordError> {
        let bundles = bundles::place(&request.cwd, request.out.as_deref());
        let seen = Seen::look(home, &settings, &asked, request.engine.as_ref(), &bundles, probing)?;
        let facts = gather::facts(&settings, &asked, request, &seen, home.caller_uid()?)?;
        Ok(Self { settings, asked, seen, facts, run_id })
    }

    fn account(&self) -> &str {
        &self.facts.requester.account
    }

    /// The model that the decision names for an engine.
    fn model(&self, engine: &EngineId) -> Option<String> {
        self.facts.engines.get(engine)?.model.clone()
    }

    /// Names that stand in every bundle as they are: an engine that calls one a secret makes it none.
    fn names(&self) -> Vec<String> {
        let contract = &self.asked.contract;
        let mut names =
            vec![self.run_id.to_string(), contract.task().task_id.to_string(), contract.digest().to_string()];
        names.extend(self.seen.source.base().iter().flat_map(|b| [b.commit.to_string(), b.tree.to_string()]));
        names
    }

    /// What the root of the bundle says beyond its report.
    fn statement(&self, document: &DecisionDocument) -> SealStatement {
        let programs = self.facts.engines.iter().filter_map(|(id, facts)| match &facts.program {
            Observed::Seen(program) => Some((id.to_string(), program.digest)),
            Observed::Absent(_) | Observed::Error(_) => None,
        });
        let base = self.seen.source.base();
        SealStatement {
            policy: document.policy_digest,
            gate_set: document.gate_set,
            base_commit: base.map(|base| base.commit.clone()),
            base_tree: base.map(|base| base.tree.clone()),
            programs: programs.collect(),
            harness: HARNESS.to_owned(),
            sealed_at: Timestamp::now(),
        }
    }

    /// Decides; where approvals are on record for exactly this request, they join the facts first.
    fn decide(&self, home: &Home) -> Result<Decision, RecordError> {
        let first = decide(&self.asked.contract, &self.facts);
        let found = approve::on_record(home, self, first.document())?;
        if found.is_empty() {
            return Ok(first.stamped(Timestamp::now(), HARNESS));
        }
        let facts = Facts { approvals: found.answers, approval_errors: found.errors, ..self.facts.clone() };
        Ok(decide(&self.asked.contract, &facts).stamped(Timestamp::now(), HARNESS))
    }
}

async fn tell(
    home: &Home,
    request: &RunRequest,
    again: Option<Again>,
    observer: &mut dyn Observer,
) -> Result<RunOutcome, RunError> {
    let stop = Stop::listen().map_err(RecordError::Loop)?;
    let probing = Probing::begin(home);
    let settings = Settings::read(home)?;
    let asked = Asked::seal(home, request, &settings.ceilings)?;
    let scanner = Arc::new(Scanner::embedded());
    asked.refuse_secret_names(&scanner)?;
    again.as_ref().map_or(Ok(()), |again| again.refuse_other(&asked))?;
    clean_up(home)?;
    if again.is_none() {
        for run_id in resume::of_task(home, &asked)? {
            observer.progress(Progress::CanResume { run_id });
        }
    }

    let watch = Stopwatch::begin(Step::Facts, observer);
    let run_id = again.as_ref().map_or_else(RunId::new, Again::run_id);
    let mut scene = Scene::look(home, request, settings, asked, run_id, probing)?;
    bundles::refuse_unfit(&bundles::place(&request.cwd, request.out.as_deref()), &scene.seen.source)?;
    watch.end("", true, observer);
    stop.recording_begins();
    scanner.spare(scene.names());
    let redact: Redactor = scanner.clone();
    let (mut earlier, mut lease) = (Earlier::default(), None);
    let mut recording = match again {
        None => Recording::begin(home, &scene, request, redact, observer)?,
        Some(again) => {
            lease = again.lease;
            Recording::reopen(home, &scene, again.live, redact, &mut earlier, observer)?
        }
    };
    loop {
        let mut told = Told::new(earlier.started());
        let begun = Begun { home, request, scanner: &scanner, stop: &stop, earlier: &earlier };
        let (document, died) = attempt(&begun, &mut scene, &mut lease, &mut recording, &mut told).await?;
        if !died {
            return conclude(home, &scene, &document, told, &stop, recording);
        }
        earlier = recording.again(&scene)?;
        let (probing, settings) = (Probing::begin(home), Settings::read(home)?);
        scene = Scene::look(home, request, settings, scene.asked.clone(), scene.run_id.clone(), probing)?;
    }
}

/// What stays the same from one attempt of a run to the next.
struct Begun<'a> {
    home: &'a Home,
    request: &'a RunRequest,
    scanner: &'a Arc<Scanner>,
    stop: &'a Stop,
    earlier: &'a Earlier,
}

/// One attempt, from the decision to what inspection found. Whether its engine died, and it is to be gone on with.
async fn attempt(
    begun: &Begun<'_>,
    scene: &mut Scene,
    lease: &mut Option<RunUidLease>,
    recording: &mut Recording<'_>,
    told: &mut Told,
) -> Result<(DecisionDocument, bool), RunError> {
    let Begun { home, request, scanner, stop, earlier } = *begun;
    earlier.tell(told);
    recording.begin_step(Step::Decision);
    recording.announce(Act::Decide, scene.asked.contract.digest().to_string())?;
    let mut decision = scene.decide(home)?;
    if decision.document().waits_only_for_approval() && stop.said().is_none() {
        let open = approve::ask(home, scene, decision.document(), recording)?;
        if request.wait {
            let waiting = (decision, open);
            decision = approve::wait(home, request, scene, waiting, stop, recording).await?;
        }
    }
    let document = decision.document().clone();
    emit(home, &document, recording)?;
    match (decision.permit(Timestamp::now()), earlier.refuses_base(scene.seen.source.base())) {
        (Err(refused), _) => told.refuse(&document, &refused),
        (Ok(_), Some(moved)) => told.cut_off(CutOff::Sealed(moved))?,
        (Ok(permit), None) if permit.starts_nothing() => proving::exercise(permit, scene, recording, told)?,
        (Ok(permit), None) => {
            let tools = Tools { home, scene, scanner, stop, earlier };
            match Box::pin(execute::execute(permit, &tools, lease, recording, told)).await {
                Err(CutOff::EngineDied) => return Ok((document, true)),
                Err(cut) => told.cut_off(cut)?,
                Ok(()) => {}
            }
        }
    }
    Ok((document, false))
}

/// Puts the decision and the answers it saw into the evidence.
fn emit(home: &Home, document: &DecisionDocument, recording: &mut Recording<'_>) -> Result<(), RecordError> {
    let mut text = serde_json::to_vec_pretty(document)?;
    text.push(b'\n');
    recording.bundle().write(DECISION, &text)?;
    approve::attach(home, document, recording)?;
    let data = json!({
        "decision_id": document.decision_id, "selected_backend": document.selected_backend,
        "passed": document.passed_gates.len(), "missing": document.missing_gates.len(),
    });
    recording.append(Draft::observed(EventKind::DecisionEmitted, data))?;
    match document.missing_gates.len() {
        0 => recording.end_step(format!("{} passed", counted(document.passed_gates.len(), "gate"))),
        refused => recording.end_step_as(format!("{} did not pass", counted(refused, "gate")), false),
    }
}

/// The verdict, the seal, and what the harness leaves behind: nothing but the bundle and the record.
fn conclude(
    home: &Home,
    scene: &Scene,
    document: &DecisionDocument,
    mut told: Told,
    stop: &Stop,
    mut recording: Recording<'_>,
) -> Result<RunOutcome, RunError> {
    recording.begin_step(Step::Seal);
    let withheld = recording.bundle().withheld(&mut told.sections).map_err(RecordError::from)?;
    told.withheld(&withheld);
    let judged = told.conformance.take().filter(|_| stop.said().is_none());
    let report = told.report(recording.run_id().clone(), scene.asked.contract.task(), document);
    let data = json!({"verdict": report.verdict, "reasons": report.reasons.iter().map(|r| &r.code).collect::<Vec<_>>()});
    recording.append(Draft::observed(EventKind::VerdictReached, data)).map_err(RecordError::from)?;
    recording
        .append(Draft::observed(EventKind::RunFinished, json!({"stage": report.sections.stage_reached})))
        .map_err(RecordError::from)?;
    let pending = recording.pending().filter(|_| !document.eligible());
    let sealed = recording.seal(report, scene.statement(document))?;
    conformance::keep(home, scene, judged, &sealed)?;
    let publication = publish::after_seal(home, &scene.run_id);
    Ok(RunOutcome {
        run_id: scene.run_id.clone(),
        verdict: sealed.report.verdict,
        reasons: sealed.report.reasons,
        bundle: sealed.path,
        decision_id: document.decision_id,
        pending,
        publication,
        interrupted: stop.said().is_some(),
    })
}
