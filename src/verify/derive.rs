//! What follows from what: everything here compares what a bundle says with what its parts give.

use super::BundleContents;
use super::events::Log;
use super::outcome::Check;
use crate::contract::FileSource;
use crate::eligibility::{self, GATE_SET, Observed};
use crate::event::EventKind;
use crate::evidence::{
    self, CHECKPOINTS, CONTRACT, CTRF, DECISION, Envelope, PATCH, REPORT, RootPredicate, SARIF, SUMMARY,
    SignedHead, TRACE, TraceBuilder, ctrf, sarif, summary,
};
use crate::home::Trust;
use crate::inspection::conclude;
use crate::vocab::{Digest, Verdict};

/// Collects what is wrong with one thing.
#[derive(Default)]
pub(super) struct Wrong(Vec<String>);

impl Wrong {
    pub(super) fn unless(&mut self, holds: bool, sentence: impl Into<String>) {
        if !holds {
            self.0.push(sentence.into());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn check(self, name: &'static str, fine: &str) -> Check {
        if self.0.is_empty() { Check::ok(name, fine) } else { Check::failed(name, self.0.join("; ")) }
    }
}

/// The log against the root.
pub(super) fn events(log: &Log, root: &RootPredicate) -> Result<String, String> {
    let fine = log.lines()?;
    if log.count != root.events.count || log.root != root.events.root {
        return Err(format!("the root names {} events, the log has {} others", root.events.count, log.count));
    }
    if log.first != Some(EventKind::RunStarted) {
        return Err("the log does not begin with `run.started`".to_owned());
    }
    if log.last != Some(EventKind::RunFinished) {
        return Err("the log does not end with `run.finished`".to_owned());
    }
    Ok(fine)
}

/// The signed heads against the log and the root's signer.
pub(super) fn heads(
    log: &Log,
    heads: &[SignedHead],
    root: &RootPredicate,
    envelope: &Envelope,
    trust: &Trust,
) -> Check {
    let name = "checkpoints";
    match log.heads(heads) {
        Err(wrong) => return Check::failed(name, wrong),
        Ok(covered) if covered != root.events.count => {
            return Check::failed(
                name,
                format!("the last checkpoint signs {covered} of {} events", root.events.count),
            );
        }
        Ok(_) => {}
    }
    let Some(trusted) = trust.sealing.iter().find(|trusted| trusted.key.key_id() == envelope.key_id) else {
        return Check::untrusted(
            name,
            format!("{} checkpoints agree with the log; their signer is unknown", heads.len()),
        );
    };
    match heads.iter().position(|head| !head.is_signed_by(&trusted.key)) {
        Some(index) => {
            Check::failed(name, format!("checkpoint {} is not signed by `{}`", index + 1, trusted.name))
        }
        None => Check::ok(name, format!("{} checkpoints agree with the log", heads.len())),
    }
}

/// Contract and decision: their digests, and the decision made again from contract and facts.
pub(super) fn contract_and_decision(contents: &BundleContents) -> Vec<Check> {
    vec![contract(contents), decision(contents)]
}

fn contract(contents: &BundleContents) -> Check {
    let root = &contents.root;
    let mut wrong = Wrong::default();
    if let Some(withheld) = contents.withheld(CONTRACT) {
        wrong.unless(withheld.digest == root.contract, "the withheld contract is not the root's");
        if wrong.0.is_empty() {
            return Check::not_done("contract", "the contract is withheld: nothing was derived from it");
        }
        return wrong.check("contract", "");
    }
    let Some(sealed) = &contents.contract else {
        return Check::failed("contract", "the contract does not read");
    };
    let (task, report) = (sealed.task(), &contents.report);
    wrong.unless(sealed.digest() == root.contract, "the contract's digest is not the root's");
    wrong.unless(task.task_id == report.task_id, "contract and report name different tasks");
    wrong.unless(task.risk_class == report.risk_class, "contract and report name different risk classes");
    wrong.unless(task.mutation_mode == report.mutation_mode, "contract and report name different modes");
    for file in &task.verification_files {
        if let FileSource::Sealed(digest) = &file.from {
            let there = contents
                .sums
                .iter()
                .any(|(name, found)| name.starts_with(evidence::INPUTS_DIR) && found == digest)
                || contents.report.withheld.iter().any(|one| one.digest == *digest);
            wrong.unless(there, format!("the verification file `{}` is not in the bundle", file.path));
        }
    }
    wrong.check("contract", "its digest is the one that was decided on")
}

fn decision(contents: &BundleContents) -> Check {
    let (root, name) = (&contents.root, "decision");
    if contents.withheld(DECISION).is_some() {
        return Check::not_done(name, "the decision is withheld: it was not derived again");
    }
    let Some(decision) = &contents.decision else {
        return Check::failed(name, "the decision does not read");
    };
    let mut wrong = Wrong::default();
    wrong.unless(decision.decision_id == root.decision, "the decision's id is not the root's");
    wrong.unless(
        decision.derive_id().ok() == Some(decision.decision_id),
        "the decision's id is not its digest",
    );
    wrong.unless(decision.contract_digest == root.contract, "the decision is about another contract");
    wrong.unless(decision.policy_digest == root.policy, "the decision's policy is not the root's");
    wrong.unless(decision.gate_set == root.gate_set, "the decision's gate set is not the root's");
    let ran = contents.report.sections.engine.is_some();
    wrong.unless(decision.eligible() || !ran, "an engine ran that no decision allowed");
    wrong.unless(
        decision.eligible() || contents.report.verdict == Verdict::Blocked,
        "refused, and not `blocked`",
    );
    if let (Observed::Seen(target), Some(commit)) = (&decision.facts.target, &root.base_commit) {
        let same = target.commit == *commit && root.base_tree.as_ref() == Some(&target.tree);
        wrong.unless(same, "the base is not the one that was decided on");
    }
    if !wrong.0.is_empty() {
        return wrong.check(name, "");
    }
    if decision.gate_set != GATE_SET {
        let detail =
            format!("gate set {} is not known to this version, which has {GATE_SET}", decision.gate_set);
        return Check::failed(name, detail);
    }
    let Some(contract) = &contents.contract else {
        return Check::not_done(name, "the contract is not there: the decision was not derived again");
    };
    let derived = eligibility::decide(contract, &decision.facts);
    wrong.unless(decision.agrees_with(derived.document()), "contract and facts give another decision");
    wrong.check(name, "contract and facts give the same decision again")
}

/// The report against the root and the list of files.
pub(super) fn report(contents: &BundleContents) -> Vec<Check> {
    let (report, root) = (&contents.report, &contents.root);
    let mut wrong = Wrong::default();
    wrong.unless(report.report_version == "1", "its version is not known here");
    wrong.unless(report.harness == root.harness, "it names another harness than the root");
    wrong.unless(report.basis == evidence::basis(), "its table of what is observed and claimed is another");
    wrong.unless(report.run_id == root.run_id, "it is of another run than the root");
    wrong.unless(report.task_id == root.task_id, "it is of another task than the root");
    wrong.unless(report.contract_digest == root.contract, "it names another contract than the root");
    wrong.unless(report.decision_id == root.decision, "it names another decision than the root");
    wrong.unless(report.verdict == root.verdict, "its verdict is not the root's");
    let listed =
        contents.sums.iter().filter(|(name, _)| ![REPORT, SUMMARY, CHECKPOINTS].contains(&name.as_str()));
    wrong.unless(listed.eq(report.artifacts.iter()), "its artifacts are not the files of the bundle");
    let times = &report.sections.times;
    wrong.unless(
        times.started <= times.finished && times.finished <= root.sealed_at,
        "its times are out of order",
    );
    vec![
        wrong.check("report", "it agrees with the root and names every file"),
        patch(contents),
        withheld(contents),
    ]
}

fn patch(contents: &BundleContents) -> Check {
    let name = "patch";
    let Some(section) = &contents.report.sections.patch else {
        return if contents.sums.contains_key(PATCH) && contents.report.sections.engine.is_some() {
            Check::failed(name, "there is a patch that the report does not describe")
        } else {
            Check::ok(name, "there is none")
        };
    };
    let root = &contents.root;
    let mut wrong = Wrong::default();
    let original =
        contents.withheld(PATCH).map(|one| one.digest).or_else(|| contents.sums.get(PATCH).copied());
    wrong.unless(original == Some(section.digest), "patch.diff is not the one that the report describes");
    wrong
        .unless(Some(&section.base_commit) == root.base_commit.as_ref(), "its base commit is not the root's");
    wrong.unless(Some(&section.base_tree) == root.base_tree.as_ref(), "its base tree is not the root's");
    wrong.unless(section.result_tree == root.result_tree, "its result tree is not the root's");
    wrong.check(name, "it is the one that the report describes")
}

fn withheld(contents: &BundleContents) -> Check {
    let name = "withheld";
    let list = &contents.report.withheld;
    if list.is_empty() {
        return Check::ok(name, "nothing");
    }
    let mut wrong = Wrong::default();
    for one in list {
        let copy = contents.sums.get(&one.name);
        wrong.unless(copy.is_some(), format!("`{}` is withheld and has no redacted copy", one.name));
        wrong.unless(copy != Some(&one.digest), format!("`{}` is withheld and there in full", one.name));
    }
    wrong.unless(
        contents.report.verdict == Verdict::Blocked,
        "something is withheld and the verdict is not `blocked`",
    );
    let patch_gone = contents.withheld(PATCH).is_some();
    wrong.unless(
        !patch_gone || contents.root.result_tree.is_none(),
        "the patch is withheld and its tree is not",
    );
    let names: Vec<&str> = list.iter().map(|one| one.name.as_str()).collect();
    wrong.check(name, &format!("{}: each is there as a redacted copy", names.join(", ")))
}

/// The verdict, concluded again from the sections.
pub(super) fn verdict(contents: &BundleContents, told: Option<&str>) -> Check {
    let report = &contents.report;
    let again = conclude(&report.sections);
    let mut wrong = Wrong::default();
    wrong.unless(again.verdict == report.verdict, format!("the sections give `{}`", again.verdict));
    wrong.unless(again.reasons == report.reasons, "the sections give other reasons");
    let same = told.is_none_or(|told| told == report.verdict.as_str());
    wrong.unless(same, "the event log tells another verdict");
    wrong.check("verdict", &format!("`{}` follows from what was observed", report.verdict))
}

/// The files that are pure functions of events and report, made again byte for byte.
pub(super) fn files(contents: &BundleContents, trace: TraceBuilder) -> Check {
    let (report, harness) = (&contents.report, &contents.root.harness);
    let mut wrong = Wrong::default();
    let mut same = |name: &str, bytes: &[u8]| {
        let holds = contents.sums.get(name) == Some(&Digest::of(bytes));
        wrong.unless(holds, format!("`{name}` does not follow from events and report"));
    };
    same(TRACE, &trace.finish(report, harness));
    same(SARIF, &sarif(report, harness));
    same(CTRF, &ctrf(report, harness));
    same(SUMMARY, summary(report).as_bytes());
    wrong.check("derived", "trace, findings, test results and summary follow from events and report")
}
