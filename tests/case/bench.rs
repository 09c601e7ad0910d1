//! One run by the library's own stages, from a contract to a verdict. Nothing is taken for real that a run would not use.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use cto_harness::broker::spend::{Book, Caps, Ledger, PricedModel, Rates};
use cto_harness::broker::{Dial, Dialect, ModelKey, Purse, Route, Upstream, Ways};
use cto_harness::contract::{NoFiles, SealedContract, WireSource, parse};
use cto_harness::eligibility::{
    AdmissionFacts, AuthorityFacts, ConformanceFacts, Criticality, Decision, EngineFacts, Facts,
    LicenceFacts, Observed, Ownership, ProgramFacts, RegistryFacts, Requester, SpendFacts, TargetFacts,
    decide, landlock_floor,
};
use cto_harness::engine::{
    Adapter, Catalog, EngineObservations, Follower, Leave, PROGRAM, PlanInput, ProgramStore, RawLog,
    RawStream, StoredProgram, launch,
};
use cto_harness::event::{Draft, EventKind, EventSink, SinkError};
use cto_harness::home::Home;
use cto_harness::inspection::secrets::Scanner;
use cto_harness::inspection::{ActionObservations, actions, inspect_patch};
use cto_harness::sandbox::{Bind, LISTENER_PORT, Sandbox, SandboxPolicy, StubProgram};
use cto_harness::verification::{Provisions, ReadyTree, SearchPlaces, Tree, Verification, Verified, verify};
use cto_harness::vocab::{Digest, EngineId, MicroUsd, MutationMode, RunId, Stage, ThreadId, Timestamp};
use cto_harness::workspace::{Base, Patch, Placement, RunUid, VerificationTree, Workspace, import_fixture};
use serde_json::{Value, json};

use crate::model::Model;

pub const MODEL: &str = "claude-sonnet-4-6";
/// Put together here, so that it stands nowhere as it is.
pub fn made_up_key() -> String {
    format!("key-{}-{}", "of-the-broker", "alone")
}

/// What a run is asked for.
pub struct Asked {
    /// Lines for the artificial engine.
    pub odd: &'static [&'static str],
    pub forbidden: &'static [&'static str],
    pub wall_seconds: u64,
    /// Micro-dollars of the run; `None`: the endpoint costs nothing.
    pub cap: Option<u64>,
}

impl Default for Asked {
    fn default() -> Self {
        Self { odd: &[], forbidden: &[], wall_seconds: 60, cap: None }
    }
}

/// What came of it.
pub struct Ran {
    pub events: Vec<Draft>,
    pub observed: EngineObservations,
    pub patch: Patch,
    pub verified: Verified,
    pub attempts: Vec<(String, String)>,
    /// The run's folder, for what the engine left.
    pub folder: PathBuf,
    _place: tempfile::TempDir,
}

impl Ran {
    pub fn of(&self, kind: EventKind) -> Vec<&Value> {
        self.events.iter().filter(|event| event.kind == kind).map(|event| &event.data).collect()
    }
    pub fn changed(&self) -> Vec<String> {
        self.patch.section.files.iter().map(|file| file.path.clone()).collect()
    }
    pub fn passed(&self) -> bool {
        let commands = &self.verified.section.commands;
        commands.iter().all(|row| row.outcome == cto_harness::evidence::CommandOutcome::Passed)
    }
    pub fn errors(&self) -> String {
        self.of(EventKind::EngineError).iter().map(|data| format!("{data}\n")).collect()
    }
    pub fn message(&self) -> &str {
        self.observed.message.as_deref().unwrap_or("")
    }
}

#[derive(Default)]
struct Kept {
    events: Vec<Draft>,
}

impl EventSink for Kept {
    fn append(&mut self, draft: Draft) -> Result<(), SinkError> {
        self.events.push(draft);
        Ok(())
    }
}

/// Raw logs are the bundle's, and there is none here.
struct Raw;

impl RawLog for Raw {
    fn append(&mut self, _: RawStream, _: &[u8]) -> std::io::Result<()> {
        Ok(())
    }
}

