//! What a gated engine has earned, as facts: its records read again, and its installation hashed again, before every run
//! that asks for it.
//!
//! A run that does not ask for the engine does not look: then nothing of it is a fact, and all of its gates are missing.

use super::gather::Settings;
use crate::eligibility::{AdmissionFacts, LicenceFacts, Observed, ProofFacts};
use crate::engine::{EngineManifest, Installed, ProgramError, ProgramStore, StoredProgram};
use crate::home::{Config, Home};
use crate::proof::{AdmissionRecord, Earned, Grounds, InstallationStore, Kept, ProofFolder, earned};
use crate::vocab::{Stage, Timestamp};

/// What of it the facts are made of.
#[derive(Debug)]
pub(super) struct Earning {
    pub(super) enabled: bool,
    pub(super) enabling_problem: Option<String>,
    pub(super) stage: Stage,
    pub(super) proof: Option<Observed<ProofFacts>>,
    pub(super) admission: Observed<AdmissionFacts>,
    pub(super) licence: Observed<LicenceFacts>,
    /// The program of the admitted installation, from the harness's own copy.
    pub(super) program: Option<Result<StoredProgram, ProgramError>>,
}

impl Earning {
    /// Nothing, for this reason. A built-in engine has no proof gate record to be missing.
    pub(super) fn nothing(gated: bool, why: &str) -> Self {
        Self::all(gated, || why.to_owned())
    }

    fn all(gated: bool, why: impl Fn() -> String) -> Self {
        Self {
            enabled: false,
            enabling_problem: None,
            stage: Stage::Unproven,
            proof: gated.then(|| Observed::Absent(why())),
            admission: Observed::Absent(why()),
            licence: Observed::Absent(why()),
            program: None,
        }
    }

    fn failed(why: &str) -> Self {
        let error = || why.to_owned();
        Self {
            enabling_problem: Some(error()),
            proof: Some(Observed::Error(error())),
            admission: Observed::Error(error()),
            licence: Observed::Error(error()),
            ..Self::all(true, error)
        }
    }
}

/// Looks at the records of a gated engine; `asked` says whether this run is about it.
pub(super) fn look(
    home: &Home,
    settings: &Settings,
    manifest: &EngineManifest,
    programs: &ProgramStore,
    asked: bool,
) -> Earning {
    if !manifest.gated {
        return Earning::nothing(false, "it is built in, and needs none");
    }
    let folder = ProofFolder::of(&home.proof_dir(), &manifest.id);
    if !folder.path().exists() {
        return Earning::nothing(true, &format!("nothing is on record for `{}`", manifest.id));
    }
    if !asked {
        return Earning::nothing(true, "this run does not ask for it, so its records were not looked at");
    }
    let grounds = match Grounds::read(home) {
        Ok(grounds) => grounds,
        Err(why) => return Earning::failed(&why),
    };
    let found = earned(&folder, manifest.digest, &grounds.at(Timestamp::now()));
    facts(home, &settings.config, manifest, programs, &found)
}

fn facts(
    home: &Home,
    config: &Config,
    manifest: &EngineManifest,
    programs: &ProgramStore,
    found: &Earned,
) -> Earning {
    let proof = map(&found.gate, |gate| ProofFacts {
        record: gate.digest,
        expires_at: gate.signed.record.expires_at,
        promotions: found.promotions.iter().map(|(_, digest)| *digest).collect(),
        held: found.held.clone(),
    });
    let licence = map(&found.licence, |note| LicenceFacts {
        record: note.digest,
        widest_mode: note.signed.record.widest_mode,
        expires_at: note.signed.record.expires_at,
    });
    let (enabled, enabling_problem) = match &found.enabling {
        Observed::Seen(kept) => (kept.signed.record.enabled, None),
        Observed::Absent(_) => (false, None),
        Observed::Error(why) => (false, Some(why.clone())),
    };
    let (admission, program) = match &found.admission {
        Observed::Seen(kept) => admitted(home, config, manifest, programs, kept),
        Observed::Absent(why) => (Observed::Absent(why.clone()), None),
        Observed::Error(why) => (Observed::Error(why.clone()), None),
    };
    Earning { enabled, enabling_problem, stage: found.stage, proof: Some(proof), admission, licence, program }
}

fn map<T, U>(observed: &Observed<T>, seen: impl FnOnce(&T) -> U) -> Observed<U> {
    match observed {
        Observed::Seen(value) => Observed::Seen(seen(value)),
        Observed::Absent(why) => Observed::Absent(why.clone()),
        Observed::Error(why) => Observed::Error(why.clone()),
    }
}

type Admitted = (Observed<AdmissionFacts>, Option<Result<StoredProgram, ProgramError>>);

/// The installation, hashed again, and the program in the harness's own copy of it.
fn admitted(
    home: &Home,
    config: &Config,
    manifest: &EngineManifest,
    programs: &ProgramStore,
    kept: &Kept<AdmissionRecord>,
) -> Admitted {
    let record = &kept.signed.record;
    let Some(digest) = record.program_digest() else {
        return (Observed::Error("the admission names no program".to_owned()), None);
    };
    let source =
        config.engine(&manifest.id).installation.unwrap_or_else(|| record.installation.clone().into());
    let copy = match InstallationStore::at(home.installations_dir()).hold(&source, record) {
        Ok(copy) => copy,
        Err(error) => return (Observed::Error(format!("{}: {error}", source.display())), None),
    };
    let program = programs.admit(&copy.join(&record.program)).map(|program| StoredProgram {
        installation: Some(Installed { dir: copy.clone(), entry: record.entry.clone() }),
        ..program
    });
    (Observed::Seen(AdmissionFacts { record: kept.digest, program: digest }), Some(program))
}
