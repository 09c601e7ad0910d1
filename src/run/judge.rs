//! Did it work, and is it acceptable: verification in a second sandbox, then inspection of everything seen.

use std::collections::BTreeSet;

use serde_json::json;

use super::Step;
use super::claims;
use super::cutoff::CutOff;
use super::execute::Tools;
use super::learn;
use super::output;
use super::recording::{RecordError, Recording};
use super::report::Told;
use crate::audit::Act;
use crate::contract::command::shows_in_commands;
use crate::contract::{Action, TaskContract};
use crate::eligibility::landlock_floor;
use crate::engine::{FinishedEngine, RawStream};
use crate::event::{Draft, EventKind, EventSink as _};
use crate::evidence::{Finding, PATCH, PatchSection};
use crate::inspection::{
    ActionObservations, AskedObservations, PatchInspection, actions, asked_first, attempts, inspect_patch,
};
use crate::process::ProcessTree;
use crate::verification::{
    ProvisionProblem, Provisions, ReadyTree, SearchPlaces, Tree, Verification, Verified, verification_files,
    verify,
};
use crate::vocab::{ActionId, LimitName, Timestamp, Verdict, counted};
use crate::workspace::{Base, Patch, Placement, VerificationTree, remove_remains};

const AGAIN: &str = "Run again; if it happens again, the events tell how far the run came.";
const LOG: &str = "test.log";

/// Verifies and inspects what `finished` left, and writes patch and log.
pub(super) async fn verify_and_inspect(
    finished: &FinishedEngine,
    patch: &Patch,
    base: &Base,
    placement: &Placement,
    tools: &Tools<'_>,
    recording: &mut Recording<'_>,
    told: &mut Told,
) -> Result<(), CutOff> {
    let verified = second_sandbox(finished, patch, base, placement, tools, recording, told).await?;

    told.reached(Step::Inspection);
    recording.begin_step(Step::Inspection);
    let contract = tools.scene.asked.contract.task();
    let inspection = inspect_patch(contract, patch, tools.scanner);
    write_patch(patch, &inspection, recording, told)?;
    recording.bundle().write(LOG, &verified.log)?;
    if !verified.redacted.is_empty() {
        told.secret_in(LOG, &verified.redacted);
    }
    if inspection.too_many_files {
        told.limit_reached(LimitName::ChangedFiles, Timestamp::now(), "patch");
    }
    let tree = &finished.observed.processes;
    let observed = ActionObservations {
        executed: Some(tree.programs().to_vec()),
        all_seen: tree.is_whole(),
        sought: Some(tree.sought().clone()),
        left_behind: tree.is_complete().then(|| tree.left_behind()),
        in_patch: inspection.attempts.clone(),
        refused_requests: Some(finished.observed.refused.clone()),
        refused_calls: finished.observed.counts.broker.refused,
        pushes: finished.observed.pushes.clone(),
        ..ActionObservations::default()
    };
    told.sections.actions = actions(contract, &observed);
    for (action, what) in attempts(&told.sections.actions) {
        recording
            .append(Draft::observed(EventKind::ActionAttempted, json!({"action": action, "what": what})))?;
    }
    told.sections.asked_first = asked_first(
        contract,
        &AskedObservations {
            executed: tree.programs(),
            all_seen: tree.is_whole(),
            patch: &patch.section,
            yes: &finished.observed.yes,
        },
    );
    for (action, what) in attempts(&told.sections.asked_first) {
        let data = json!({"action": action, "what": what, "without": "a person's yes"});
        recording.append(Draft::observed(EventKind::ActionAttempted, data))?;
    }
    told.sections.findings.extend(unobserved(contract, tree));
    told.sections.findings.extend(inspection.findings);
    told.sections.changes_to_checks = inspection.changes_to_checks;
    let reconciled = claims::against(&finished.observed.claims, patch, &verified.section, tree);
    told.sections.findings.extend(reconciled.findings);
    told.sections.claims = reconciled.rows;
    told.sections.unclaimed = reconciled.unclaimed;
    told.sections.verification = Some(verified.section);
    // Before it is asked what the bundle holds.
    learn::write(tools, finished, patch, observed, verified.witnessed, recording, told)?;
    output::write(tools, finished, recording, told)?;
    let names = artifact_names(recording.bundle().files().keys());
    told.expectations(contract, &names);
    let findings = &told.sections.findings;
    let well = findings.iter().all(|finding| finding.weight == Verdict::Pass);
    recording.end_step_as(counted(findings.len(), "finding"), well)?;
    Ok(())
}

