//! What the run observed so far, section by section, and the report that is made of it.
//!
//! Sections are only ever filled in from what a stage returned. What a stage never got to stays absent, and
//! `inspection::conclude` knows what absence means.

use std::collections::{BTreeMap, BTreeSet};

use super::Step;
use super::conformance::Judged;
use super::cutoff::CutOff;
use super::recording::RecordError;
use crate::broker::{Purse, Trouble};
use crate::contract::TaskContract;
use crate::eligibility::{DecisionDocument, PermitRefused, RefusedGate};
use crate::engine::{EngineManifest, EngineObservations, StoredProgram};
use crate::evidence::{
    CountedSpend, EngineSection, Finding, LayerRow, LimitReached, LimitRow, PATCH, Report, Sections, Spend,
    Times, Usage, Withheld, basis,
};
use crate::inspection::{conclude, expectations};
use crate::process::Version;
use crate::sandbox::{Hold, holds};
use crate::vocab::{Digest, LimitName, Limits, Reason, RunId, Timestamp, Verdict, shown};

/// What is told so far.
pub(super) struct Told {
    pub(super) sections: Sections,
    /// What the check of an engine came to.
    pub(super) conformance: Option<Judged>,
}

impl Told {
    /// Nothing happened yet.
    pub(super) fn new(started: Timestamp) -> Self {
        Self {
            sections: Sections {
                refused_gates: Vec::new(),
                stage_reached: Step::Decision.as_str().to_owned(),
                times: Times { started, finished: started, attempts: Vec::new() },
                engine: None,
                sandbox: None,
                processes: None,
                limits: Vec::new(),
                actions: Vec::new(),
                asked_first: Vec::new(),
                patch: None,
                verification: None,
                findings: Vec::new(),
                changes_to_checks: Vec::new(),
                expectations: Vec::new(),
                claims: Vec::new(),
                unclaimed: Vec::new(),
                usage: Usage::default(),
                spend: Spend::default(),
                output: None,
                learning: None,
                proof: None,
                cut_off: None,
            },
            conformance: None,
        }
    }

    /// A step was reached.
    pub(super) fn reached(&mut self, step: Step) {
        step.as_str().clone_into(&mut self.sections.stage_reached);
    }

    /// The decision was no, or its permit could not be had any more.
    pub(super) fn refuse(&mut self, document: &DecisionDocument, refused: &PermitRefused) {
        self.sections.refused_gates = document.missing_gates.iter().map(RefusedGate::as_reason).collect();
        if self.sections.refused_gates.is_empty() {
            let remedy = "Run again: facts and approvals are looked at afresh.";
            self.sections.refused_gates.push(Reason::observed("permit.refused", refused.to_string(), remedy));
        }
    }

    /// The run stopped before its end. What could not be recorded is an error.
    pub(super) fn cut_off(&mut self, cut: CutOff) -> Result<(), RecordError> {
        match cut {
            CutOff::Sealed(reason) => {
                self.sections.cut_off = Some(reason);
                Ok(())
            }
            // What is told of its end says so.
            CutOff::EngineDied => Ok(()),
            CutOff::Unrecorded(error) => Err(error),
        }
    }

    /// The limits of the run, one row each, with what holds it.
    pub(super) fn limits(&mut self, limits: &Limits) {
        let row = |(name, value)| {
            let Hold { by, holding } = holds(name, None);
            let (enforced, held_by) = (Some(value), by.to_owned());
            LimitRow { name, requested: value, enforced, held_by, holding, reached: None }
        };
        self.sections.limits = limits.named().map(row).into();
    }

    /// The sandbox stands, and a control group holds what it can.
    pub(super) fn held_by(&mut self, group: Option<Version>) {
        for row in &mut self.sections.limits {
            let Hold { by, holding } = holds(row.name, group);
            by.clone_into(&mut row.held_by);
            row.holding = holding;
        }
    }

    /// A limit was reached during `during`.
    pub(super) fn limit_reached(&mut self, name: LimitName, at: Timestamp, during: &str) {
        let row = self.sections.limits.iter_mut().find(|row| row.name == name && row.reached.is_none());
        if let Some(row) = row {
            row.reached = Some(LimitReached { at, during: shown(during) });
        }
    }

