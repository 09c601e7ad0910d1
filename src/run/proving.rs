//! The proof of a gated engine's gates (`cto proof run … --stage default-deny`): an ordinary run by the harness's own
//! contract, decided like any other, that loads the adapter which starts nothing and goes through the gate matrix.
//!
//! Its permit is spent on that adapter and on nothing else; no sandbox, no process and no model are made. What it came to
//! is sealed like any run, and `cto verify` makes every cell again from contract and facts.

use std::path::PathBuf;

use serde_json::json;

use super::conformance::{Judged, put, record_steps};
use super::recording::{RecordError, Recording};
use super::report::Told;
use super::{RunError, Scene, Step};
use crate::audit::Act;
use crate::eligibility::{ExecutionPermit, Observed, matrix};
use crate::engine::codex::check::StepRow;
use crate::engine::{OfferedLog, conformance, exercise_no_op};
use crate::event::{Draft, EventKind, EventSink as _};
use crate::evidence::{Finding, ProofSection};
use crate::home::Home;
use crate::vocab::{EngineId, Stage, Verdict, counted};

/// The phase's name in the event log.
const PHASE: &str = "gate-matrix";
/// What lies in the tree of the proof.
const README: &str = "Nothing is done here. The gates of an engine are taken away, one at a time.\n";

/// The contract of the proof of `engine`.
fn contract(engine: &EngineId) -> String {
    format!(
        "# What `cto proof run {engine} --stage default-deny` decides on: nothing of anybody's, and nothing that runs.\n\
         contract_version = \"1\"\n\
         task_id = \"proof-{engine}-default-deny\"\n\
         title = \"Proof of the gates of {engine}\"\n\
         instructions = \"Nothing is asked: no process is started.\"\n\
         target_repository = \"repo\"\n\
         authority_basis = {{ kind = \"task-contract\", reference = \"cto proof run {engine} --stage default-deny\" }}\n\
         risk_class = \"SAFE\"\n\
         mutation_mode = \"none\"\n\
         allowed_paths = []\n\
         forbidden_actions = [\"git.push\", \"network.egress\"]\n\
         approval_required = false\n\
         verification_commands = []\n\
         evidence_expectations = []\n\
         engine = \"{engine}\"\n"
    )
}

/// Lays out the contract of the proof of `engine` as a fixture, and names its folder.
pub(super) fn fixture(home: &Home, engine: &EngineId) -> Result<PathBuf, RunError> {
    let folder = home.cache().join("proof").join(engine.as_str());
    let written = std::fs::create_dir_all(folder.join("repo"))
        .and_then(|()| put(&folder.join("contract.toml"), &contract(engine)))
        .and_then(|()| put(&folder.join("repo").join("README.md"), README));
    written.map_err(|source| RecordError::Folder { path: folder.clone(), source })?;
    Ok(folder)
}

/// Goes through the matrix. The permit is used up, and what came of it is told.
pub(super) fn exercise(
    permit: ExecutionPermit,
    scene: &Scene,
    recording: &mut Recording<'_>,
    told: &mut Told,
) -> Result<(), RecordError> {
    told.reached(Step::Proof);
    recording.begin_step(Step::Proof);
    let contract = &scene.asked.contract;
    recording.announce(Act::ProveGates, format!("{} {}", permit.engine(), permit.decision_id()))?;
    recording.append(Draft::observed(EventKind::PhaseStarted, json!({"phase": PHASE})))?;
    let seen = match exercise_no_op(permit, contract.task()) {
        Ok(seen) => seen,
        Err(error) => {
            told.sections.findings.push(finding(error.to_string()));
            return recording.end_step_as("the permit is of another kind", false);
        }
    };
    told.sections.findings.extend(seen.did.into_iter().map(finding));
    let section = ProofSection {
        stage: Stage::DefaultDeny,
        adapter: seen.adapter.to_owned(),
        cells: matrix(contract, &scene.facts),
    };
    let (cells, wrong) = (section.cells.len(), section.wrong().count());
    let data = json!({"phase": PHASE, "cells": cells, "wrong": wrong, "adapter": seen.adapter});
    recording.append(Draft::observed(EventKind::PhaseFinished, data))?;
    told.sections.proof = Some(section);
    if scene.asked.checking {
        conform(scene, recording, told)?;
    }
    recording.end_step_as(counted(cells, "cell"), wrong == 0 && cells > 0)
}

/// Asks the adapter what it makes of logs; what came of it is kept as the record of exactly this adapter and program.
fn conform(scene: &Scene, recording: &mut Recording<'_>, told: &mut Told) -> Result<(), RecordError> {
    let task = scene.asked.contract.task();
    let engine = task.engine.as_ref().map(|choice| &choice.id);
    let facts = engine.and_then(|engine| scene.facts.engines.get(engine));
    let manifest = engine.and_then(|engine| scene.seen.engines.manifest(engine));
    let program = facts.map(|facts| &facts.program);
    let opened = facts.and_then(|facts| facts.proof.as_ref());
    let (Some(manifest), Some(Observed::Seen(opened))) = (manifest, opened) else {
        // The permit says that both are there; if not, nothing was asked, and that is no pass.
        told.sections
            .findings
            .push(finding("the adapter could not be asked: its proof is not open".to_owned()));
        return Ok(());
    };
    let logs = &scene.asked.logs;
    let mut steps = conformance(manifest, opened, task, logs);
    let (ok, detail, program) = match program {
        Some(Observed::Seen(program)) => (true, program.digest.to_string(), Some(program.digest)),
        _ => (false, "no program of it is admitted: `cto engine admit`".to_owned(), None),
    };
    steps.push(StepRow { step: "program".to_owned(), ok, detail });
    // Which logs it was about, for whoever has them; their text is nobody's evidence.
    let named = |log: &OfferedLog| json!({"name": log.name(), "digest": log.digest(), "bytes": log.size()});
    let logs: Vec<_> = logs.iter().map(named).collect();
    let document = json!({"engine": engine, "program": program, "adapter": manifest.digest, "logs": logs,
        "steps": steps});
    record_steps(&document, steps, recording, told)?;
    told.conformance = Some(Judged::of_an_adapter());
    Ok(())
}

fn finding(sentence: String) -> Finding {
    let code = "proof.adapter".to_owned();
    Finding { code, path: String::new(), line: None, sentence, weight: Verdict::Blocked }
}