/// A rule over commands is nothing but observation: where not everything was seen, it proves nothing.
fn unobserved(contract: &TaskContract, tree: &ProcessTree) -> Option<Finding> {
    let forbidden = |id: &&ActionId| matches!(Action::parse(id), Ok(Action::Command(_)));
    let marked = |id: &&ActionId| forbidden(id) || shows_in_commands(id.as_str());
    let rule = contract.forbidden_actions.iter().flatten().find(forbidden);
    let rule = rule.or_else(|| contract.ask_first.iter().find(marked))?;
    (!tree.is_whole()).then(|| Finding {
        code: "observation.incomplete".to_owned(),
        path: String::new(),
        line: None,
        sentence: format!("Not every program that was executed was seen with all of its arguments, so `{rule}` was not judged."),
        weight: Verdict::Blocked,
    })
}

async fn second_sandbox(
    finished: &FinishedEngine,
    patch: &Patch,
    base: &Base,
    placement: &Placement,
    tools: &Tools<'_>,
    recording: &mut Recording<'_>,
    told: &mut Told,
) -> Result<Verified, CutOff> {
    told.reached(Step::Verification);
    recording.begin_step(Step::Verification);
    recording.announce(Act::Verify, patch.section.digest.to_string())?;
    let contract = tools.scene.asked.contract.task();
    let attached = tools.scene.asked.contract.attachments();
    let files = verification_files(contract, attached, base)
        .map_err(|problem| CutOff::at("verification-file", problem.sentence, &problem.remedy))?;
    let trees = |tree: Tree| {
        let patch = (tree == Tree::Result).then_some(patch);
        let laid = VerificationTree::prepare(base, patch, &files, placement);
        laid.map(|laid| ReadyTree::of(&laid)).map_err(|error| error.to_string())
    };
    let again = provisions_again(tools);
    let (mut events, _) = recording.sinks();
    let verified = verify(
        finished,
        Verification {
            contract,
            provisions: again.as_ref().map_err(Clone::clone),
            trees: &trees,
            uid: placement.uid,
            landlock_floor: landlock_floor(contract.risk_class),
            landlock_at_most: tools.landlock_at_most(),
            events: &mut events,
            learning: tools.scene.facts.learning,
            redact: &**tools.scanner,
            cancelled: tools.stop.cancelled(),
        },
    )
    .await?;
    remove_remains(&placement.run_dir).map_err(|error| CutOff::at("verification-tree", error, AGAIN))?;
    for limit in &verified.reached {
        told.limit_reached(limit.name, limit.at, &limit.during);
    }
    let commands = &verified.section.commands;
    let passed = commands.iter().filter(|row| row.outcome == crate::evidence::CommandOutcome::Passed).count();
    recording.end_step_as(format!("{passed} of {} passed", commands.len()), passed == commands.len())?;
    Ok(verified)
}

/// Toolchains and inputs, described once more: what changed since the decision is not used.
fn provisions_again(tools: &Tools<'_>) -> Result<Provisions, ProvisionProblem> {
    let contract = tools.scene.asked.contract.task();
    let configured = &tools.scene.settings.config.toolchains;
    let places = SearchPlaces::of_this_process();
    let (provisions, described) =
        Provisions::describe(contract, configured, &places, &tools.scene.seen.kept_out);
    for (_, answer) in described {
        answer?;
    }
    provisions.agree_with(&tools.scene.facts.provision_digests())?;
    Ok(provisions)
}

/// `patch.diff`, or its redacted copy; a tree that holds a secret is not re-derivable.
fn write_patch(
    patch: &Patch,
    inspection: &PatchInspection,
    recording: &mut Recording<'_>,
    told: &mut Told,
) -> Result<(), RecordError> {
    let binary = |index: &usize| patch.changes.get(*index).is_some_and(|change| change.binary);
    if inspection.with_secret.iter().any(binary) {
        // The text of a binary part is compressed: it cannot be redacted, only withheld as a whole.
        let note = b"# withheld: a secret is in a binary part of this patch\n";
        recording.bundle().withhold(PATCH, patch.section.digest, note, vec!["binary".to_owned()])?;
    } else {
        recording.bundle().write(PATCH, &patch.text)?;
    }
    let withheld = recording.bundle().files().get(PATCH) != Some(&patch.section.digest);
    if withheld || !inspection.with_secret.is_empty() {
        told.sections.patch = Some(PatchSection { result_tree: None, ..patch.section.clone() });
    }
    Ok(())
}

/// Names that the sealed bundle will hold, for the expectations.
fn artifact_names<'a>(written: impl Iterator<Item = &'a String>) -> BTreeSet<String> {
    use crate::evidence::{CHECKPOINTS, CTRF, EVENTS, REPORT, ROOT, SARIF, SUMMARY, SUMS, TRACE};
    let raw = RawStream::ALL.map(|stream| stream.name().to_owned());
    let own = [CHECKPOINTS, CTRF, EVENTS, REPORT, ROOT, SARIF, SUMMARY, SUMS, TRACE].map(str::to_owned);
    written.cloned().chain(raw).chain(own).collect()
}