    /// The engine, as the kernel and the broker saw it end.
    pub(super) fn engine(
        &mut self,
        manifest: &EngineManifest,
        program: &StoredProgram,
        model: Option<String>,
        prepared_by: Option<Digest>,
        observed: &EngineObservations,
    ) {
        for hit in &observed.limits {
            self.limit_reached(hit.name, hit.at, "engine");
        }
        if let Some(trouble) = &observed.trouble {
            // What an engine said is known by its adapter alone: with that broken, evidence is missing.
            self.sections.findings.push(Finding {
                code: trouble.kind.code().to_owned(),
                path: String::new(),
                line: None,
                sentence: format!("Of `{}`, {trouble}.", manifest.id),
                weight: Verdict::Blocked,
            });
        }
        self.sections.processes = Some(observed.processes.section());
        if !observed.processes.is_seen_to_its_end() {
            self.observation_lost();
        }
        self.sections.engine = Some(EngineSection {
            id: manifest.id.to_string(),
            program: program.digest,
            version: program.version.clone(),
            adapter: manifest.digest,
            adapter_version: manifest.adapter.version().to_owned(),
            model,
            thread_id: observed.thread_id.clone(),
            exit: Some(observed.exit.clone()),
            outcome: observed.outcome,
            message: observed.message.clone(),
            prepared_by,
        });
    }

    /// The engine's model calls, and what they cost out of `purse`.
    pub(super) fn calls(&mut self, purse: Option<&Purse>, observed: &EngineObservations) {
        let calls = &observed.calls;
        let trouble = calls.trouble.as_deref().and_then(Trouble::of_word);
        self.sections.usage = Usage {
            claimed_input_tokens: observed.claims.input_tokens,
            claimed_output_tokens: observed.claims.output_tokens,
            input_tokens: calls.input_tokens,
            cached_input_tokens: calls.cached_input_tokens,
            output_tokens: calls.output_tokens,
            forwarded_calls: observed.counts.broker.forwarded,
            refused_calls: observed.counts.broker.refused,
            last_call: trouble.map(Trouble::reason),
        };
        let Some(Purse { caps, model, .. }) = purse else { return };
        self.sections.spend = Spend::Counted(Box::new(CountedSpend {
            provider: shown(&model.provider),
            model: shown(&model.model),
            run_cap_micro_usd: caps.run,
            thread_cap_micro_usd: caps.thread,
            day_cap_micro_usd: caps.day,
            sums: calls.spend,
            refused: calls.refused.clone(),
        }));
    }

    /// The sandbox was observed, and not to its end.
    fn observation_lost(&mut self) {
        let rows = self.sections.sandbox.iter_mut().flat_map(|sandbox| &mut sandbox.layers);
        for row in rows.filter(|row| row.layer == LayerRow::OBSERVATION) {
            row.ok = false;
            row.enforced.push_str("; its last word is missing, so nobody knows what was not seen");
        }
    }

    /// What the contract expects of the evidence, against what it will hold.
    pub(super) fn expectations(&mut self, contract: &TaskContract, artifacts: &BTreeSet<String>) {
        let (patch, verification) = (self.sections.patch.as_ref(), self.sections.verification.as_ref());
        self.sections.expectations = expectations(contract, patch, verification, artifacts);
    }

    /// A secret was replaced in one file of the evidence.
    pub(super) fn secret_in(&mut self, name: &str, rules: &[String]) {
        self.sections.findings.push(Finding {
            code: "evidence.secret".to_owned(),
            path: name.to_owned(),
            line: None,
            sentence: format!("A secret ({}) was replaced by a mark in the evidence.", rules.join(", ")),
            weight: Verdict::Blocked,
        });
    }

    /// A secret that was replaced in something other than the patch blocks as well.
    pub(super) fn withheld(&mut self, withheld: &[Withheld]) {
        for one in withheld {
            if one.name == PATCH
                && let Some(patch) = &mut self.sections.patch
            {
                patch.result_tree = None;
            }
            self.secret_in(&one.name, &one.rules);
        }
    }

    /// The verdict over everything told, and the report.
    pub(super) fn report(
        mut self,
        run_id: RunId,
        task: &TaskContract,
        document: &DecisionDocument,
    ) -> Report {
        self.sections.times.finished = Timestamp::now();
        let conclusion = conclude(&self.sections);
        Report {
            report_version: "1".to_owned(),
            harness: super::HARNESS.to_owned(),
            basis: basis(),
            run_id,
            task_id: task.task_id.clone(),
            contract_digest: document.contract_digest,
            decision_id: document.decision_id,
            risk_class: task.risk_class,
            mutation_mode: task.mutation_mode,
            verdict: conclusion.verdict,
            reasons: conclusion.reasons,
            sections: self.sections,
            artifacts: BTreeMap::new(),
            withheld: Vec::new(),
        }
    }
}
