//! The verdict: a pure, total function of the report's sections. The worst wins, and every reason has a code.
//!
//! It trusts no absence: a section that is missing without a stated cause is evidence that is missing, and that
//! blocks. A claim of an engine can only make the verdict worse, never better.

use std::collections::BTreeMap;

use crate::evidence::{
    CommandOutcome, CommandRow, EngineOutcome, EngineSection, Finding, LayerRow, OutputSection, Sections,
    Spend,
};
use crate::vocab::{Basis, MicroUsd, Reason, Verdict, shown};

/// Paths named in one reason; the rest are counted.
const PATHS_IN_A_REASON: usize = 3;

/// The answer and what it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conclusion {
    /// The worst of all reasons; `pass` when there is none.
    pub verdict: Verdict,
    /// Why, worst first; empty exactly for `pass`.
    pub reasons: Vec<Reason>,
}

/// Reasons with their weights, as they are found.
#[derive(Default)]
struct Weighed(Vec<(Verdict, Reason)>);

impl Weighed {
    fn add(&mut self, weight: Verdict, code: &str, sentence: impl Into<String>, remedy: &str) {
        self.0.push((weight, Reason::observed(code, sentence, remedy)));
    }

    fn blocked(&mut self, code: &str, sentence: impl Into<String>, remedy: &str) {
        self.add(Verdict::Blocked, code, sentence, remedy);
    }

    fn fail(&mut self, code: &str, sentence: impl Into<String>, remedy: &str) {
        self.add(Verdict::Fail, code, sentence, remedy);
    }
}

/// The verdict over `sections`, by the table of SPEC §8.
#[must_use]
pub fn conclude(sections: &Sections) -> Conclusion {
    let mut found = Weighed::default();
    for gate in &sections.refused_gates {
        found.0.push((Verdict::Blocked, gate.clone()));
    }
    if let Some(cut_off) = &sections.cut_off {
        found.0.push((cut_off_weight(&cut_off.code), cut_off.clone()));
    }
    attempts(sections, &mut found);
    without_a_yes(sections, &mut found);
    findings(&sections.findings, &mut found);
    layers(sections, &mut found);
    limits(sections, &mut found);
    money(sections, &mut found);
    if let Some(engine) = &sections.engine {
        engine_end(engine, &mut found);
        let came_to_nothing = matches!(engine.outcome, EngineOutcome::Failed | EngineOutcome::Crashed);
        if let Some(reason) = sections.usage.last_call.as_ref().filter(|_| came_to_nothing) {
            found.0.push((Verdict::Fail, reason.clone()));
        }
    }
    commands(sections, &mut found);
    checks(sections, &mut found);
    for row in sections.expectations.iter().filter(|row| !row.met) {
        let sentence = format!("The contract expects `{}`, and that is not so.", row.expectation);
        found.fail(
            "expectation.unmet",
            sentence,
            "See the patch and the verification results for what is missing.",
        );
    }
    output(sections, &mut found);
    proof(sections, &mut found);
    missing(sections, &mut found);

    found.0.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
    let verdict = found.0.iter().map(|(weight, _)| *weight).max().unwrap_or(Verdict::Pass);
    Conclusion { verdict, reasons: found.0.into_iter().map(|(_, reason)| reason).collect() }
}

/// A cancelled run failed; a run that the harness could not carry on has no proof.
fn cut_off_weight(code: &str) -> Verdict {
    if code == "cancelled" || code.starts_with("cancelled.") { Verdict::Fail } else { Verdict::Blocked }
}

