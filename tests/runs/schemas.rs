//! What the program writes matches the schemas that it publishes.

use serde_json::Value;

use super::bench::{TestBench, fixture};

fn schema(name: &str) -> jsonschema::Validator {
    let path = format!("{}/evidence/schema/{name}.schema.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    jsonschema::validator_for(&serde_json::from_str(&text).unwrap()).unwrap()
}

fn check(validator: &jsonschema::Validator, what: &str, text: &str) {
    let value: Value = serde_json::from_str(text).unwrap();
    let wrong: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
    assert!(wrong.is_empty(), "{what}: {wrong:#?}");
}

#[test]
fn contract_decision_report_and_events_of_real_runs_match() {
    let bench = TestBench::new();
    let [contract, decision, report, event] = ["sealed-contract", "decision", "report", "event"].map(schema);
    for name in ["fix-failing-test", "secret-in-diff", "missing-gated-field", "engine-crashes"] {
        let said = bench.cto(&["run", &fixture(name), "--json"]);
        let bundle = said.result()["bundle"].as_str().unwrap().to_owned();
        let read = |file: &str| std::fs::read_to_string(format!("{bundle}/{file}")).unwrap();
        check(&contract, name, &read("contract.json"));
        check(&decision, name, &read("decision.json"));
        check(&report, name, &read("report.json"));
        for line in read("events.normalized.jsonl").lines() {
            check(&event, name, line);
        }
    }
    let mut broken: Value = serde_json::from_str("{}").unwrap();
    broken["seq"] = 1.into();
    assert!(!event.is_valid(&broken), "a schema that accepts anything shows nothing");
}
