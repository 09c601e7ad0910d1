//! From a permit to what was observed: workspace, sandbox, engine, patch, verification, inspection.
//!
//! Each stage's answer goes into the sections the moment it is known, so a run that breaks in the middle still
//! tells everything up to there.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use super::cutoff::CutOff;
use super::earlier::Earlier;
use super::judge;
use super::money::purse;
use super::recording::Recording;
use super::report::Told;
use super::stop::Stop;
use super::{Scene, Step, approve, conformance, people, resume, threads};
use crate::audit::Act;
use crate::broker::{Dial, Dialect, Egress, ModelKey, Purse, Route, StandIn, Upstream, Ways};
use crate::eligibility::{ExecutionPermit, Observed, landlock_floor};
use crate::engine::{
    self, Adapter, EngineManifest, FinishedEngine, Follower, INSTALLATION, LaunchPlan, PROGRAM, PlanInput,
    RawStream, StoredProgram,
};
use crate::event::{Draft, EventKind, EventSink as _};
use crate::evidence::{LearningSection, MAX_FILE};
use crate::home::Home;
use crate::inspection::secrets::Scanner;
use crate::sandbox::{Bind, Grouping, LISTENER_PORT, Sandbox, SandboxPolicy, expect_as};
use crate::vocab::{LimitName, Reason, Timestamp, counted};
use crate::workspace::{Base, Patch, Placement, RunUid, RunUidLease, Workspace, WorkspaceError, base_holds};

const HOST: &str =
    "Run `cto doctor`: it shows what this host can enforce, with the remedy for what it cannot.";
const AGAIN: &str = "Run again; if it happens again, the events tell how far the run came.";

/// What a run needs at hand while it executes.
pub(super) struct Tools<'a> {
    pub(super) home: &'a Home,
    pub(super) scene: &'a Scene,
    pub(super) scanner: &'a Arc<Scanner>,
    pub(super) stop: &'a Stop,
    pub(super) earlier: &'a Earlier,
}

impl Tools<'_> {
    /// What the configuration lowered Landlock to when it was decided.
    pub(super) fn landlock_at_most(&self) -> Option<u32> {
        match &self.scene.facts.host {
            Observed::Seen(host) => host.landlock_abi_at_most,
            Observed::Absent(_) | Observed::Error(_) => None,
        }
    }

    /// Whether the next step may begin: not when somebody said stop.
    fn go_on(&self) -> Result<(), CutOff> {
        self.stop.said().map_or(Ok(()), |signal| Err(CutOff::cancelled(signal)))
    }
}

/// Everything after the permit, up to what inspection found. `told` holds what is known however this ends.
pub(super) async fn execute(
    permit: ExecutionPermit,
    tools: &Tools<'_>,
    lease: &mut Option<RunUidLease>,
    recording: &mut Recording<'_>,
    told: &mut Told,
) -> Result<(), CutOff> {
    tools.go_on()?;
    let lease = match lease {
        Some(lease) => lease,
        None => lease.insert(resume::free_uid(tools.home)?),
    };
    expect_as(lease.uid());
    told.limits(permit.limits());
    tools.earlier.tell_limits(told);
    let base =
        tools.scene.seen.source.base().ok_or_else(|| CutOff::at("base", "The base is not there.", AGAIN))?;
    let planned = plan(&permit, tools)?;
    refuse_reserved(&planned.plan, base)?;
    let placement = placement(tools, recording, lease.uid(), &planned.plan);

    tools.go_on()?;
    told.reached(Step::Workspace);
    recording.begin_step(Step::Workspace);
    let workspace = workspace(&permit, tools, base, &placement).map_err(|error| {
        CutOff::at("workspace", error, "Free disk space, or remove the cache folder, and run again.")
    })?;
    let data = json!({"form": workspace.form(), "base_commit": base.commit, "base_tree": base.tree});
    recording.append(Draft::observed(EventKind::WorkspacePrepared, data))?;
    recording.end_step(workspace.form())?;

    let finished = Box::pin(work(permit, tools, planned, workspace, &lease.uid(), recording, told)).await?;
    let patch = collect(&finished, recording, told)?;
    judge::verify_and_inspect(&finished, &patch, base, &placement, tools, recording, told).await?;
    tools.go_on()
}

/// As an earlier attempt left it, where there is one to go on with; else fresh.
fn workspace(
    permit: &ExecutionPermit,
    tools: &Tools<'_>,
    base: &Base,
    placement: &Placement,
) -> Result<Workspace, WorkspaceError> {
    let earlier = tools.earlier.keeps_the_tree();
    let kept = earlier.then(|| Workspace::reopen(permit, base, placement.clone())).transpose()?;
    kept.flatten().map_or_else(|| Workspace::prepare(permit, base, placement.clone()), Ok)
}

