//! What the report must say because the contract and the decision say it: what was forbidden, expected, limited and
//! run, and what the path rules make of the changed paths.
//!
//! A row of a report that a contract asks for and that is not there would be silence where an answer is due.

use std::collections::BTreeSet;

use super::BundleContents;
use super::derive::Wrong;
use super::outcome::Check;
use crate::contract::TaskContract;
use crate::eligibility::Observed;
use crate::event::Redact;
use crate::evidence::{ActionResult, ActionRow, Holding, LEARNED, LimitRow, REPORT, ROOT, SUMS};
use crate::inspection::{PatchInspection, expectations, inspect_paths};
use crate::verification::{outcome, shown_command};
use crate::vocab::{LimitName, RiskClass, path_of, shown};

const ASKED: &str = "asked";
const PATHS: &str = "paths";
/// A row that a secret was taken out of begins so; it cannot be compared as text.
const MARK: &str = "[redacted:";
/// What nothing in a bundle gives again.
const OBSERVED: &str = "claims, attempts outside of the patch, layers, times and counts of requests are the sealer's word: \
                        nothing in a bundle gives them again";

/// Contract and decision against the report, and a row for what cannot be derived.
pub(super) fn checks(contents: &BundleContents) -> Vec<Check> {
    let report_is_whole = contents.withheld(REPORT).is_none();
    let rows = match &contents.contract {
        Some(contract) if report_is_whole => {
            vec![asked(contents, contract.task()), paths(contents, contract.task())]
        }
        Some(_) | None => {
            let detail = "contract or report is withheld: their rows were not compared";
            vec![Check::not_done(ASKED, detail), Check::not_done(PATHS, detail)]
        }
    };
    rows.into_iter().chain([Check::not_done("observed", OBSERVED)]).collect()
}

fn asked(contents: &BundleContents, task: &TaskContract) -> Check {
    let mut wrong = Wrong::default();
    limits(contents, &mut wrong);
    let sections = &contents.report.sections;
    let inspected = sections.verification.is_some();
    let forbidden: Vec<String> = if inspected {
        task.forbidden_actions.iter().flatten().map(|id| shown(id.as_str())).collect()
    } else {
        Vec::new()
    };
    wrong.unless(
        sections.actions.iter().map(|row| &row.action).eq(&forbidden),
        "the forbidden actions are not the contract's",
    );
    let marked: Vec<String> =
        task.ask_first.iter().filter(|_| inspected).map(|id| shown(id.as_str())).collect();
    wrong.unless(
        sections.asked_first.iter().map(|row| &row.action).eq(&marked),
        "the actions that a person is asked about first are not the contract's",
    );
    let follows = |row: &ActionRow| row.result == ActionResult::of(&row.observable, &row.attempts);
    wrong.unless(
        sections.actions.iter().chain(&sections.asked_first).all(follows),
        "the result of an action is not its attempts'",
    );
    engine(contents, &mut wrong);
    learning(contents, &mut wrong);
    let names: BTreeSet<String> =
        contents.sums.keys().cloned().chain([SUMS, ROOT].map(str::to_owned)).collect();
    let (patch, verification) = (sections.patch.as_ref(), sections.verification.as_ref());
    let expected = if inspected { expectations(task, patch, verification, &names) } else { Vec::new() };
    wrong.unless(sections.expectations == expected, "contract and evidence give other expectations");
    commands(contents, task, &mut wrong);
    wrong
        .check(ASKED, "engine, limits, actions, commands and expectations are those of contract and decision")
}

fn limits(contents: &BundleContents, wrong: &mut Wrong) {
    let sections = &contents.report.sections;
    let ran = sections.sandbox.is_some() || sections.engine.is_some() || sections.verification.is_some();
    let Some(decision) = contents.decision.as_ref().filter(|_| ran || !sections.limits.is_empty()) else {
        return;
    };
    let told = sections.limits.iter().map(|row| (row.name, row.requested));
    wrong.unless(told.eq(decision.limits.named()), "the limits are not the decision's");
    // A run that was cut off before its sandbox stood does not say whose uid the payload would have had.
    let own_uid = sections.sandbox.as_ref().is_some_and(|sandbox| sandbox.identity == "own-uid");
    let held = |row: &LimitRow| match row.enforced {
        Some(value) => value == row.requested,
        None => row.name == LimitName::Processes && !own_uid,
    };
    wrong.unless(sections.limits.iter().all(held), "a limit was not enforced as it was requested");
    let Some(sandbox) = &sections.sandbox else { return };
    let grouped = |layer: &str| sandbox.layers.iter().any(|row| row.layer == layer && row.ok);
    let hard = |name| sections.limits.iter().any(|row| row.name == name && row.holding == Holding::Hard);
    wrong.unless(
        !hard(LimitName::MemoryBytes) || grouped("cgroup.memory"),
        "memory is said to be held by a control group that is not among the layers",
    );
    let demanded = contents.report.risk_class >= RiskClass::Elevated;
    wrong.unless(
        !demanded || (hard(LimitName::MemoryBytes) && hard(LimitName::Processes)),
        "the risk class demands hard limits of memory and processes, and they were not held so",
    );
}

