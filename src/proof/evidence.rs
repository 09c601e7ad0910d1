//! A bundle as evidence of a stage: verified as hostile input, and held against the engine and its records as they are now.

use std::fs;
use std::path::Path;

use super::signed::HeldAgainst;
use crate::beneath::{Dir, FileKind};
use crate::eligibility::{DecisionDocument, EngineFacts, Observed, Requester};
use crate::evidence::{MAX_FILE, MAX_NAMES, ROOT, list};
use crate::verify::{Expect, Outcome, verify};
use crate::vocab::{Digest, EngineId, Stage, Verdict};

use super::EvidenceRef;

/// What a bundle has to be about.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The engine.
    pub engine: &'a EngineId,
    /// The stage in which it ran.
    pub stage: Stage,
    /// Digest of the admitted program.
    pub program: Digest,
    /// Digest of adapter and manifest.
    pub adapter: Digest,
    /// Digest of the admission record.
    pub admission: Digest,
    /// Digest of the proof gate record.
    pub gate: Digest,
}

/// What a bundle shows.
#[derive(Debug, Clone)]
pub struct Shown {
    /// How it is named in a promotion.
    pub named: EvidenceRef,
    /// Who ran it.
    pub runner: Requester,
}

/// Verifies the bundle in `path` and holds it against `wanted`; the error is a sentence.
pub fn judge(path: &Path, wanted: &Wanted<'_>, against: &HeldAgainst<'_>) -> Result<Shown, String> {
    let report =
        verify(path, against.trust, &Expect::default(), against.now).map_err(|error| error.to_string())?;
    if report.outcome != Outcome::Verified {
        let why: Vec<String> = report
            .reasons
            .iter()
            .take(3)
            .map(|reason| format!("{}: {}", reason.code, reason.sentence))
            .collect();
        return Err(format!("it does not verify ({})", why.join("; ")));
    }
    let contents = report.contents.as_ref().ok_or("it could not be read")?;
    if contents.root.verdict != Verdict::Pass {
        return Err(format!("its verdict is `{}`", contents.root.verdict));
    }
    let decision = contents.decision.as_ref().ok_or("its decision is withheld")?;
    if decision.selected_backend.as_ref() != Some(wanted.engine) {
        return Err(format!("it is not of the engine `{}`", wanted.engine));
    }
    let facts = decision.facts.engines.get(wanted.engine).ok_or("its decision does not know the engine")?;
    same_engine(facts, wanted)?;
    let stage = stage_of(decision).ok_or("its decision allowed no mode")?;
    if stage != wanted.stage {
        return Err(format!("it is of the stage `{stage}`, and `{}` is wanted", wanted.stage));
    }
    let base_tree = contents.root.base_tree.clone().ok_or("it has no base tree")?;
    let root = root_of(path)?;
    Ok(Shown {
        named: EvidenceRef {
            root,
            run_id: contents.root.run_id.clone(),
            contract: contents.root.contract,
            base_tree,
        },
        runner: decision.facts.requester.clone(),
    })
}

/// Digest of a bundle's root.
pub(super) fn root_of(path: &Path) -> Result<Digest, String> {
    let dir = Dir::open_root(path).map_err(|error| error.to_string())?;
    dir.read_file(ROOT, MAX_FILE).map(|bytes| Digest::of(&bytes)).map_err(|error| error.to_string())
}

/// Whether it ran by the same program and adapter, and rested on the same records.
fn same_engine(facts: &EngineFacts, wanted: &Wanted<'_>) -> Result<(), String> {
    let program = matches!(&facts.program, Observed::Seen(program) if program.digest == wanted.program);
    let admission = matches!(&facts.admission, Observed::Seen(one)
        if one.record == wanted.admission && one.program == wanted.program);
    let gate = matches!(&facts.proof, Some(Observed::Seen(one)) if one.record == wanted.gate);
    for (holds, what) in [
        (facts.gated, "a gated engine"),
        (program, "the admitted program"),
        (facts.adapter == wanted.adapter, "the adapter as it is now"),
        (admission, "the admission on record"),
        (gate, "the proof gate record as it is now"),
    ] {
        if !holds {
            return Err(format!("it is not of {what}"));
        }
    }
    Ok(())
}

/// The stage in which a decision let something run.
fn stage_of(decision: &DecisionDocument) -> Option<Stage> {
    if decision.facts.proving {
        return Some(Stage::DefaultDeny);
    }
    let mode = decision.allowed_mutation_mode?;
    Stage::ALL.iter().copied().find(|stage| stage.allows() == Some(mode))
}

/// Copies every file of a bundle into the empty folder `to`; nothing is followed. The copy is not believed either.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let source = Dir::open_root(from).map_err(|error| error.to_string())?;
    let listed = list(&source, MAX_NAMES).map_err(|error| error.to_string())?;
    if let Some(odd) = listed.iter().find(|one| !one.well_named) {
        return Err(format!("`{}` is not a name of a bundle's", odd.name));
    }
    for one in listed {
        let at = to.join(&one.name);
        match one.kind {
            FileKind::Directory => {
                fs::create_dir(&at).map_err(|error| format!("{}: {error}", at.display()))?;
            }
            FileKind::File => {
                let bytes = source.read_file(&one.name, MAX_FILE).map_err(|error| error.to_string())?;
                let written = fs::File::create_new(&at).and_then(|mut file| {
                    std::io::Write::write_all(&mut file, &bytes)?;
                    file.sync_all()
                });
                written.map_err(|error| format!("{}: {error}", at.display()))?;
            }
            _ => return Err(format!("`{}` is not a regular file", one.name)),
        }
    }
    Ok(())
}