/// The artificial engine, built by cargo as an example of this package.
pub fn program() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let me = std::env::current_exe().unwrap();
        let built = me.ancestors().nth(2).unwrap().join("examples/artificial-case");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--offline", "--quiet", "--example", "artificial-case"]);
        // What cargo tells this test about its package is not to be told to the builds of others: they would begin anew.
        let told =
            ["CARGO_BIN_", "CARGO_CRATE_", "CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_PRIMARY_", "OUT_DIR"];
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| told.iter().any(|begin| name.starts_with(begin))) {
                cargo.env_remove(name);
            }
        }
        let done = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap();
        assert!(done.success() && built.is_file(), "{}", built.display());
        built
    };
    BUILT.get_or_init(build).clone()
}

/// The stub lies beside whoever establishes a sandbox, and here that is the test.
fn stub() -> StubProgram {
    static LAID: OnceLock<PathBuf> = OnceLock::new();
    let lay = || {
        let beside = std::env::current_exe().unwrap().with_file_name("cto-stub");
        let draft = beside.with_file_name(format!("cto-stub-of-{}", std::process::id()));
        std::fs::copy(env!("CARGO_BIN_EXE_cto-stub"), &draft).unwrap();
        std::fs::rename(&draft, &beside).unwrap();
        beside
    };
    StubProgram::At(LAID.get_or_init(lay).clone())
}

fn contract(asked: &Asked, folder: &Path) -> SealedContract {
    let odd: String = asked.odd.iter().map(|line| format!("artificial: {line}\n")).collect();
    let document = json!({
        "contract_version": "1", "task_id": "fix-the-sum", "title": "Make sum add",
        "instructions": format!("`sum` subtracts. Make it add.\n{odd}"), "target_repository": "repo",
        "authority_basis": {"kind": "task-contract", "reference": "a test"}, "risk_class": "RESTRICTED",
        "mutation_mode": "copied-fixture", "allowed_paths": ["src/**"], "forbidden_actions": asked.forbidden,
        "approval_required": false, "engine": "case", "limits": {"wall_seconds": asked.wall_seconds, "grace_seconds": 2},
        "verification_commands": [{"run": ["sh", "tests/run.sh"], "timeout": 30, "expect": "fail-to-pass"}],
        "evidence_expectations": [{"patch": "non-empty"}],
    });
    let source = WireSource::from_bytes(None, document.to_string().into_bytes()).unwrap();
    parse(&source, Some(folder), &NoFiles).unwrap_or_else(|error| panic!("{error}"))
}

/// The facts of a world in which the engine has everything.
fn facts(
    home: &Home,
    contract: &SealedContract,
    base: &Base,
    program: &StoredProgram,
    adapter: Digest,
) -> Facts {
    let seen = |text: &str| Digest::of(text.as_bytes());
    let engine = EngineFacts {
        gated: true,
        adapter,
        program: Observed::Seen(ProgramFacts { digest: program.digest, version: None }),
        model: Some(MODEL.to_owned()),
        documents: false,
        spend: SpendFacts::UnpricedLoopback,
        enabled: true,
        covered: None,
        stage: Stage::CopiedFixture,
        conformance: Observed::Seen(ConformanceFacts {
            record: seen("conformance"),
            adapter,
            program: program.digest,
            evidence_interface: true,
            adapter_contract: true,
        }),
        admission: Observed::Seen(AdmissionFacts { record: seen("admission"), program: program.digest }),
        licence: Observed::Seen(LicenceFacts {
            record: seen("licence"),
            widest_mode: MutationMode::CopiedFixture,
            expires_at: None,
        }),
    };
    let limits = contract.task().limits.clone();
    Facts {
        named_engine: Some(case()),
        learning: false,
        checking: false,
        target: Observed::Seen(TargetFacts {
            identity: "/fixture".to_owned(),
            commit: base.commit.clone(),
            tree: base.tree.clone(),
            is_fixture: true,
            dirt: Some(Vec::new()),
            unreadable_forms: Vec::new(),
        }),
        target_remedy: String::new(),
        registry: Observed::Seen(RegistryFacts {
            ownership: Ownership::Sandbox,
            owner: Some("tests".to_owned()),
            criticality: Some(Criticality::Noncritical),
        }),
        authority: Observed::Seen(AuthorityFacts { digest: seen("authority") }),
        engines: BTreeMap::from([(case(), engine)]),
        host: Observed::Seen(cto_harness::sandbox::probe_with(home, &stub()).unwrap()),
        provisions: BTreeMap::new(),
        policy: seen("policy"),
        ceilings: limits,
        network_allow: std::collections::BTreeSet::new(),
        spend_ceilings: contract.task().spend,
        requester: Requester {
            account: "tests".to_owned(),
            principal: None,
            owns_principals: false,
            is_root: false,
        },
        approvals: Vec::new(),
        approval_errors: Vec::new(),
        gathered_at: Timestamp::now(),
    }
}

