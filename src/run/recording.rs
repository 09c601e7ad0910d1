//! A run while it is recorded: its record, its bundle, its audit lines, and the observer who is told.
//!
//! Guarantees: every act is announced in the audit log before it happens; every step ends with a signed head of
//! the event log; [`Recording::seal`] is the only end that gives an outcome. What cannot be recorded is an error
//! that ends the run, never a gap.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use serde_json::json;

use super::{Observer, Progress, RunError, RunRequest, Scene, Step};
use crate::audit::{Act, Audit, AuditError};
use crate::event::{Draft, EventKind, EventSink, SinkError};
use crate::evidence::{
    BundleError, BundleWriter, CONTRACT, Chain, RawLogs, Redactor, Report, SealStatement, SealedBundle,
};
use crate::home::{Home, HomeError};
use crate::store::{ConformanceError, LiveRun, RunState, Store, StoreError};
use crate::vocab::{Digest, RunId, shown};

/// Why a run could not be recorded (exit 4).
#[derive(Debug, thiserror::Error)]
pub(super) enum RecordError {
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error(transparent)]
    Sink(#[from] SinkError),
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Home(#[from] HomeError),
    #[error(transparent)]
    Conformance(#[from] ConformanceError),
    #[error("the folder {} could not be made or written: {source}", path.display())]
    Folder { path: PathBuf, source: std::io::Error },
    #[error("approvals: {0}")]
    Approval(String),
    #[error("{0}")]
    Program(String),
    #[error("a document could not be put into JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the event loop could not be started: {0}")]
    Loop(#[source] std::io::Error),
}

impl From<RecordError> for RunError {
    fn from(error: RecordError) -> Self {
        let remedy = "free disk space or make the folder writable (see --out and CTO_HOME), then run again; \
                      what was written so far verifies as incomplete";
        Self::Unrecorded { what: "the run", why: shown(&error.to_string()), remedy: remedy.into() }
    }
}

/// A run that is being recorded.
pub(super) struct Recording<'o> {
    live: LiveRun,
    bundle: BundleWriter,
    audit: Audit,
    observer: &'o mut dyn Observer,
    step: Option<Stopwatch>,
}

/// A step that is being timed.
pub(super) struct Stopwatch(Step, Instant);

impl Stopwatch {
    /// Begins a step and says so.
    pub(super) fn begin(step: Step, observer: &mut dyn Observer) -> Self {
        observer.progress(Progress::Began(step));
        Self(step, Instant::now())
    }

    /// Ends it and says so.
    pub(super) fn end(self, note: impl Into<String>, well: bool, observer: &mut dyn Observer) {
        let micros = u64::try_from(self.1.elapsed().as_micros()).unwrap_or(u64::MAX);
        observer.progress(Progress::Ended { step: self.0, micros, note: shown(&note.into()), well });
    }
}

impl<'o> Recording<'o> {
    /// Gives the run its record and bundle folder, seals the contract into it, and writes the first event.
    pub(super) fn begin(
        home: &Home,
        scene: &Scene,
        request: &RunRequest,
        redact: Redactor,
        observer: &'o mut dyn Observer,
    ) -> Result<Self, RecordError> {
        let audit = Audit::new(home.state(), scene.account());
        let key = Arc::new(home.sealing_key()?);
        let bundles = super::bundles::place(&request.cwd, request.out.as_deref());
        super::bundles::make(&bundles)?;
        let (run_id, task) = (&scene.run_id, scene.asked.contract.task());
        let bundle = bundles.join(run_id.as_str());
        audit.act(Act::OpenRun, Some(run_id), bundle.display().to_string())?;
        // The folder first, so that no record stands for a bundle that never was.
        let mut bundle = BundleWriter::create(&bundle, run_id.clone(), redact, key)
            .map_err(|error| RecordError::Folder { path: bundle, source: std::io::Error::other(error) })?;
        let live = Store::open(home.state())?.begin(run_id, &task.task_id, bundle.path())?;
        observer.progress(Progress::Launched { run_id: run_id.clone(), bundle: bundle.path().to_owned() });
        bundle.write(CONTRACT, scene.asked.contract.document())?;
        let attached = scene.asked.contract.attachments();
        for bytes in attached.verification_files.values().chain(&attached.script) {
            let name = format!("inputs/{}", Digest::of(bytes).hex());
            if !bundle.files().contains_key(&name) {
                bundle.write(&name, bytes)?;
            }
        }
        let mut recording = Self { live, bundle, audit, observer, step: None };
        let data = json!({"task_id": task.task_id, "contract": scene.asked.contract.digest(), "harness": super::HARNESS});
        recording.append(Draft::observed(EventKind::RunStarted, data))?;
        Ok(recording)
    }

    /// Which run.
    pub(super) fn run_id(&self) -> &RunId {
        &self.live.record.run_id
    }

    /// The folder for everything that must not outlive the run.
    pub(super) fn work(&self) -> PathBuf {
        self.live.work()
    }

    /// Announces an act; it must not happen when this fails.
    pub(super) fn announce(&self, act: Act, object: impl Into<String>) -> Result<(), RecordError> {
        Ok(self.audit.act(act, Some(self.run_id()), object)?)
    }

    /// Begins a step.
    pub(super) fn begin_step(&mut self, step: Step) {
        self.step = Some(Stopwatch::begin(step, self.observer));
    }

    /// Ends the step that was begun: a signed head, and a word to the observer.
    pub(super) fn end_step(&mut self, note: impl Into<String>) -> Result<(), RecordError> {
        self.end_step_as(note, true)
    }

    /// Like [`Recording::end_step`], for a step that can go wrong without ending the run.
    pub(super) fn end_step_as(&mut self, note: impl Into<String>, well: bool) -> Result<(), RecordError> {
        if let Some(watch) = self.step.take() {
            self.bundle.chain().checkpoint(watch.0.as_str())?;
            watch.end(note, well, self.observer);
        }
        Ok(())
    }

    /// Tells the observer alone.
    pub(super) fn tell(&mut self, progress: Progress) {
        self.observer.progress(progress);
    }

    /// The bundle that is being written.
    pub(super) const fn bundle(&mut self) -> &mut BundleWriter {
        &mut self.bundle
    }

    /// Remembers which approval the run waits for.
    pub(super) fn waits_for(&mut self, approval: &crate::vocab::ApprovalId) -> Result<(), RecordError> {
        Ok(self.live.update(|record| record.pending = Some(approval.clone()))?)
    }

    /// The approval that the run waits for.
    pub(super) fn pending(&self) -> Option<crate::vocab::ApprovalId> {
        self.live.record.pending.clone()
    }

    /// The two sinks of a stage that writes events and raw output, each event also told to the observer.
    pub(super) fn sinks(&mut self) -> (Told<'_>, &mut RawLogs) {
        let (chain, raw) = self.bundle.sinks();
        (Told { chain, observer: &mut *self.observer }, raw)
    }

    /// Seals. Nothing can be added afterwards.
    pub(super) fn seal(
        mut self,
        report: Report,
        statement: SealStatement,
    ) -> Result<SealedBundle, RecordError> {
        self.announce(Act::Seal, report.verdict.as_str())?;
        let verdict = report.verdict;
        let sealed = self.bundle.seal(report, statement)?;
        self.live.update(|record| record.run_state = RunState::Sealed { verdict })?;
        if let Some(watch) = self.step.take() {
            watch.end(sealed.root.to_string(), true, self.observer);
        }
        Ok(sealed)
    }
}

impl EventSink for Recording<'_> {
    fn append(&mut self, draft: Draft) -> Result<(), SinkError> {
        self.sinks().0.append(draft)
    }
}

/// The event log, with somebody watching.
pub(super) struct Told<'a> {
    chain: &'a mut Chain,
    observer: &'a mut dyn Observer,
}

impl EventSink for Told<'_> {
    fn append(&mut self, draft: Draft) -> Result<(), SinkError> {
        let (kind, line) = (draft.kind, super::line::of(&draft));
        self.chain.append(draft)?;
        self.observer.progress(Progress::Event { kind, line });
        Ok(())
    }
}
