//! Facts: everything the gates look at, observed once and written down as plain data.
//!
//! Each observation stands alone: one that fails is recorded as an error or an absence, never left out, and
//! never a reason to stop looking at the rest. Nothing here decides.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use serde::Serialize;

use super::engines::Engines;
use super::input::Asked;
use super::recording::RecordError;
use super::target::Source;
use super::{RunError, RunRequest};
use crate::approval::{Against, ApprovalFolder, FolderError, Principals, PrincipalsError, check_approvals};
use crate::broker::spend::PriceTable;
use crate::contract::{AuthorityKind, Ceilings, CheckPatterns, TaskContract};
use crate::eligibility::{
    ApprovalFacts, AuthorityFacts, Criticality, DecisionDocument, Facts, GATE_SET, HostFacts, Observed,
    Ownership, RegistryFacts, Requester,
};
use crate::home::{
    Accounts, Config, Home, RegisteredCriticality, RegisteredOwnership, Registry, SpendConfig,
};
use crate::inspection::secrets::Scanner;
use crate::process;
use crate::sandbox::{self, ProbeError};
use crate::store::{Store, StoreError};
use crate::verification::{Described, Provisions, SearchPlaces};
use crate::vocab::{Digest, EngineId, PublicKey, RunId, Timestamp};

/// The configuration that decides, read once for a run.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) config: Config,
    pub(super) registry: Registry,
    pub(super) ceilings: Ceilings,
    pub(super) prices: PriceTable,
    pub(super) prices_digest: Digest,
    pub(super) principals: Option<(Principals, u32)>,
    pub(super) accounts: Accounts,
}

/// What the policy digest covers: everything that decides, except the file of principals.
#[derive(Serialize)]
struct PolicyInputs<'a> {
    domain: &'static str,
    gate_set: u32,
    check_patterns: Digest,
    secret_rules: Digest,
    config: &'a Config,
    registry: &'a Registry,
    ceilings: &'a Ceilings,
    prices: Digest,
}

impl Settings {
    /// Reads and checks the configuration.
    pub(super) fn read(home: &Home) -> Result<Self, RunError> {
        let config = home.load_config()?;
        let mut ceilings = Ceilings::standard();
        for (name, value) in &config.ceilings {
            ceilings = ceilings.with(*name, *value);
        }
        let SpendConfig { run_ceiling_micro_usd, thread_ceiling_micro_usd, day_micro_usd: _ } = config.spend;
        ceilings.spend.run_micro_usd = run_ceiling_micro_usd.unwrap_or(ceilings.spend.run_micro_usd);
        ceilings.spend.thread_micro_usd = thread_ceiling_micro_usd.unwrap_or(ceilings.spend.thread_micro_usd);
        let (prices_path, own) = (home.prices_path(), home.load_prices()?);
        let own = own.as_ref().map(|owned| (prices_path.as_path(), owned.text.as_str()));
        let prices = PriceTable::read(own).map_err(|error| RunError::Configuration(error.to_string()))?;
        let prices_digest = prices.digest().map_err(|error| RunError::Configuration(error.to_string()))?;
        let principals = match home.load_principals()? {
            Some(owned) => {
                Some((Principals::parse(&owned.text).map_err(|e| unusable(home, &e))?, owned.owner_uid))
            }
            None => None,
        };
        let (registry, accounts) = (home.load_registry()?, Accounts::read());
        Ok(Self { config, registry, ceilings, prices, prices_digest, principals, accounts })
    }

    fn policy_digest(&self) -> Result<Digest, serde_json::Error> {
        Digest::of_json(&PolicyInputs {
            domain: "cto-policy-v1",
            gate_set: GATE_SET,
            check_patterns: CheckPatterns::digest(),
            secret_rules: crate::inspection::secrets::rules_digest(),
            config: &self.config,
            registry: &self.registry,
            ceilings: &self.ceilings,
            prices: self.prices_digest,
        })
    }
}

fn unusable(home: &Home, error: &PrincipalsError) -> RunError {
    let remedy = "correct what is named, or remove the file: then nobody is a principal";
    RunError::Configuration(format!("{}: {error}\n  remedy: {remedy}", home.principals_path().display()))
}

