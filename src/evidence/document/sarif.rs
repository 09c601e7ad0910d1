//! `review.sarif`: a review as SARIF 2.1.0, a pure function of the document and of what was set aside.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::form::{ReviewDocument, ReviewFinding};
use super::section::SetAside;
use crate::evidence::sarif::{SCHEMA, uri};
use crate::vocab::RunId;

/// Name of a review's findings in a bundle.
pub const REVIEW_SARIF: &str = "review.sarif";

/// The file's bytes. What was set aside is no result: it stands among the notifications, with the reason.
#[must_use]
pub fn review_sarif(review: &ReviewDocument, aside: &[SetAside], run: &RunId, harness: &str) -> Vec<u8> {
    let number = |index: usize| u64::try_from(index).unwrap_or(u64::MAX).saturating_add(1);
    let why = |index: usize| aside.iter().find(|one| one.finding == number(index));
    let numbered = || review.findings.iter().enumerate();
    let kept: Vec<&ReviewFinding> =
        numbered().filter(|(index, _)| why(*index).is_none()).map(|(_, finding)| finding).collect();
    let notes: Vec<Value> = numbered()
        .filter_map(|(index, finding)| {
            let text = format!("{}: {} (set aside: {})", finding.rule, finding.message, why(index)?.why);
            Some(json!({"level": "warning", "message": {"text": text}}))
        })
        .collect();
    let rules: BTreeSet<&str> = kept.iter().map(|finding| finding.rule.as_str()).collect();
    let rules: Vec<Value> = rules.into_iter().map(|id| json!({"id": id})).collect();
    let results: Vec<Value> = kept.into_iter().map(result).collect();
    let driver = json!({"name": "cto-harness review", "version": harness, "rules": rules});
    let document = json!({"$schema": SCHEMA, "version": "2.1.0", "runs": [{
        "tool": {"driver": driver},
        "automationDetails": {"id": run},
        "invocations": [{"executionSuccessful": true, "toolExecutionNotifications": notes}],
        "properties": {"basis": "claimed", "summary": review.summary},
        "results": results,
    }]});
    let mut out = format!("{document:#}").into_bytes();
    out.push(b'\n');
    out
}

fn result(finding: &ReviewFinding) -> Value {
    let text = match &finding.suggestion {
        Some(more) => format!("{} {more}", finding.message),
        None => finding.message.clone(),
    };
    let mut place = json!({"artifactLocation": {"uri": uri(&finding.path), "uriBaseId": "WORKTREE"}});
    if let (Some(start), Some(object)) = (finding.start_line, place.as_object_mut()) {
        let end = finding.end_line.unwrap_or(start);
        object.insert("region".into(), json!({"startLine": start, "endLine": end}));
    }
    json!({"ruleId": finding.rule, "level": finding.severity, "message": {"text": text},
        "locations": [{"physicalLocation": place}]})
}