pub fn case() -> EngineId {
    EngineId::parse("case").unwrap()
}

/// A small repository with a sum that subtracts.
fn repository(at: &Path) {
    for folder in ["src", "tests"] {
        std::fs::create_dir_all(at.join(folder)).unwrap();
    }
    std::fs::write(at.join("src/sum.sh"), "echo $(( $1 - $2 ))\n").unwrap();
    let test = "[ \"$(sh src/sum.sh 2 3)\" = 5 ] && echo ok\n";
    std::fs::write(at.join("tests/run.sh"), test).unwrap();
}

struct Place {
    home: Home,
    folder: PathBuf,
    base: Base,
    contract: SealedContract,
    facts: Facts,
    program: StoredProgram,
    adapter: Box<dyn Adapter>,
}

fn place(asked: &Asked, root: &Path) -> Place {
    let repo = root.join("repo");
    repository(&repo);
    let home = Home::at(&root.join("home")).unwrap();
    let base = import_fixture(&repo, &root.join("fixtures.git")).unwrap().base();
    let folder = root.join("run");
    std::fs::create_dir(&folder).unwrap();
    let contract = contract(asked, root);
    let program = ProgramStore::at(home.programs_dir()).admit(&program()).unwrap();
    let catalog = Catalog::load(None).unwrap();
    let manifest = catalog.get(&case()).unwrap();
    let facts = facts(&home, &contract, &base, &program, manifest.digest);
    Place { home, folder, base, contract, facts, program, adapter: manifest.load_adapter().unwrap() }
}

/// Decides and, where the answer is yes, does everything that follows.
pub fn decision(asked: &Asked, change: impl FnOnce(&mut Facts)) -> Decision {
    let root = tempfile::tempdir().unwrap();
    let mut place = place(asked, root.path());
    change(&mut place.facts);
    decide(&place.contract, &place.facts)
}

pub fn run(asked: &Asked, model: &Model) -> Ran {
    let event_loop = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    event_loop.block_on(play(asked, model))
}

fn ways(asked: &Asked, place: &Place, model: &Model) -> Ways {
    let purse = asked.cap.map(|cap| {
        let usd = |text: &str| text.parse().unwrap();
        let rates = Rates {
            input_micro_usd: usd("3"),
            cached_input_micro_usd: usd("0.3"),
            cache_write_micro_usd: usd("3.75"),
            output_micro_usd: usd("15"),
            long_context: None,
        };
        let run = RunId::new();
        let cap = MicroUsd::new(cap);
        Purse {
            ledger: Book::open(place.home.state(), Timestamp::now).and_then(Ledger::keep).unwrap(),
            thread: ThreadId::from(&run),
            run,
            caps: Caps { run: cap, thread: cap, day: cap },
            model: PricedModel {
                provider: "anthropic".into(),
                model: MODEL.into(),
                rates,
                max_output_tokens: 64_000,
                source: "made up".into(),
                as_of: Timestamp::now().day(),
            },
        }
    });
    let dial = Dial::new(Upstream::parse(&model.url()).unwrap(), None).unwrap();
    let key = Some(ModelKey::from(zeroize::Zeroizing::new(made_up_key())));
    let route = Route { dial, dialect: Dialect::Messages, key, model: MODEL.to_owned(), purse };
    Ways { model: Some(Arc::new(route)), ..Ways::default() }
}