/// Everything the gates look at, without approvals: those are looked for once the request digest is known.
pub(super) fn facts(
    settings: &Settings,
    asked: &Asked,
    request: &RunRequest,
    seen: &Seen,
    uid: u32,
) -> Result<Facts, serde_json::Error> {
    let contract = asked.contract.task();
    Ok(Facts {
        named_engine: request.engine.clone(),
        learning: request.learn,
        checking: asked.checking,
        proving: asked.proving,
        target: seen.source.facts(),
        target_remedy: seen.source.remedy().to_owned(),
        registry: registry(settings, seen.source.identity()),
        authority: authority(contract, asked.folder.as_deref(), &seen.source),
        engines: seen.engines.facts(),
        host: seen.host.clone(),
        provisions: seen.described.iter().map(described).collect(),
        policy: settings.policy_digest()?,
        ceilings: settings.ceilings.limits.clone(),
        network_allow: settings.config.network.allow.iter().map(ToString::to_string).collect(),
        spend_ceilings: settings.ceilings.spend,
        requester: requester(settings, uid),
        approvals: Vec::new(),
        approval_errors: Vec::new(),
        gathered_at: Timestamp::now(),
    })
}

/// What was seen besides the configuration, with what the later stages need of it.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) source: Source,
    pub(super) engines: Engines,
    pub(super) provisions: Provisions,
    described: Vec<Described>,
    /// The harness's own folders and keys: nothing handed in may hold, or lie in, one of them.
    pub(super) kept_out: Vec<PathBuf>,
    pub(super) host: Observed<HostFacts>,
}

/// The probe of this host on its way: it waits for a whole sandbox to stand, and what is read meanwhile is files.
/// Dropping it waits for its end, so that nothing of it is left behind.
pub(super) struct Probing(Option<JoinHandle<Result<HostFacts, ProbeError>>>);

impl Probing {
    /// Begins it, and beside it the compilation of the secret rules, which somebody will need soon.
    pub(super) fn begin(home: &Home) -> Self {
        let home = home.clone();
        let probing = std::thread::spawn(move || sandbox::probe(&home));
        process::in_background(Scanner::warm_up);
        Self(Some(probing))
    }

    fn answer(mut self) -> Observed<HostFacts> {
        let died = || Observed::Error("the probe of this host died".to_owned());
        match self.0.take().map(JoinHandle::join) {
            Some(Ok(Ok(facts))) => Observed::Seen(facts),
            Some(Ok(Err(error))) => Observed::Error(error.to_string()),
            Some(Err(_)) | None => died(),
        }
    }
}

impl Drop for Probing {
    fn drop(&mut self) {
        // What it found or died of, nobody wants to know.
        self.0.take().map(JoinHandle::join);
    }
}

impl Seen {
    /// Looks at everything that `asked` touches. `named` is the engine that the caller names, `bundles` is where evidence goes.
    pub(super) fn look(
        home: &Home,
        settings: &Settings,
        asked: &Asked,
        named: Option<&EngineId>,
        bundles: &Path,
        probing: Probing,
    ) -> Result<Self, RecordError> {
        let contract = asked.contract.task();
        let exe = std::env::current_exe().map_err(|error| RecordError::Program(error.to_string()))?;
        let beside = exe.parent().unwrap_or(Path::new("/"));
        let mut kept_out = own_places(home, &settings.config);
        kept_out.push(bundles.to_owned());
        if !(contract.inputs.is_empty() && contract.toolchains.is_empty()) {
            kept_out.extend(evidence_places(home)?);
        }
        let (provisions, described) = Provisions::describe(
            contract,
            &settings.config.toolchains,
            &SearchPlaces::of_this_process(),
            &kept_out,
        );
        let source = Source::look(home, &settings.registry, asked, bundles);
        let engines = Engines::look(home, settings, asked, named, beside)?;
        let host = probing.answer();
        sandbox::expect_another();
        Ok(Self { source, engines, provisions, described, kept_out, host })
    }
}

/// Where the evidence of every run on record lies.
pub fn evidence_places(home: &Home) -> Result<Vec<PathBuf>, StoreError> {
    Ok(Store::open(home.state())?.list()?.into_iter().map(|record| record.bundle).collect())
}

/// The harness's own folders, and where the keys of every engine lie.
#[must_use]
pub fn own_places(home: &Home, config: &Config) -> Vec<PathBuf> {
    let own = [home.config(), home.state(), home.cache()].map(Path::to_owned);
    own.into_iter().chain(config.key_places()).collect()
}

