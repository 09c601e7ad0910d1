//! The check of an engine: an ordinary run with a contract of the harness's own and a model that only recites.
//!
//! It is the one run that may start a program which nobody checked, and so it is closed: no caller's contract, no
//! key, no network, a tree that cannot be changed. What it showed is sealed like any run, and then kept as a record.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::cutoff::CutOff;
use super::execute::Tools;
use super::prepared;
use super::recording::{RecordError, Recording};
use super::report::Told;
use super::{RunError, Scene};
use crate::beneath::Dir;
use crate::broker::{Dial, Dialect, Route, StandIn};
use crate::eligibility::Observed;
use crate::engine::codex::check::{
    CONTRACT, Exercise, FOLDER, NEW_HOME, REPOSITORY, SCHEMA_FILE, StepRow, TOKENS, VERSION_FILE,
    judge as judge_steps, turns,
};
use crate::engine::{FinishedEngine, HOME_FOLDER, PreparedFile};
use crate::event::{Draft, EventSink, SinkError};
use crate::evidence::{Finding, SealedBundle};
use crate::home::Home;
use crate::store::{ConformanceRecord, ConformanceRecords, PreparedRow};
use crate::vocab::{Digest, EngineId, Timestamp, Verdict, shown};

/// Events that are kept for judging; a turn of the script has some fifty.
const EVENTS: usize = 5_000;
/// Bytes of the program's own schema.
const SCHEMA_BYTES: u64 = 16 * 1024 * 1024;
/// Bytes of what `--version` prints.
const VERSION_BYTES: u64 = 1_024;
/// Name of the steps in the bundle.
const STEPS: &str = "conformance.json";

/// Lays out the contract of the check of `engine` as a fixture, and names its folder.
pub(super) fn fixture(home: &Home, engine: &EngineId) -> Result<PathBuf, RunError> {
    if *engine != EngineId::codex() {
        return Err(RunError::Usage {
            sentence: format!("this version has no check of the engine `{engine}`"),
            remedy: "what is built in and takes no program of others has none; see `cto engine list`".into(),
        });
    }
    let folder = home.cache().join("conformance").join(engine.as_str());
    let (name, text) = REPOSITORY;
    let written = std::fs::create_dir_all(folder.join("repo"))
        .and_then(|()| put(&folder.join("contract.toml"), CONTRACT))
        .and_then(|()| put(&folder.join("repo").join(name), text));
    written.map_err(|source| RecordError::Folder { path: folder.clone(), source })?;
    Ok(folder)
}

/// The file holds exactly `text`; another process that does the same finds it whole.
pub(super) fn put(path: &Path, text: &str) -> std::io::Result<()> {
    if std::fs::read(path).is_ok_and(|found| found == text.as_bytes()) {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(Path::new("/"));
    let draft = tempfile::Builder::new().prefix(".new-").tempfile_in(folder.parent().unwrap_or(folder))?;
    std::fs::write(draft.path(), text)?;
    draft.persist(path).map(drop).map_err(|error| error.error)
}

/// The scripted model, for a check; `None` for every other run.
pub(super) async fn stand_in(tools: &Tools<'_>) -> Result<Option<StandIn>, CutOff> {
    if !tools.scene.facts.checking {
        return Ok(None);
    }
    let remedy = "Run again; it needs a port on 127.0.0.1.";
    StandIn::serve(turns(), TOKENS).await.map(Some).map_err(|error| CutOff::at("stand-in", error, remedy))
}

/// The only way out of a check. There is no key, whatever is configured.
pub(super) fn route(
    stand_in: &StandIn,
    dialect: Dialect,
    model: Option<String>,
) -> Result<Option<Route>, CutOff> {
    let Some(model) = model else { return Ok(None) };
    let remedy = "Run again; the scripted model is on 127.0.0.1.";
    let dial = Dial::new(stand_in.upstream().clone(), None);
    let dial = dial.map_err(|error| CutOff::at("stand-in", error, remedy))?;
    Ok(Some(Route { dial, dialect, key: None, model, purse: None }))
}

/// An event log that somebody reads along.
pub(super) struct Tap<'a> {
    sink: &'a mut dyn EventSink,
    seen: Option<Vec<Draft>>,
}

impl<'a> Tap<'a> {
    /// Keeps what goes into `sink`, where it is asked to.
    pub(super) fn over(sink: &'a mut dyn EventSink, keep: bool) -> Self {
        Self { sink, seen: keep.then(Vec::new) }
    }

    /// What was kept.
    pub(super) fn into_seen(self) -> Vec<Draft> {
        self.seen.unwrap_or_default()
    }
}