/// Who ran is who the decision let run, with what it says of him.
fn engine(contents: &BundleContents, wrong: &mut Wrong) {
    let (Some(engine), Some(decision)) = (&contents.report.sections.engine, &contents.decision) else {
        return;
    };
    let selected = decision.selected_backend.as_ref().filter(|id| id.as_str() == engine.id);
    let Some(facts) = selected.and_then(|id| decision.facts.engines.get(id)) else {
        return wrong.unless(false, format!("the decision did not select the engine `{}`", engine.id));
    };
    let program = match &facts.program {
        Observed::Seen(program) => program.digest == engine.program && program.version == engine.version,
        Observed::Absent(_) | Observed::Error(_) => false,
    };
    wrong.unless(
        program && facts.adapter == engine.adapter && facts.model == engine.model,
        "program, adapter or model of the engine is not the one that was decided on",
    );
    let checked = match &facts.conformance {
        Observed::Seen(check) if check.adapter_contract => Some(check.record),
        Observed::Seen(_) | Observed::Absent(_) | Observed::Error(_) => None,
    };
    wrong.unless(
        engine.prepared_by.is_none() || engine.prepared_by == checked,
        "the engine's home is said to be prepared by another check than the one that was decided on",
    );
}

/// A run learns where the decision was about one that does, and then says where it told.
fn learning(contents: &BundleContents, wrong: &mut Wrong) {
    let sections = &contents.report.sections;
    if let Some(decision) = contents.decision.as_ref().filter(|_| sections.sandbox.is_some()) {
        wrong.unless(
            decision.facts.learning == sections.learning.is_some(),
            "report and decision do not agree whether the run learned",
        );
    }
    let told = sections.learning.as_ref().and_then(|learning| learning.fragment.as_deref());
    wrong.unless(
        told.is_some() == contents.sums.contains_key(LEARNED) && told.is_none_or(|name| name == LEARNED),
        "what was learned is not the file that the report names",
    );
}

fn commands(contents: &BundleContents, task: &TaskContract, wrong: &mut Wrong) {
    let Some(section) = &contents.report.sections.verification else { return };
    let asked = &task.verification_commands;
    wrong.unless(
        section.commands.len() == asked.len(),
        format!("{} commands were verified, the contract has {}", section.commands.len(), asked.len()),
    );
    for (row, command) in section.commands.iter().zip(asked) {
        let text = shown_command(command, &Nothing);
        let same = row.command == text || row.command.contains(MARK);
        wrong.unless(same && row.expect == command.expect.as_str(), format!("`{text}` is not what was run"));
        let again =
            row.on_result.as_ref().map(|result| outcome(command.expect, row.on_base.as_ref(), result));
        wrong
            .unless(again == Some(row.outcome), format!("the outcome of `{text}` is not what its ends give"));
    }
}

/// Takes nothing out.
struct Nothing;

impl Redact for Nothing {
    fn redact(&self, _: &[u8]) -> Option<(Vec<u8>, Vec<String>)> {
        None
    }
}

fn paths(contents: &BundleContents, task: &TaskContract) -> Check {
    let sections = &contents.report.sections;
    let (Some(patch), Some(_)) = (&sections.patch, &sections.verification) else {
        return Check::ok(PATHS, "the run did not come to inspecting a patch");
    };
    let all: Vec<&str> = patch
        .files
        .iter()
        .flat_map(|file| [Some(&file.path), file.from.as_ref()])
        .flatten()
        .map(String::as_str)
        .collect();
    // What a secret was taken out of is no path any more.
    let exact: Vec<Vec<u8>> =
        all.iter().filter(|path| !path.contains(MARK)).map(|path| path_of(path)).collect();
    let mut wrong = Wrong::default();
    for silence in contents.unsaid(&inspect_paths(task, patch.files.len() as u64, &exact)) {
        wrong.unless(false, silence);
    }
    let left = match all.len() - exact.len() {
        0 => String::new(),
        redacted => format!("; {redacted} redacted names were not looked at"),
    };
    wrong.check(
        PATHS,
        &format!("the contract's rules for {} changed paths give no more than is told{left}", exact.len()),
    )
}

impl BundleContents {
    /// What `inspection` found and the report does not tell.
    #[must_use]
    pub fn unsaid(&self, inspection: &PatchInspection) -> Vec<String> {
        let sections = &self.report.sections;
        let mut unsaid = Vec::new();
        for found in &inspection.findings {
            let same = sections.findings.iter().any(|told| {
                (&told.code, &told.path, told.weight) == (&found.code, &found.path, found.weight)
            });
            if !same {
                unsaid.push(format!("it does not tell `{}` of `{}`", found.code, found.path));
            }
        }
        for change in &inspection.changes_to_checks {
            if !sections.changes_to_checks.contains(change) {
                unsaid.push(format!("it does not tell that `{}` decides about checks", change.path));
            }
        }
        for (action, what) in &inspection.attempts {
            // A row keeps the first attempts only; that there are some is what counts.
            let told = sections
                .actions
                .iter()
                .any(|row| row.action == shown(action.as_str()) && !row.attempts.is_empty());
            if !told {
                unsaid.push(format!("it does not tell the attempt `{action}`: {what}"));
            }
        }
        unsaid.truncate(10);
        unsaid
    }
}
