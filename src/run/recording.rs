//! A run while it is recorded: its record, its bundle, its audit lines, and the observer who is told.
//!
//! Guarantees: every act is announced in the audit log before it happens; every step ends with a signed head of
//! the event log; [`Recording::seal`] is the only end that gives an outcome. What cannot be recorded is an error
//! that ends the run, never a gap.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use serde_json::json;

use super::earlier::Earlier;
use super::{Observer, Progress, RunError, RunRequest, Scene, Step};
use crate::audit::{Act, Audit, AuditError};
use crate::contract::Permission;
use crate::engine::KeptFiles;
use crate::event::{Draft, EventKind, EventSink, Redact, SinkError};
use crate::evidence::{
    AttemptEnd, BundleError, BundleWriter, CONTRACT, Chain, RESUMED, RawLogs, Redactor, Report,
    SealStatement, SealedBundle,
};
use crate::home::{Home, HomeError};
use crate::process::ProcessIdentity;
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
    redact: Redactor,
    observer: &'o mut dyn Observer,
    step: Option<Stopwatch>,
    threads: Option<KeptFiles>,
}

fn run_started(scene: &Scene) -> Draft {
    let (task, contract) = (&scene.asked.contract.task().task_id, scene.asked.contract.digest());
    let data = json!({"task_id": task, "contract": contract, "harness": super::HARNESS});
    Draft::observed(EventKind::RunStarted, data)
}

/// The contract and what came with it.
fn write_contract(bundle: &mut BundleWriter, scene: &Scene) -> Result<(), BundleError> {
    let contract = &scene.asked.contract;
    bundle.write(CONTRACT, contract.document())?;
    let attached = contract.attachments();
    for bytes in attached.verification_files.values().chain(&attached.script) {
        let name = format!("inputs/{}", Digest::of(bytes).hex());
        if !bundle.files().contains_key(&name) {
            bundle.write(&name, bytes)?;
        }
    }
    Ok(())
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
        let mut bundle = BundleWriter::create(&bundle, run_id.clone(), redact.clone(), key)
            .map_err(|error| RecordError::Folder { path: bundle, source: std::io::Error::other(error) })?;
        let mut live = Store::open(home.state())?.begin(run_id, &task.task_id, bundle.path())?;
        if task.permissions.contains(&Permission::Commit) {
            live.update(|record| record.may_commit = true)?;
        }
        observer.progress(Progress::Launched { run_id: run_id.clone(), bundle: bundle.path().to_owned() });
        write_contract(&mut bundle, scene)?;
        if let Some(kept) = super::resume::kept(request, scene) {
            live.keep_request(&kept)?;
        }
        let mut recording = Self { live, bundle, audit, redact, observer, step: None, threads: None };
        recording.append(run_started(scene))?;
        Ok(recording)
    }

    /// Goes on with the run of `live`, whose process died: its record, its bundle, its event log. `earlier` reads the log.
    pub(super) fn reopen(
        home: &Home,
        scene: &Scene,
        mut live: LiveRun,
        redact: Redactor,
        earlier: &mut Earlier,
        observer: &'o mut dyn Observer,
    ) -> Result<Self, RecordError> {
        let audit = Audit::new(home.state(), scene.account());
        let key = Arc::new(home.sealing_key()?);
        let (run_id, path) = (live.record.run_id.clone(), live.record.bundle.clone());
        audit.act(Act::OpenRun, Some(&run_id), path.display().to_string())?;
        let (bundle, cut) = BundleWriter::reopen(&path, run_id.clone(), redact.clone(), key, &mut |event| {
            earlier.see(event);
        })?;
        live.go_on()?;
        observer.progress(Progress::Launched { run_id, bundle: path });
        let mut recording = Self { live, bundle, audit, redact, observer, step: None, threads: None };
        recording.next_attempt(scene, earlier, AttemptEnd::HarnessDied, cut)?;
        Ok(recording)
    }

    /// Begins another attempt in this process, the last one's engine having died.
    pub(super) fn again(&mut self, scene: &Scene) -> Result<Earlier, RecordError> {
        self.end_step_as("it died by itself", false)?;
        let mut earlier = Earlier::default();
        self.bundle.events_so_far(&mut |event| earlier.see(event))?;
        self.next_attempt(scene, &mut earlier, AttemptEnd::EngineDied, 0)?;
        Ok(earlier)
    }

    /// Sets aside what the last attempt wrote, and says that the next one begins.
    fn next_attempt(
        &mut self,
        scene: &Scene,
        earlier: &mut Earlier,
        why: AttemptEnd,
        cut: u64,
    ) -> Result<(), RecordError> {
        earlier.left(self.bundle.set_aside(earlier.attempt())?);
        write_contract(&mut self.bundle, scene)?;
        if self.bundle.chain().is_empty() {
            self.append(run_started(scene))?;
        }
        let keeps = self.live.record.held.thread.is_some();
        let events = self.bundle.chain().len();
        self.append(earlier.begin_next(events, why, keeps, cut))?;
        Ok(self.bundle.chain().checkpoint(RESUMED)?)
    }

    /// Remembers what a later attempt needs, where this one dies: who owns the tree, and whose end is its engine's end.
    pub(super) fn holds(
        &mut self,
        uid: Option<u32>,
        init: Option<ProcessIdentity>,
    ) -> Result<(), RecordError> {
        Ok(self.live.update(|record| {
            record.held.uid = uid;
            record.held.init = init.map(|init| (init.pid, init.started));
        })?)
    }

    /// What holds the engine's threads, where it has any that can be gone on with: the next one that it names is
    /// remembered.
    pub(super) fn keeps_threads(&mut self, files: Option<KeptFiles>) {
        self.threads = files;
    }

    /// What holds the engine's threads.
    pub(super) fn threads(&self) -> Option<KeptFiles> {
        self.threads.clone()
    }

    /// Whether the engine's thread can be gone on with.
    pub(super) const fn has_thread(&self) -> bool {
        self.live.record.held.thread.is_some()
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
        let (live, redact) = (&mut self.live, &*self.redact);
        let threads = self.threads.is_some();
        (Told { chain, live, threads, redact, observer: &mut *self.observer }, raw)
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
        self.live.update(|record| {
            record.run_state = RunState::Sealed { verdict };
            record.root = Some(sealed.root);
        })?;
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
    live: &'a mut LiveRun,
    /// Whether the engine's threads can be gone on with.
    threads: bool,
    redact: &'a dyn Redact,
    observer: &'a mut dyn Observer,
}

impl EventSink for Told<'_> {
    fn append(&mut self, draft: Draft) -> Result<(), SinkError> {
        let (kind, line) = (draft.kind, super::line::of(&draft, self.redact));
        let (waits, answered) = (super::line::waits_for(&draft), super::line::answered(&draft));
        let thread = draft.data.get("thread_id").and_then(|id| id.as_str()).map(str::to_owned);
        self.chain.append(draft)?;
        if kind == EventKind::ThreadStarted && self.threads {
            self.live.update(|record| record.held.thread = thread).map_err(unrecorded)?;
        }
        self.observer.progress(Progress::Event { kind, line });
        if answered.is_some() && self.live.record.pending == answered {
            self.live.update(|record| record.pending = None).map_err(unrecorded)?;
        }
        if let Some(approval) = waits {
            self.live.update(|record| record.pending = Some(approval.clone())).map_err(unrecorded)?;
            self.observer.progress(Progress::Waiting { approval });
        }
        Ok(())
    }
}

fn unrecorded(error: StoreError) -> SinkError {
    SinkError(std::io::Error::other(error))
}