async fn play(asked: &Asked, model: &Model) -> Ran {
    let root = tempfile::tempdir().unwrap();
    let mut place = place(asked, root.path());
    let now = Timestamp::now();
    let decided = decide(&place.contract, &place.facts).stamped(now, "test");
    assert!(decided.document().eligible(), "{:?}", decided.document().missing_gates);
    let permit = decided.permit(now).unwrap();
    let lease = RunUid::claim(place.home.state()).unwrap();
    let uid = lease.uid();
    let plan = place.adapter.plan(&PlanInput {
        contract: place.contract.task(),
        script: None,
        model: Some(MODEL),
        program: PROGRAM,
        installation: None,
        listener_port: LISTENER_PORT,
        environment: &BTreeMap::new(),
        earlier: None,
    });
    let plan = plan.unwrap();
    let placement = Placement {
        cache_dir: place.home.cache().to_owned(),
        run_dir: place.folder.clone(),
        uid,
        overlay: matches!(&place.facts.host, Observed::Seen(host) if host.overlay),
        mounted: plan.places_in_the_tree(),
    };
    let workspace = Workspace::prepare(&permit, &place.base, placement.clone()).unwrap();
    let laid = plan.lay_out(&place.folder, &place.program, (uid.host_uid, uid.host_gid)).unwrap();
    let bind = |(from, to)| Bind::new(from, to);
    let mut policy =
        SandboxPolicy::for_engine(workspace.mount(), plan.argv.clone(), uid, permit.limits().clone());
    policy.read_only = laid.read_only.into_iter().map(bind).collect();
    policy.writable = laid.writable.into_iter().map(bind).collect();
    policy.files = laid.files.into_iter().map(bind).collect();
    policy.env.clone_from(&plan.env);
    policy.cwd = PathBuf::from(&plan.cwd);
    policy.landlock_floor = landlock_floor(permit.risk());
    let sandbox = Sandbox::establish_with(policy, &stub()).unwrap();
    let ways = ways(asked, &place, model);
    let leave = Leave::of(place.contract.task());
    let running = launch(permit, sandbox, workspace, place.adapter, &place.program, ways, leave).unwrap();
    let running = running.following(Follower::of(&plan, &place.folder));
    let (mut kept, mut raw) = (Kept::default(), Raw);
    let (_say, stop) = tokio::sync::watch::channel(None);
    let finished = running.drive(&mut kept, &mut raw, stop).await.unwrap();
    let patch = finished.workspace().patch().unwrap();

    let contract = place.contract.task();
    let (_never, cancelled) = tokio::sync::watch::channel(false);
    let trees = |tree: Tree| {
        let patch = (tree == Tree::Result).then_some(&patch);
        let laid = VerificationTree::prepare(&place.base, patch, &BTreeMap::new(), &placement);
        laid.map(|laid| ReadyTree::of(&laid)).map_err(|error| error.to_string())
    };
    let scanner = Scanner::embedded();
    let (provisions, _) =
        Provisions::describe(contract, &BTreeMap::new(), &SearchPlaces::of_this_process(), &[]);
    let verification = Verification {
        contract,
        provisions: Ok(&provisions),
        trees: &trees,
        uid,
        landlock_floor: landlock_floor(contract.risk_class),
        landlock_at_most: None,
        events: &mut kept,
        redact: &scanner,
        learning: false,
        cancelled,
    };
    let verified = verify(&finished, verification).await.unwrap();
    let attempts = attempts(contract, &finished.observed, &patch, &scanner);
    let Kept { events } = kept;
    let observed = finished.observed.clone();
    Ran { events, observed, patch, verified, attempts, folder: place.folder, _place: root }
}

/// Forbidden actions that were attempted, as a run judges them.
fn attempts(
    contract: &cto_harness::contract::TaskContract,
    observed: &EngineObservations,
    patch: &Patch,
    scanner: &Scanner,
) -> Vec<(String, String)> {
    let tree = &observed.processes;
    let rows = actions(
        contract,
        &ActionObservations {
            executed: Some(tree.programs().to_vec()),
            all_seen: tree.is_whole(),
            sought: Some(tree.sought().clone()),
            in_patch: inspect_patch(contract, patch, scanner).attempts,
            refused_requests: Some(observed.refused.clone()),
            refused_calls: observed.counts.broker.refused,
            pushes: observed.pushes.clone(),
            ..ActionObservations::default()
        },
    );
    let of = |row: &cto_harness::evidence::ActionRow| {
        row.attempts.iter().map(|what| (row.action.clone(), what.clone())).collect::<Vec<_>>()
    };
    rows.iter().flat_map(of).collect()
}