/// The adapter of the engine, and how it wants it started.
struct Planned {
    adapter: Box<dyn Adapter>,
    plan: LaunchPlan,
}

fn plan(permit: &ExecutionPermit, tools: &Tools<'_>) -> Result<Planned, CutOff> {
    let (manifest, program) = engine_of(permit, tools)?;
    let entry = program.installation.as_ref().and_then(|one| one.entry.as_ref());
    let entry = entry.map(|entry| format!("{INSTALLATION}/{entry}"));
    let adapter = manifest.load_permitted(permit);
    let mut adapter = adapter.map_err(|error| CutOff::adapter("adapter", &error, AGAIN))?;
    let asked = &tools.scene.asked.contract;
    let mut environment = tools.scene.seen.provisions.env();
    if !permit.network_allow().is_empty() {
        environment.extend(engine::proxy_environment(LISTENER_PORT));
    }
    let model = tools.scene.model(permit.engine());
    let plan = adapter.plan(&PlanInput {
        contract: asked.task(),
        script: asked.attachments().script.as_deref(),
        model: model.as_deref(),
        program: PROGRAM,
        entry: entry.as_deref(),
        listener_port: LISTENER_PORT,
        environment: &environment,
        earlier: tools.earlier.for_the_engine(),
        prepared: tools.scene.seen.engines.prepared(permit.engine()),
    });
    let plan = plan.map_err(|error| CutOff::adapter("plan", &error, AGAIN))?;
    Ok(Planned { adapter, plan })
}

fn engine_of<'a>(
    permit: &ExecutionPermit,
    tools: &'a Tools<'_>,
) -> Result<(&'a EngineManifest, &'a StoredProgram), CutOff> {
    let engines = &tools.scene.seen.engines;
    engines.get(permit.engine()).ok_or_else(|| CutOff::at("engine", "The engine's program is gone.", AGAIN))
}

/// What an engine has for itself in the work tree must not be somebody's already: it would be hidden.
fn refuse_reserved(plan: &LaunchPlan, base: &Base) -> Result<(), CutOff> {
    for place in plan.places_in_the_tree() {
        let there = base_holds(base, &place);
        if there.map_err(|error| CutOff::at("base", error, AGAIN))? {
            let sentence =
                format!("The base tree has `{place}`, which this engine needs for files of its own.");
            let remedy = "Choose another engine, or a base without it.";
            return Err(CutOff::Sealed(Reason::observed("workspace.reserved-path", sentence, remedy)));
        }
    }
    Ok(())
}

fn placement(tools: &Tools<'_>, recording: &Recording<'_>, uid: RunUid, plan: &LaunchPlan) -> Placement {
    let inputs = tools.scene.asked.contract.task().inputs.iter().map(|input| input.to.clone());
    Placement {
        cache_dir: tools.home.cache().to_owned(),
        run_dir: recording.work(),
        uid,
        overlay: matches!(&tools.scene.facts.host, Observed::Seen(host) if host.overlay),
        mounted: inputs.chain(plan.places_in_the_tree()).collect(),
    }
}

