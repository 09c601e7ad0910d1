//! One run by the library's own stages, from a contract to a verdict. Nothing is taken for real that a run would not use.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use cto_harness::broker::spend::{Book, Caps, Ledger, PricedModel, Rates};
use cto_harness::broker::{Dial, Dialect, ModelKey, Purse, Route, Upstream, Ways};
use cto_harness::contract::TaskContract;
use cto_harness::eligibility::{Decision, ExecutionPermit, Facts, Observed, decide, landlock_floor};
use cto_harness::engine::case::CaseAdapter;
use cto_harness::engine::{
    Adapter as _, EngineObservations, FinishedEngine, Follower, LaunchPlan, Leave, PROGRAM, PlanInput,
    RawLog, RawStream, launch,
};
use cto_harness::event::{Draft, EventKind, EventSink, SinkError};
use cto_harness::inspection::secrets::Scanner;
use cto_harness::inspection::{ActionObservations, actions, inspect_patch};
use cto_harness::sandbox::{Bind, LISTENER_PORT, Sandbox, SandboxPolicy};
use cto_harness::verification::{Provisions, ReadyTree, SearchPlaces, Tree, Verification, Verified, verify};
use cto_harness::vocab::{MicroUsd, RunId, ThreadId, Timestamp};
use cto_harness::workspace::{Patch, Placement, RunUid, VerificationTree, Workspace};
use serde_json::Value;

use crate::model::Model;
use crate::world::{ENTRY, INSTALLATION, Place, place, stub};

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
    /// Whether the program is a runtime that is given a file of an installation.
    pub runtime: bool,
}

impl Default for Asked {
    fn default() -> Self {
        Self { odd: &[], forbidden: &[], wall_seconds: 60, cap: None, runtime: false }
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
        self.of(EventKind::EngineError).iter().map(ToString::to_string).collect()
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
    let place = place(asked, root.path());
    let mut adapter = Box::new(CaseAdapter::new());
    let now = Timestamp::now();
    let decided = decide(&place.contract, &place.facts).stamped(now, "test");
    assert!(decided.document().eligible(), "{:?}", decided.document().missing_gates);
    let permit = decided.permit(now).unwrap();
    let lease = RunUid::claim_by_hand(place.home.state()).unwrap();
    let plan = adapter.plan(&PlanInput {
        contract: place.contract.task(),
        script: None,
        model: Some(MODEL),
        program: PROGRAM,
        entry: place.installation.as_ref().map(|_| ENTRY),
        listener_port: LISTENER_PORT,
        environment: &BTreeMap::new(),
        earlier: None,
        prepared: &[],
    });
    let plan = plan.unwrap();
    let placement = Placement {
        cache_dir: place.home.cache().to_owned(),
        run_dir: place.folder.clone(),
        uid: lease.uid(),
        overlay: matches!(&place.facts.host, Observed::Seen(host) if host.overlay),
        mounted: plan.places_in_the_tree(),
    };
    let workspace = Workspace::prepare(&permit, &place.base, placement.clone()).unwrap();
    let policy = policy(&permit, &place, &plan, &workspace, lease.uid());
    let sandbox = Sandbox::establish_with(policy, &stub()).unwrap();
    let ways = ways(asked, &place, model);
    let asking = Leave::of(place.contract.task());
    let running = launch(permit, sandbox, workspace, adapter, &place.program, ways, asking).unwrap();
    let running = running.following(Follower::of(&plan, &place.folder));
    let (mut kept, mut raw) = (Kept::default(), Raw);
    let (_say, stop) = tokio::sync::watch::channel(None);
    let finished = Box::pin(running.drive(&mut kept, &mut raw, stop)).await.unwrap();
    let patch = finished.workspace().patch().unwrap();
    let verified = verified(&finished, &place, &patch, &placement, &mut kept).await;
    let attempts = attempts(place.contract.task(), &finished.observed, &patch);
    let Kept { events } = kept;
    let observed = finished.observed.clone();
    Ran { events, observed, patch, verified, attempts, folder: place.folder, _place: root }
}

fn policy(
    permit: &ExecutionPermit,
    place: &Place,
    plan: &LaunchPlan,
    workspace: &Workspace,
    uid: RunUid,
) -> SandboxPolicy {
    let laid = plan.lay_out(&place.folder, &place.program, (uid.host_uid, uid.host_gid)).unwrap();
    let bind = |(from, to)| Bind::new(from, to);
    let mut policy =
        SandboxPolicy::for_engine(workspace.mount(), plan.argv.clone(), uid, permit.limits().clone());
    policy.read_only = laid.read_only.into_iter().map(bind).collect();
    policy.read_only.extend(place.installation.iter().map(|dir| Bind::new(dir, INSTALLATION)));
    policy.writable = laid.writable.into_iter().map(bind).collect();
    policy.files = laid.files.into_iter().map(bind).collect();
    policy.env.clone_from(&plan.env);
    policy.cwd = PathBuf::from(&plan.cwd);
    policy.landlock_floor = landlock_floor(permit.risk());
    policy
}

async fn verified(
    finished: &FinishedEngine,
    place: &Place,
    patch: &Patch,
    placement: &Placement,
    events: &mut Kept,
) -> Verified {
    let contract = place.contract.task();
    let (_never, cancelled) = tokio::sync::watch::channel(false);
    let trees = |tree: Tree| {
        let patch = (tree == Tree::Result).then_some(patch);
        let laid = VerificationTree::prepare(&place.base, patch, &BTreeMap::new(), placement);
        laid.map(|laid| ReadyTree::of(&laid)).map_err(|error| error.to_string())
    };
    let scanner = Scanner::embedded();
    let (provisions, _) =
        Provisions::describe(contract, &BTreeMap::new(), &SearchPlaces::of_this_process(), &[]);
    let verification = Verification {
        contract,
        provisions: Ok(&provisions),
        trees: &trees,
        uid: placement.uid,
        landlock_floor: landlock_floor(contract.risk_class),
        landlock_at_most: None,
        events,
        redact: &scanner,
        learning: false,
        cancelled,
    };
    verify(finished, verification).await.unwrap()
}

/// Forbidden actions that were attempted, as a run judges them.
fn attempts(contract: &TaskContract, observed: &EngineObservations, patch: &Patch) -> Vec<(String, String)> {
    let tree = &observed.processes;
    let rows = actions(
        contract,
        &ActionObservations {
            executed: Some(tree.programs().to_vec()),
            all_seen: tree.is_whole(),
            sought: Some(tree.sought().clone()),
            in_patch: inspect_patch(contract, patch, &Scanner::embedded()).attempts,
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
