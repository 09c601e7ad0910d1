//! The registered engines as facts, with the stored program that each would run.
//!
//! Every registered engine is looked at, because every decision names every one of them.

use std::collections::BTreeMap;
use std::path::Path;

use super::earned::{self, Earning};
use super::gather::Settings;
use super::input::Asked;
use super::money::priced;
use super::recording::RecordError;
use crate::broker::{Upstream, is_loopback};
use crate::eligibility::{ConformanceFacts, EngineFacts, Observed, ProgramFacts, SpendFacts};
use crate::engine::{
    Catalog, EngineManifest, PreparedFile, ProgramError, ProgramStore, StoredProgram, find_program,
};
use crate::home::{Config, Home};
use crate::store::{Conformance, ConformanceRecords};
use crate::vocab::{Digest, EngineId};

/// The engines that were looked at.
#[derive(Debug)]
pub(super) struct Engines {
    catalog: Catalog,
    rows: BTreeMap<EngineId, Row>,
}

/// One engine, as it was found.
#[derive(Debug)]
struct Row {
    facts: EngineFacts,
    stored: Option<StoredProgram>,
    prepared: Vec<PreparedFile>,
}

impl Engines {
    /// Looks at every registered engine. `named` is the one that the caller names, `beside` is the folder of the
    /// running executable.
    pub(super) fn look(
        home: &Home,
        settings: &Settings,
        asked: &Asked,
        named: Option<&EngineId>,
        beside: &Path,
    ) -> Result<Self, RecordError> {
        let catalog = Catalog::load(Some(&home.engines_dir()));
        let catalog = catalog.map_err(|error| RecordError::Program(error.to_string()))?;
        let store = ProgramStore::at(home.programs_dir());
        let mut rows = BTreeMap::new();
        for manifest in catalog.iter() {
            let in_contract = asked.contract.task().engine.as_ref().map(|choice| &choice.id);
            let wanted = [named, in_contract].contains(&Some(&manifest.id));
            let mut earning = earned::look(home, settings, manifest, &store, wanted);
            let admitted = earning.program.take();
            let program = admitted.unwrap_or_else(|| program(manifest, &settings.config, beside, &store));
            if let Err(error) = program.as_ref()
                && error.is_full()
            {
                // Nothing is wrong with the program: there is no room for it in the state folder.
                return Err(RecordError::Program(error.to_string()));
            }
            let stored = program.as_ref().ok().cloned();
            let (conformance, prepared) = conformance(home, manifest, stored.as_ref());
            // A check shows what a program makes of a home with nothing in it.
            let prepared = if asked.checking { Vec::new() } else { prepared };
            let facts = facts(home, manifest, settings, asked, program, conformance, earning);
            rows.insert(manifest.id.clone(), Row { facts, stored, prepared });
        }
        Ok(Self { catalog, rows })
    }

    /// What the gates see.
    pub(super) fn facts(&self) -> BTreeMap<EngineId, EngineFacts> {
        self.rows.iter().map(|(id, row)| (id.clone(), row.facts.clone())).collect()
    }

    /// The manifest of one engine.
    pub(super) fn manifest(&self, id: &EngineId) -> Option<&EngineManifest> {
        self.catalog.get(id)
    }

    /// The manifest and the stored program of one engine, if it has both.
    pub(super) fn get(&self, id: &EngineId) -> Option<(&EngineManifest, &StoredProgram)> {
        Some((self.catalog.get(id)?, self.rows.get(id)?.stored.as_ref()?))
    }

    /// The record of the check that prepared something for the home of one engine.
    pub(super) fn prepared_by(&self, id: &EngineId) -> Option<Digest> {
        let row = self.rows.get(id).filter(|row| !row.prepared.is_empty())?;
        match &row.facts.conformance {
            Observed::Seen(record) => Some(record.record),
            Observed::Absent(_) | Observed::Error(_) => None,
        }
    }

    /// What the check on record prepared for the home of one engine.
    pub(super) fn prepared(&self, id: &EngineId) -> &[PreparedFile] {
        self.rows.get(id).map_or(&[], |row| &row.prepared)
    }
}

fn program(
    manifest: &EngineManifest,
    config: &Config,
    beside: &Path,
    store: &ProgramStore,
) -> Result<StoredProgram, ProgramError> {
    let configured = config.engine(&manifest.id).program;
    let source = find_program(manifest, configured.as_deref(), beside, std::env::var_os("PATH").as_deref())?;
    store.admit(&source)
}

fn facts(
    home: &Home,
    manifest: &EngineManifest,
    settings: &Settings,
    asked: &Asked,
    program: Result<StoredProgram, ProgramError>,
    conformance: Observed<ConformanceFacts>,
    earning: Earning,
) -> EngineFacts {
    let configured = settings.config.engine(&manifest.id);
    let (checking, closed) = (asked.checking, asked.checking || asked.proving);
    let named = asked.contract.task().engine.as_ref().filter(|choice| choice.id == manifest.id);
    let model = named.and_then(|choice| choice.model.clone());
    // Whatever an operator's endpoint offers, the scripted model of a check is asked by a name that every program knows.
    let model = model.or_else(|| configured.model.clone().filter(|_| !checking));
    let model = model.or_else(|| manifest.default_model.clone());
    let spend = match &configured.endpoint {
        _ if !manifest.spends || closed => SpendFacts::Free,
        None => SpendFacts::NoEndpoint,
        Some(endpoint) if Upstream::parse(endpoint).is_err() => SpendFacts::Unbounded,
        Some(endpoint) if configured.unpriced && is_loopback(endpoint) => SpendFacts::UnpricedLoopback,
        Some(_) => SpendFacts::Priced(priced(home, settings, &configured, model.as_deref())),
    };
    EngineFacts {
        gated: manifest.gated,
        adapter: manifest.digest,
        program: match program {
            Ok(stored) => Observed::Seen(ProgramFacts { digest: stored.digest, version: stored.version }),
            Err(ProgramError::NotFound { looked, remedy, .. }) => {
                Observed::Absent(format!("{looked}; {remedy}"))
            }
            Err(error) => Observed::Error(error.to_string()),
        },
        model: if manifest.has_models { model } else { None },
        documents: manifest.documents,
        spend,
        enabled: earning.enabled,
        enabling_problem: earning.enabling_problem,
        stage: earning.stage,
        proof: earning.proof,
        covered: manifest.covered(),
        conformance,
        admission: earning.admission,
        licence: earning.licence,
    }
}

/// What the last check of exactly this program by exactly this adapter showed, and prepared.
fn conformance(
    home: &Home,
    manifest: &EngineManifest,
    stored: Option<&StoredProgram>,
) -> (Observed<ConformanceFacts>, Vec<PreparedFile>) {
    let Some(stored) = stored else {
        return (Observed::Absent(format!("no conformance for `{}` is on record", manifest.id)), Vec::new());
    };
    let records = ConformanceRecords::of(home.state());
    let key = || home.sealing_key().map_err(|error| error.to_string());
    match records.find(&manifest.id, stored.digest, manifest.digest, key) {
        Ok(Some(Conformance { digest, record, prepared })) => {
            let facts = ConformanceFacts {
                record: digest,
                adapter: record.adapter,
                program: record.program,
                evidence_interface: record.passed,
                adapter_contract: record.passed,
            };
            (Observed::Seen(facts), prepared)
        }
        Ok(None) => (Observed::Absent(format!("no check of {} is on record", stored.digest)), Vec::new()),
        Err(error) => (Observed::Error(error.to_string()), Vec::new()),
    }
}