/// Sandbox and engine: the permit is spent here.
async fn work(
    permit: ExecutionPermit,
    tools: &Tools<'_>,
    planned: Planned,
    workspace: Workspace,
    uid: &RunUid,
    recording: &mut Recording<'_>,
    told: &mut Told,
) -> Result<FinishedEngine, CutOff> {
    let (manifest, program) = engine_of(&permit, tools)?;
    let Planned { adapter, plan } = planned;

    tools.go_on()?;
    told.reached(Step::Sandbox);
    recording.begin_step(Step::Sandbox);
    let policy = policy(&permit, tools, &workspace, *uid, &plan, recording)?;
    let stand_in = conformance::stand_in(tools).await?;
    let ways = ways(&permit, tools, manifest.dialect, stand_in.as_ref())?;
    let purse = ways.model.as_ref().and_then(|route| route.purse.clone());
    recording.bundle().write(
        "backend/sandbox-policy.json",
        &serde_json::to_vec_pretty(&policy).map_err(super::recording::RecordError::from)?,
    )?;
    tools.go_on()?;
    let sandbox = Sandbox::establish(policy).await.map_err(|e| CutOff::at("sandbox", e, HOST))?;
    told.held_by(sandbox.group());
    let section = sandbox.section();
    recording.append(Draft::observed(EventKind::SandboxEstablished, json!({"layers": section.layers})))?;
    recording.end_step(counted(section.layers.len(), "layer"))?;
    told.sections.sandbox = Some(section);
    if tools.scene.facts.learning {
        told.sections.learning = Some(LearningSection::default());
    }

    tools.go_on()?;
    told.reached(Step::Engine);
    recording.begin_step(Step::Engine);
    // As late as it can be: what could not be prepared has used up nobody's yes.
    approve::spend(tools.home, &permit, tools.scene, recording)?;
    recording.announce(Act::LaunchEngine, format!("{} {}", permit.engine(), program.digest))?;
    for stream in RawStream::ALL {
        recording.bundle().open_raw(stream.name())?;
    }
    let model = tools.scene.model(permit.engine());
    let prepared_by = tools.scene.seen.engines.prepared_by(permit.engine());
    let data = json!({"engine": permit.engine(), "program": program.digest, "model": model,
        "prepared_by": prepared_by});
    recording.append(Draft::observed(EventKind::EngineStarted, data))?;
    for (name, bytes) in &plan.given {
        recording.bundle().write(name, bytes)?;
    }
    tools.go_on()?;
    let (leave, answers) = people::leave(&permit, tools)?;
    let running = engine::launch(permit, sandbox, workspace, adapter, program, ways, leave)
        .map_err(|error| CutOff::at("launch", error, AGAIN))?;
    let running = running.after(tools.earlier.before()).following(Follower::of(&plan, &recording.work()));
    recording.holds(uid.own.then_some(uid.host_uid), running.init())?;
    let (mut events, raw) = recording.sinks();
    let mut tap = conformance::Tap::over(&mut events, tools.scene.facts.checking);
    let finished = Box::pin(running.drive(&mut tap, raw, tools.stop.receiver())).await;
    let seen = tap.into_seen();
    answers.recall(tools)?;
    answers.attach(recording)?;
    if let Some(Purse { ledger, run, .. }) = &purse {
        // What nobody settled counts in full, now and whatever comes of this call.
        ledger.abandon(run.clone()).await.ok();
    }
    let mut finished = finished.map_err(|error| CutOff::at("engine", error, AGAIN))?;
    if resume::can_start_again(&finished.observed, recording, tools) {
        return Err(CutOff::EngineDied);
    }
    threads::copy(&plan, recording, told)?;
    told.sections.findings.extend(tools.earlier.join(&mut finished.observed));
    told.engine(manifest, program, model, prepared_by, &finished.observed);
    told.calls(purse.as_ref(), &finished.observed);
    conformance::judge(stand_in.as_ref(), &finished, &seen, recording, told)?;
    let note = finished.observed.exit.clone();
    recording.end_step_as(note, finished.observed.outcome == crate::evidence::EngineOutcome::Completed)?;
    Ok(finished)
}

fn policy(
    permit: &ExecutionPermit,
    tools: &Tools<'_>,
    workspace: &Workspace,
    uid: RunUid,
    plan: &LaunchPlan,
    recording: &mut Recording<'_>,
) -> Result<SandboxPolicy, CutOff> {
    let provisions = &tools.scene.seen.provisions;
    let (_, program) = engine_of(permit, tools)?;
    if tools.earlier.for_the_engine().is_some() {
        plan.clear(&recording.work(), (uid.host_uid, uid.host_gid))
            .map_err(|error| CutOff::at("plan", error, AGAIN))?;
    }
    let laid = plan
        .lay_out(&recording.work(), program, (uid.host_uid, uid.host_gid))
        .map_err(|error| CutOff::at("plan", error, AGAIN))?;
    recording.keeps_threads(plan.home.as_ref().and_then(|home| home.kept.clone()));
    let tree = workspace.mount();
    let read_only = provisions.read_only(&tree.at).into_iter().map(|bind| Bind::new(bind.from, bind.to));
    let bind = |(from, to)| Bind::new(from, to);
    let mut policy = SandboxPolicy::for_engine(tree, plan.argv.clone(), uid, permit.limits().clone());
    policy.read_only = read_only.chain(laid.read_only.into_iter().map(bind)).collect();
    policy.read_only.extend(program.installation.iter().map(|one| Bind::new(&one.dir, INSTALLATION)));
    policy.writable = laid.writable.into_iter().map(bind).collect();
    policy.files = laid.files.into_iter().map(bind).collect();
    policy.env.clone_from(&plan.env);
    policy.cwd = PathBuf::from(&plan.cwd);
    policy.landlock_floor = landlock_floor(permit.risk());
    policy.landlock_at_most = tools.landlock_at_most();
    policy.group = Grouping::for_risk(permit.risk());
    policy.learning = tools.scene.facts.learning;
    Ok(policy)
}

