//! The trace: OTLP/JSON lines with deterministic ids, a parent for every span, and totals as in the report.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::made_up::{Bench, Plan};

#[test]
fn every_span_has_a_parent_an_end_and_a_name_of_the_conventions() {
    let bench = Bench::new();
    let sealed = bench.sealed("b", &Plan { events: 1200, ..Plan::default() });
    let text = fs::read_to_string(sealed.path.join("trace.jsonl")).unwrap();
    assert!(text.lines().count() > 1, "long traces have more than one line");
    let mut spans: Vec<Value> = Vec::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let resource = &line["resourceSpans"][0];
        assert_eq!(resource["resource"]["attributes"][0]["value"]["stringValue"], "cto-harness");
        spans.extend(resource["scopeSpans"][0]["spans"].as_array().unwrap().clone());
    }
    let ids: BTreeSet<&str> = spans.iter().map(|span| span["spanId"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), spans.len());
    let number = |span: &Value, key: &str| span[key].as_str().unwrap().parse::<u64>().unwrap();
    for span in &spans {
        assert!(
            span["spanId"].as_str().unwrap().len() == 16 && span["traceId"].as_str().unwrap().len() == 32
        );
        assert!(number(span, "startTimeUnixNano") <= number(span, "endTimeUnixNano"), "{span}");
        assert_eq!(span["status"]["code"], 1, "{span}");
        match span["parentSpanId"].as_str() {
            Some(parent) => assert!(ids.contains(parent)),
            None => assert_eq!(span["name"], "invoke_workflow repair-parser"),
        }
    }
    let names: BTreeSet<&str> = spans.iter().map(|span| span["name"].as_str().unwrap()).collect();
    let expected = [
        "check",
        "decide",
        "execute_tool shell",
        "inspect",
        "invoke_agent fixture",
        "invoke_workflow repair-parser",
        "sandbox",
        "verify",
        "workspace",
    ];
    assert_eq!(names.into_iter().collect::<Vec<_>>(), expected);
    assert_eq!(spans.iter().filter(|span| span["name"] == "execute_tool shell").count(), 600);
    let agent = spans.iter().find(|span| span["name"] == "invoke_agent fixture").unwrap();
    let tokens =
        agent["attributes"].as_array().unwrap().iter().find(|a| a["key"] == "gen_ai.usage.input_tokens");
    assert_eq!(tokens.unwrap()["value"]["intValue"], "12");
}
