//! The gate over consent: somebody other than the requester said yes to exactly this request.
//!
//! Signatures, roles and the spent list were checked when the facts were gathered; what can be checked again
//! from the facts alone is checked again here, so that a careless gatherer cannot widen what counts.

use std::collections::BTreeSet;

use super::gate::{GateResult, Question};
use super::{ApprovalAnswer, ApprovalFacts, Grantor};
use crate::vocab::RiskClass;

/// How many different people have to say yes.
#[must_use]
pub const fn approvers_needed(risk: RiskClass) -> usize {
    if matches!(risk, RiskClass::Critical) { 2 } else { 1 }
}

/// `approval`
pub(super) fn approval(q: &Question<'_>) -> GateResult {
    let risk = q.contract.risk_class;
    let separate = risk >= RiskClass::Dangerous;
    if separate && q.facts.requester.owns_principals {
        return GateResult::failed(
            format!("for {risk} the file of principals must not belong to the account that runs the harness"),
            "give `principals.toml` to another account, and keep it readable",
        );
    }
    if let Some(no) = q.facts.approvals.iter().find(|a| denies(q, a)) {
        return GateResult::failed(
            format!("{} denied this request ({})", no.by, no.id),
            "ask the approver, change the contract, and run again",
        );
    }
    if !q.facts.approval_errors.is_empty() {
        return GateResult::errored(
            format!("the answers to this request are not all clear: {}", q.facts.approval_errors.join("; ")),
            "see what the named file is, or correct the entry; then run again",
        );
    }
    let counted: Vec<&ApprovalFacts> = q.facts.approvals.iter().filter(|a| why_not(q, a).is_none()).collect();
    let people: BTreeSet<_> = counted.iter().map(|a| &a.by).collect();
    let keys: BTreeSet<_> = counted.iter().filter_map(|a| a.key).collect();
    let needed = approvers_needed(risk);
    if people.len().min(keys.len()) < needed {
        return GateResult::missing(lacking(q, needed, people.len().min(keys.len())), remedy(needed));
    }
    let names = people.iter().map(|p| p.as_str()).collect::<Vec<_>>().join(", ");
    let root = if separate && q.facts.requester.is_root {
        "; the harness runs as root, which could change the file of principals whoever owns it"
    } else {
        ""
    };
    GateResult::passed(format!("approved by {names} for request {}{root}", q.request))
}

/// The approvals that count for this question, and are to be spent by its run.
pub(super) fn counted<'a>(q: &Question<'a>) -> Vec<&'a ApprovalFacts> {
    q.facts.approvals.iter().filter(|a| why_not(q, a).is_none()).collect()
}

fn lacking(q: &Question<'_>, needed: usize, have: usize) -> String {
    let refused: Vec<String> = q
        .facts
        .approvals
        .iter()
        .filter_map(|a| why_not(q, a).map(|why| format!("{} by {}: {why}", a.id, a.by)))
        .collect();
    let tail =
        if refused.is_empty() { String::new() } else { format!("; not counted: {}", refused.join("; ")) };
    format!("{needed} approval(s) of somebody other than the requester needed, {have} found{tail}")
}

fn remedy(needed: usize) -> String {
    let who = if needed > 1 { "two approvers, each" } else { "an approver" };
    format!("{who} with role `approve`: `cto approve ID --as NAME --key FILE`, then run again")
}

fn denies(q: &Question<'_>, a: &ApprovalFacts) -> bool {
    a.answer == ApprovalAnswer::Deny
        && a.refused.is_empty()
        && a.request_digest == q.request
        && a.expires_at > q.facts.gathered_at
}

fn why_not(q: &Question<'_>, a: &ApprovalFacts) -> Option<String> {
    if !a.refused.is_empty() {
        return Some(a.refused.join(", "));
    }
    let rules = [
        (a.answer == ApprovalAnswer::Grant, "it says no"),
        (a.granted_by == Grantor::Human, "granted by policy, not by a person"),
        (a.key.is_some(), "no key verified it"),
        (a.request_digest == q.request, "it is for another request"),
        (Some(a.mode) == q.contract.mutation_mode, "it is for another mode"),
        (a.risk == q.contract.risk_class, "it is for another risk class"),
        (a.expires_at > q.facts.gathered_at, "it has expired"),
        (Some(&a.by) != q.facts.requester.principal.as_ref(), "the requester cannot approve"),
    ];
    rules.iter().find(|(holds, _)| !holds).map(|(_, why)| (*why).to_owned())
}