/// Every way out. That of a check leads to its scripted model and nowhere else.
fn ways(
    permit: &ExecutionPermit,
    tools: &Tools<'_>,
    dialect: Dialect,
    stand_in: Option<&StandIn>,
) -> Result<Ways, CutOff> {
    let model = match stand_in {
        Some(scripted) => conformance::route(scripted, dialect, tools.scene.model(permit.engine()))?,
        None => route(permit, tools, dialect)?,
    };
    Ok(Ways { model: model.map(Arc::new), egress: egress(permit, tools)? })
}

/// Where model requests go; `None` for engines that have no model. The key is read here and nowhere else.
fn route(permit: &ExecutionPermit, tools: &Tools<'_>, dialect: Dialect) -> Result<Option<Route>, CutOff> {
    let Some(model) = tools.scene.model(permit.engine()) else { return Ok(None) };
    let configured = tools.scene.settings.config.engine(permit.engine());
    let remedy = "See `[engines.codex]` in config.toml.";
    let endpoint = configured
        .endpoint
        .as_deref()
        .ok_or_else(|| CutOff::at("endpoint", "No endpoint is set.", remedy))?;
    let upstream = Upstream::parse(endpoint).map_err(|error| CutOff::at("endpoint", error, remedy))?;
    let dial = Dial::new(upstream, configured.ca.as_deref());
    let dial = dial.map_err(|error| CutOff::at("endpoint", error, remedy))?;
    let key = match &configured.key {
        None => None,
        Some(source) => {
            let text = source.read(&|| tools.stop.said().is_some());
            tools.go_on()?;
            let text = text.map_err(|error| CutOff::at("key", error, remedy))?;
            tools.scanner.learn_key(text.as_bytes());
            Some(ModelKey::from(text))
        }
    };
    let purse = purse(permit, tools, &model)?;
    Ok(Some(Route { dial, dialect, key, model, purse }))
}

/// Where else it may connect to: what the permit names, as far as the configuration still allows it.
fn egress(permit: &ExecutionPermit, tools: &Tools<'_>) -> Result<Egress, CutOff> {
    let network = &tools.scene.settings.config.network;
    Egress::new(permit.network_allow(), &network.allow, &network.addresses)
        .map_err(|error| CutOff::at("network", error, "Correct `network.allow` of the contract."))
}

/// What changed, read from outside after everything that could write is dead.
fn collect(
    finished: &FinishedEngine,
    recording: &mut Recording<'_>,
    told: &mut Told,
) -> Result<Patch, CutOff> {
    told.reached(Step::Patch);
    recording.begin_step(Step::Patch);
    let patch = finished.workspace().patch().map_err(|error| CutOff::at("patch", error, AGAIN))?;
    let limit = finished.permit().limits().patch_bytes;
    if let Err(cut) = within(patch.text.len() as u64, limit) {
        let at = Timestamp::now();
        let data = json!({"name": LimitName::PatchBytes, "value": limit, "during": "patch"});
        recording.append(Draft::observed(EventKind::LimitReached, data))?;
        told.limit_reached(LimitName::PatchBytes, at, "patch");
        return Err(cut);
    }
    for file in patch.section.files.iter().take(1000) {
        let data = json!({"path": file.path, "change": file.change, "size": file.size});
        recording.append(Draft::observed(EventKind::FileChanged, data))?;
    }
    let section = &patch.section;
    let files = counted(section.files.len(), "file");
    recording.end_step(format!("{files}, +{} −{}", section.added_lines, section.removed_lines))?;
    told.sections.patch = Some(section.clone());
    Ok(patch)
}

/// A patch over its limit, or one that no verifier would read, is not sealed.
fn within(size: u64, limit: u64) -> Result<(), CutOff> {
    let most = limit.min(MAX_FILE);
    if size <= most {
        return Ok(());
    }
    let sentence =
        format!("The patch has {size} bytes, more than the {most} that it may have (`patch_bytes`).");
    let remedy = "Give a task that changes less, or leave large files out of it.";
    Err(CutOff::Sealed(Reason::observed("patch.too-large", sentence, remedy)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_over_its_limit_or_that_no_verifier_would_read_ends_the_run() {
        for (limit, most) in [(7, 7), (u64::MAX, MAX_FILE)] {
            assert!(within(most, limit).is_ok());
            let cut = within(most + 1, limit);
            assert!(matches!(cut, Err(CutOff::Sealed(reason)) if reason.code == "patch.too-large"));
        }
    }
}