fn described((name, answer): &Described) -> (String, Observed<Digest>) {
    let observed = match answer {
        Ok(digest) => Observed::Seen(*digest),
        Err(problem) if problem.is_absent() => {
            Observed::Absent(format!("{} ({})", problem.sentence, problem.remedy))
        }
        Err(problem) => Observed::Error(format!("{} ({})", problem.sentence, problem.remedy)),
    };
    (name.clone(), observed)
}

fn registry(settings: &Settings, identity: Option<&Path>) -> Observed<RegistryFacts> {
    let Some(path) = identity else {
        return Observed::Absent("the target is not known, so neither is its entry".into());
    };
    match settings.registry.by_path(path) {
        Some(entry) => Observed::Seen(RegistryFacts {
            ownership: match entry.ownership {
                RegisteredOwnership::Sandbox => Ownership::Sandbox,
                RegisteredOwnership::Owned => Ownership::Owned,
            },
            owner: entry.owner.clone(),
            criticality: entry.criticality.map(|c| match c {
                RegisteredCriticality::Noncritical => Criticality::Noncritical,
                RegisteredCriticality::Critical => Criticality::Critical,
            }),
        }),
        None => Observed::Absent(format!("no entry for {} in repos.toml", path.display())),
    }
}

fn authority(contract: &TaskContract, folder: Option<&Path>, source: &Source) -> Observed<AuthorityFacts> {
    /// Bytes of the largest planning file.
    const PLAN_BYTES: u64 = 8 * 1024 * 1024;
    let basis = &contract.authority_basis;
    if basis.kind != AuthorityKind::LocalPlanning {
        return Observed::Seen(AuthorityFacts { digest: Digest::of(basis.reference.as_bytes()) });
    }
    if let Some(folder) = folder {
        let read = crate::beneath::Dir::open_root(folder)
            .and_then(|dir| dir.read_file(&basis.reference, PLAN_BYTES));
        match read {
            Ok(bytes) => return Observed::Seen(AuthorityFacts { digest: Digest::of(&bytes) }),
            Err(error) if error.is_absent() => {}
            Err(error) => return Observed::Error(error.to_string()),
        }
    }
    match source.read_base_file(&basis.reference, PLAN_BYTES) {
        Some(Ok(bytes)) => Observed::Seen(AuthorityFacts { digest: Digest::of(&bytes) }),
        Some(Err(why)) => Observed::Error(why),
        None => Observed::Absent(format!(
            "no regular file `{}` beside the contract or in the base tree",
            basis.reference
        )),
    }
}

/// Who asks, as the kernel tells it.
fn requester(settings: &Settings, uid: u32) -> Requester {
    let account = settings.accounts.spelled(uid);
    let principal = settings.principals.as_ref().and_then(|(p, _)| p.by_uid(uid, &settings.accounts));
    let principal = principal.map(|p| p.name.clone());
    // An unknown owner counts as the caller himself: it must not pass for somebody else's.
    let owns_principals = settings.principals.as_ref().is_none_or(|(_, owner)| *owner == uid);
    Requester { account, principal, owns_principals, is_root: uid == 0 }
}

/// What is on record for one request.
#[derive(Debug, Default)]
pub(super) struct OnRecord {
    /// Answers, each with every reason why it does not count.
    pub(super) answers: Vec<ApprovalFacts>,
    /// What could not be read and may have been one, and accounts of principals that name nobody here: whoever
    /// asks may be one of those.
    pub(super) errors: Vec<String>,
}

impl OnRecord {
    /// Whether nobody answered, in whatever way.
    pub(super) const fn is_empty(&self) -> bool {
        self.answers.is_empty() && self.errors.is_empty()
    }
}

/// The answers on record to what `document` asks.
pub(super) fn approvals(
    folder: &ApprovalFolder,
    settings: &Settings,
    document: &DecisionDocument,
    run: &RunId,
    sealing_key: &PublicKey,
    contract: &TaskContract,
) -> Result<OnRecord, FolderError> {
    let (Some((principals, _)), Some(mode)) = (&settings.principals, contract.mutation_mode) else {
        return Ok(OnRecord::default());
    };
    let found = folder.answers_for(document.request_digest)?;
    let against = Against {
        principals,
        accounts: &settings.accounts,
        requester: &document.facts.requester,
        request_digest: document.request_digest,
        mode,
        risk: contract.risk_class,
        run,
        sealing_key,
        now: Timestamp::now(),
    };
    let mut errors = principals.unclear(&settings.accounts);
    errors.extend(found.unreadable);
    Ok(OnRecord { answers: check_approvals(&found.answers, &against), errors })
}
