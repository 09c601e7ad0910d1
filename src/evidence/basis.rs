//! On what each field of a report rests: one table, part of every report.

use std::collections::BTreeMap;

use crate::vocab::Basis;

/// Paths that begin the path of a field. What the harness decided or read in the contract it saw itself.
const OBSERVED: [&str; 40] = [
    "report_version",
    "harness",
    "run_id",
    "task_id",
    "contract_digest",
    "decision_id",
    "risk_class",
    "mutation_mode",
    "verdict",
    "artifacts",
    "sections.actions",
    "sections.asked_first",
    "sections.changes_to_checks",
    "sections.claims.observation",
    "sections.engine.adapter",
    "sections.engine.adapter_version",
    "sections.engine.exit",
    "sections.engine.id",
    "sections.engine.model",
    "sections.engine.prepared_by",
    "sections.engine.program",
    "sections.expectations",
    "sections.findings",
    "sections.learning",
    "sections.limits",
    "sections.output",
    "sections.patch",
    "sections.processes",
    "sections.proof",
    "sections.sandbox",
    "sections.spend",
    "sections.stage_reached",
    "sections.times",
    "sections.unclaimed",
    "sections.usage.cached_input_tokens",
    "sections.usage.forwarded_calls",
    "sections.usage.input_tokens",
    "sections.usage.output_tokens",
    "sections.usage.refused_calls",
    "sections.verification",
];
/// What the engine, or the package that it came in, says. No verdict rests on one of these alone.
const CLAIMED: [&str; 8] = [
    "sections.claims.claim",
    "sections.engine.message",
    "sections.engine.outcome",
    "sections.engine.thread_id",
    "sections.engine.version",
    "sections.output.document",
    "sections.usage.claimed_input_tokens",
    "sections.usage.claimed_output_tokens",
];

/// The table, as it stands in a report.
#[must_use]
pub fn basis() -> BTreeMap<String, Basis> {
    let rows =
        |paths: &'static [&'static str], basis| paths.iter().map(move |path| ((*path).to_owned(), basis));
    rows(&OBSERVED, Basis::Observed).chain(rows(&CLAIMED, Basis::Claimed)).collect()
}

/// The basis of the field at `path`, array items without their numbers.
#[must_use]
pub fn basis_of(table: &BTreeMap<String, Basis>, path: &str) -> Option<Basis> {
    let begins =
        |prefix: &str| path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    table
        .iter()
        .filter(|(prefix, _)| begins(prefix))
        .max_by_key(|(prefix, _)| prefix.len())
        .map(|(_, basis)| *basis)
}
