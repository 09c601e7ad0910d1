//! `checks.sarif`: inspection's findings as SARIF 2.1.0, a pure function of the report.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::report::{Finding, Report};
use crate::vocab::{Verdict, path_of};

pub(super) const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// The file's bytes. `harness` is the version that the root names.
#[must_use]
pub fn sarif(report: &Report, harness: &str) -> Vec<u8> {
    let findings = &report.sections.findings;
    let rules: BTreeSet<&str> = findings.iter().map(|finding| finding.code.as_str()).collect();
    let rules: Vec<Value> = rules.into_iter().map(|id| json!({"id": id})).collect();
    let results: Vec<Value> = findings.iter().map(result).collect();
    let driver = json!({"name": "cto-harness", "version": harness, "rules": rules});
    let run = json!({
        "tool": {"driver": driver},
        "automationDetails": {"id": report.run_id},
        "results": results,
    });
    let mut out = format!("{:#}", json!({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]})).into_bytes();
    out.push(b'\n');
    out
}

fn result(finding: &Finding) -> Value {
    let level = match finding.weight {
        Verdict::Pass => "note",
        Verdict::Fail | Verdict::Blocked => "error",
    };
    let mut result = json!({
        "ruleId": finding.code,
        "level": level,
        "message": {"text": finding.sentence},
        "properties": {"weight": finding.weight},
    });
    if !finding.path.is_empty() {
        let mut place = json!({"artifactLocation": {"uri": uri(&finding.path), "uriBaseId": "WORKTREE"}});
        if let (Some(line), Some(object)) = (finding.line, place.as_object_mut()) {
            object.insert("region".into(), json!({"startLine": line.max(1)}));
        }
        if let Some(object) = result.as_object_mut() {
            object.insert("locations".into(), json!([{"physicalLocation": place}]));
        }
    }
    result
}

/// A relative URI reference (RFC 3986) of the path's own bytes: everything but unreserved characters and `/` is
/// percent-encoded.
pub(super) fn uri(path: &str) -> String {
    path_of(path).into_iter().fold(String::with_capacity(path.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            out.push(char::from(byte));
        } else if write!(out, "%{byte:02X}").is_err() {
            // INVARIANT: writing to a `String` does not fail.
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::shown_path;

    #[test]
    fn a_uri_names_the_path_of_the_tree_and_not_how_it_is_shown() {
        for (path, uri_of) in [
            (&b"src/a b.rs"[..], "src/a%20b.rs"),
            (b"d/\xff\n\x1b", "d/%FF%0A%1B"),
            (b"d/\\xff", "d/%5Cxff"),
            ("ä".as_bytes(), "%C3%A4"),
        ] {
            assert_eq!(uri(&shown_path(path)), uri_of);
        }
    }
}