fn attempts(sections: &Sections, found: &mut Weighed) {
    for row in &sections.actions {
        let Some(first) = row.attempts.first() else { continue };
        let more = match (row.attempts.len() as u64 - 1).saturating_add(row.left_out) {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        let sentence = format!("The forbidden action `{}` was attempted: {first}{more}.", row.action);
        found.blocked(
            &format!("action.{}", action_word(&row.action)),
            sentence,
            "Read what the engine did in the events. If the action is wanted, a new contract has to allow it.",
        );
    }
}

fn without_a_yes(sections: &Sections, found: &mut Weighed) {
    for row in &sections.asked_first {
        let Some(first) = row.attempts.first() else { continue };
        let more = match (row.attempts.len() as u64 - 1).saturating_add(row.left_out) {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        let sentence = format!("`{}` happened without a person's yes: {first}{more}.", row.action);
        found.blocked(
            &format!("asked-first.{}", action_word(&row.action)),
            sentence,
            "Read what the engine did in the events. If it is wanted without asking, a new contract has to say so.",
        );
    }
}

/// The part of an action id that is a stable code: globs stay in the sentence.
fn action_word(action: &str) -> &str {
    action.split_once(':').map_or(action, |(kind, _)| kind)
}

/// One reason for each code, so that a thousand paths do not bury the others.
fn findings(findings: &[Finding], found: &mut Weighed) {
    let mut by_code: BTreeMap<(Verdict, &str), Vec<&Finding>> = BTreeMap::new();
    for finding in findings.iter().filter(|finding| finding.weight != Verdict::Pass) {
        by_code.entry((finding.weight, &finding.code)).or_default().push(finding);
    }
    for ((weight, code), all) in by_code {
        let Some(first) = all.first() else { continue };
        let mut paths: Vec<String> =
            all.iter().filter(|f| !f.path.is_empty()).map(|f| f.path.clone()).collect();
        paths.dedup();
        let more = paths.len().saturating_sub(PATHS_IN_A_REASON);
        paths.truncate(PATHS_IN_A_REASON);
        let place = match (paths.is_empty(), more) {
            (true, _) => String::new(),
            (false, 0) => format!(" ({})", paths.join(", ")),
            (false, more) => format!(" ({}, and {more} more)", paths.join(", ")),
        };
        found.add(weight, code, format!("{}{place}", first.sentence), finding_remedy(code));
    }
}

fn finding_remedy(code: &str) -> &'static str {
    match code {
        "patch.outside-allowed-paths" => {
            "Name the path in `allowed_paths` of a new contract, if it belongs to the task."
        }
        "patch.secret" | "evidence.secret" => "Revoke the secret at its issuer, then run again without it.",
        code if code.starts_with("engine.adapter-") => {
            "Ask whoever made the module; `cto engine remove` unregisters it."
        }
        "patch.not-empty" => "Use mode `copied-fixture` or wider, if changes are wanted.",
        "patch.verification-file" => "Leave the contract's verification files alone.",
        "patch.too-many-files" | "patch.incomplete" => {
            "Raise `limits.changed_files` in a new contract, or split the task."
        }
        "patch.nested-repository" | "patch.special-file" | "patch.escaping-link" | "patch.git-like-name" => {
            "The work has to be done with plain files, folders and links that stay in the tree."
        }
        _ => "Read the findings in report.json; the change has to be made without it.",
    }
}

fn layers(sections: &Sections, found: &mut Weighed) {
    let remedy = "Run `cto doctor` to see what this host can enforce.";
    if let Some(sandbox) = &sections.sandbox {
        for row in sandbox.layers.iter().filter(|row| !row.ok) {
            let sentence = format!(
                "The sandbox layer `{}` is not in force: requested {}, enforced {}.",
                row.layer, row.requested, row.enforced
            );
            found.blocked("sandbox.layer-not-enforced", sentence, remedy);
        }
        if sandbox.layers.is_empty() {
            found.blocked("evidence.layers-missing", "No sandbox layer is on record.", remedy);
        } else if sections.engine.is_some()
            && !sandbox.layers.iter().any(|row| row.layer == LayerRow::OBSERVATION)
        {
            let sentence = "Whether the engine was observed is not on record.";
            found.blocked("evidence.observation-missing", sentence, remedy);
        }
    }
    if sections.verification.as_ref().is_some_and(|verification| !verification.sandbox_ok) {
        let sentence = "The sandbox of the verification did not have every layer in force.";
        found.blocked("verification.layer-not-enforced", sentence, remedy);
    }
}

fn limits(sections: &Sections, found: &mut Weighed) {
    for row in &sections.limits {
        let Some(reached) = &row.reached else { continue };
        let name = serde_json::to_value(row.name)
            .ok()
            .and_then(|name| name.as_str().map(str::to_owned))
            .unwrap_or_else(|| "unnamed".to_owned());
        found.fail(
            &format!("limit.{}", name.replace('_', "-")),
            format!("The limit `{name}` of {} was reached during {}.", row.requested, reached.during),
            "Raise the limit in a new contract (up to its ceiling), or give a smaller task.",
        );
    }
}

/// A cap that was reached ends the run; money that could not be counted is evidence that is missing.
fn money(sections: &Sections, found: &mut Weighed) {
    let Spend::Counted(spend) = &sections.spend else { return };
    if let Some(reason) = &spend.refused {
        let weight = if reason.code.starts_with("spend.cap.") { Verdict::Fail } else { Verdict::Blocked };
        found.0.push((weight, reason.clone()));
    }
    let over = spend.sums.over_reservation_micro_usd;
    if over > MicroUsd::ZERO {
        let sentence = format!("The provider used {over} dollars more than was set aside for its calls.");
        let remedy = "Look at the provider's bill, and correct the row of the model in prices.toml.";
        found.fail("spend.over-reservation", sentence, remedy);
    }
}

/// The way out where nobody could say what became of a payload.
const LOST: &str = "Let the harness see `/proc` and its control groups as long as the run lasts, with room to write; then \
    run again. `cto doctor` shows what this host can hold.";

fn engine_end(engine: &EngineSection, found: &mut Weighed) {
    let exit = engine.exit.as_deref().unwrap_or("unknown");
    let events = "Read the engine's own output under backend/ and its events.";
    if let Some(why) = exit.strip_prefix("lost:") {
        let sentence = format!("The engine `{}` was not held to its end: {}.", engine.id, shown(why));
        return found.blocked("engine.lost", sentence, LOST);
    }
    match engine.outcome {
        EngineOutcome::Completed => completed_end(engine, found),
        EngineOutcome::Failed => {
            let words = engine.message.as_deref().map(|m| format!(": {}", shown(m))).unwrap_or_default();
            let sentence = format!("The engine `{}` gave up ({exit}){words}", engine.id);
            found.0.push((
                Verdict::Fail,
                Reason { basis: Basis::Claimed, ..Reason::observed("engine.gave-up", sentence, events) },
            ));
        }
        EngineOutcome::Crashed => {
            found.fail("engine.crashed", format!("The engine `{}` crashed ({exit}).", engine.id), events);
        }
        EngineOutcome::Interrupted => {
            let sentence = format!("The engine `{}` was ended by the harness ({exit}).", engine.id);
            found.fail("engine.interrupted", sentence, "See the other reasons for the cause.");
        }
    }
}

/// "Completed" is the engine's word; the kernel's word about its end has to agree. TERM and KILL agree too: the
/// harness ends an engine that stays after its last answer.
fn completed_end(engine: &EngineSection, found: &mut Weighed) {
    match engine.exit.as_deref() {
        Some("exited:0" | "signal:15" | "signal:9") => {}
        Some(exit) => found.fail(
            "engine.crashed",
            format!("The engine `{}` says that it completed, but ended with {exit}.", engine.id),
            "Read the engine's own output under backend/.",
        ),
        None => found.blocked(
            "evidence.exit-missing",
            format!("How the engine `{}` ended is not on record.", engine.id),
            "Run again; if it happens again, the evidence folder tells how far the run came.",
        ),
    }
}

fn commands(sections: &Sections, found: &mut Weighed) {
    let Some(verification) = &sections.verification else { return };
    for row in &verification.commands {
        let told = command_story(row);
        match row.outcome {
            CommandOutcome::Passed => {}
            CommandOutcome::Failed => {
                found.fail("verification.failed", told, "Its output is in test.log.");
            }
            CommandOutcome::Errored if is_lost(row) => found.blocked("verification.lost", told, LOST),
            CommandOutcome::Errored => {
                found.fail("verification.errored", told, "It gave no answer; its output is in test.log.");
            }
        }
    }
}

fn is_lost(row: &CommandRow) -> bool {
    [&row.on_base, &row.on_result].into_iter().flatten().any(|result| result.status.starts_with("lost:"))
}

fn command_story(row: &CommandRow) -> String {
    let status = |result: &Option<crate::evidence::CommandResult>| {
        result.as_ref().map_or_else(|| "not run".to_owned(), |result| result.status.clone())
    };
    if row.on_base.is_some() {
        format!(
            "`{}`: {} on the base, {} on the result.",
            row.command,
            status(&row.on_base),
            status(&row.on_result)
        )
    } else {
        format!("`{}`: {}.", row.command, status(&row.on_result))
    }
}

fn checks(sections: &Sections, found: &mut Weighed) {
    for change in sections.changes_to_checks.iter().filter(|change| !change.permitted) {
        found.fail(
            "check.changed-without-permission",
            format!("`{}` decides about checks (pattern `{}`) and was changed.", change.path, change.pattern),
            "Name it in `may_change_checks`, if the task is to change it.",
        );
    }
}

/// A document that was to be handed back and was not. What one says decides nothing.
fn output(sections: &Sections, found: &mut Weighed) {
    match &sections.output {
        None | Some(OutputSection { problem: None, file: Some(_), .. }) => {}
        Some(OutputSection { problem: Some(problem), .. }) => found.0.push((Verdict::Fail, problem.clone())),
        Some(OutputSection { problem: None, file: None, .. }) => found.blocked(
            "evidence.output-missing",
            "Neither a document nor what is wrong with it is on record.",
            "Run again; if it happens again, the evidence folder tells how far the run came.",
        ),
    }
}

/// The proof of a gated engine's gates: every cell as it has to be, and nothing that ran beside it.
fn proof(sections: &Sections, found: &mut Weighed) {
    let Some(proof) = &sections.proof else { return };
    for cell in proof.wrong().take(PATHS_IN_A_REASON) {
        let sentence = format!(
            "In mode `{}` without {}, the gates say `{}`; it has to be `{}`.",
            cell.mode, cell.removed, cell.found, cell.expected
        );
        found.blocked("proof.cell", sentence, "This build must not be used for gated engines.");
    }
    if proof.cells.is_empty() {
        found.blocked("evidence.proof-missing", "No cell of the gate matrix is on record.", "Run it again.");
    }
    let ran = sections.engine.is_some() || sections.sandbox.is_some() || sections.processes.is_some();
    if ran || sections.patch.is_some() || sections.verification.is_some() {
        found.blocked(
            "proof.not-alone",
            "Something ran in a proof that starts nothing.",
            "Do not rely on it.",
        );
    }
}

/// What has to be on record of a run that was not refused and not cut off, and that is no proof of gates.
fn missing(sections: &Sections, found: &mut Weighed) {
    if !sections.refused_gates.is_empty() || sections.cut_off.is_some() || sections.proof.is_some() {
        return;
    }
    let remedy = "Run again; if it happens again, the evidence folder tells how far the run came.";
    if sections.engine.is_none() {
        found.blocked("evidence.engine-missing", "No engine is on record.", remedy);
    }
    if sections.sandbox.is_none() {
        found.blocked("evidence.sandbox-missing", "No sandbox is on record.", remedy);
    }
    if sections.patch.is_none() {
        found.blocked("evidence.patch-missing", "No patch is on record.", remedy);
    }
    // A run that already failed may stop before verification; one that would pass may not.
    if sections.verification.is_none() && found.0.is_empty() {
        found.blocked("evidence.verification-missing", "No verification is on record.", remedy);
    }
}