impl EventSink for Tap<'_> {
    fn append(&mut self, draft: Draft) -> Result<(), SinkError> {
        if let Some(seen) = self.seen.as_mut().filter(|seen| seen.len() < EVENTS) {
            seen.push(draft.clone());
        }
        self.sink.append(draft)
    }
}

/// What a check came to, for its record.
pub(super) struct Judged {
    version: Option<String>,
    schema: Option<Digest>,
    prepared: Vec<PreparedFile>,
}

impl Judged {
    /// Of an adapter, whose program was not started.
    pub(super) const fn of_an_adapter() -> Self {
        Self { version: None, schema: None, prepared: Vec::new() }
    }
}

/// Judges what the engine did in a check, where the scripted model stood in: the steps go into the bundle, and each that
/// failed is a finding.
pub(super) fn judge(
    stand_in: Option<&StandIn>,
    finished: &FinishedEngine,
    events: &[Draft],
    recording: &mut Recording<'_>,
    told: &mut Told,
) -> Result<(), RecordError> {
    let Some(stand_in) = stand_in else { return Ok(()) };
    let offered = stand_in.offered();
    // The engine is dead, and what lies there is its own: read like everything that strangers wrote.
    let home = Dir::open_root(&recording.work().join(HOME_FOLDER)).map_err(|error| error.to_string());
    let folder = home.and_then(|home| home.open_dir(FOLDER).map_err(|error| error.to_string()));
    let read = |name: &str, most: u64| -> Result<Vec<u8>, String> {
        folder.as_ref().map_err(String::clone)?.read_file(name, most).map_err(|error| error.to_string())
    };
    let new_home = folder.as_ref().map_err(String::clone);
    let new_home = new_home.and_then(|folder| folder.open_dir(NEW_HOME).map_err(|error| error.to_string()));
    let prepared = new_home.and_then(|home| prepared::databases(&home));
    let schema = read(SCHEMA_FILE, SCHEMA_BYTES);
    let version = read(VERSION_FILE, VERSION_BYTES)
        .and_then(|bytes| String::from_utf8(bytes).map_err(|error| error.to_string()));
    let steps = judge_steps(&Exercise {
        events,
        observed: &finished.observed,
        version: version.as_deref().map_err(String::as_str),
        schema: schema.as_deref().map_err(String::as_str),
        home: prepared.as_deref().map_err(String::as_str),
        offered: &offered,
    });
    let judged = Judged {
        version: version.ok().map(|version| shown(version.trim())),
        schema: schema.ok().map(|schema| Digest::of(&schema)),
        prepared: prepared.unwrap_or_default(),
    };
    let rows: Vec<PreparedRow> = judged.prepared.iter().map(PreparedRow::of).collect();
    let document = json!({"engine": finished.permit().engine(), "program": finished.permit().program(),
        "version": judged.version, "protocol_schema": judged.schema, "prepared": rows, "steps": steps});
    record_steps(&document, steps, recording, told)?;
    told.conformance = Some(judged);
    Ok(())
}

/// Puts the steps of a check into the bundle; each that failed is a finding.
pub(super) fn record_steps(
    document: &serde_json::Value,
    steps: Vec<StepRow>,
    recording: &mut Recording<'_>,
    told: &mut Told,
) -> Result<(), RecordError> {
    recording.bundle().write(STEPS, format!("{document:#}\n").as_bytes())?;
    for step in steps.into_iter().filter(|step| !step.ok) {
        told.sections.findings.push(Finding {
            code: format!("conformance.{}", step.step.split(':').next().unwrap_or("step")),
            path: String::new(),
            line: None,
            sentence: format!("The step `{}` of the check: {}.", step.step, step.detail),
            weight: Verdict::Fail,
        });
    }
    Ok(())
}

/// Keeps the record of a check that was judged and sealed.
pub(super) fn keep(
    home: &Home,
    scene: &Scene,
    judged: Option<Judged>,
    sealed: &SealedBundle,
) -> Result<(), RecordError> {
    let engine = scene.asked.contract.task().engine.as_ref().map(|choice| &choice.id);
    let (Some(judged), Some(engine)) = (judged, engine) else { return Ok(()) };
    let Some((facts, Observed::Seen(program))) =
        scene.facts.engines.get(engine).map(|facts| (facts, &facts.program))
    else {
        return Ok(());
    };
    let record = ConformanceRecord {
        engine: engine.clone(),
        program: program.digest,
        adapter: facts.adapter,
        version: judged.version,
        schema: judged.schema,
        harness: super::HARNESS.to_owned(),
        checked_at: Timestamp::now(),
        run_id: scene.run_id.clone(),
        root: sealed.root,
        passed: sealed.report.verdict == Verdict::Pass,
        prepared: Vec::new(),
    };
    Ok(ConformanceRecords::of(home.state()).keep(record, &judged.prepared, &home.sealing_key()?)?)
}
