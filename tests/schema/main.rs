//! The JSON Schemas in `evidence/schema/` are those of the types, and accept what people and the program write.
//!
//! After a change of a type, `CTO_BLESS=1 cargo test --test schema` writes the files anew; the difference is then
//! reviewed like any other.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test says what it expects by failing"
)]

use std::fs;
use std::path::{Path, PathBuf};

use cto_harness::contract::{
    ContractFiles, FileProblem, Format, SealedContract, TaskContract, WireSource, parse, schema_of,
    wire_schema,
};
use cto_harness::eligibility::DecisionDocument;
use cto_harness::event::{Draft, Event, EventKind};
use cto_harness::evidence::{Report, RootStatement, basis, basis_of};
use cto_harness::vocab::{Basis, RunId, Timestamp};
use serde_json::Value;

/// Every schema by file name. A new kind of document is added here.
fn schemas() -> Vec<(&'static str, Value)> {
    vec![
        ("contract.schema.json", wire_schema().to_value()),
        ("sealed-contract.schema.json", schema_of::<TaskContract>().to_value()),
        ("decision.schema.json", schema_of::<DecisionDocument>().to_value()),
        ("report.schema.json", schema_of::<Report>().to_value()),
        ("event.schema.json", schema_of::<Event>().to_value()),
        ("root-statement.schema.json", schema_of::<RootStatement>().to_value()),
    ]
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn folder() -> PathBuf {
    root().join("evidence/schema")
}

fn schema(name: &str) -> Value {
    schemas().into_iter().find(|(known, _)| *known == name).unwrap().1
}

fn complaints(name: &str, instance: &Value) -> Vec<String> {
    let validator = jsonschema::draft202012::new(&schema(name)).unwrap();
    validator.iter_errors(instance).map(|error| format!("{} at {}", error, error.instance_path())).collect()
}

fn from_toml(text: &str) -> Value {
    serde_json::to_value(toml::from_str::<toml::Value>(text).unwrap()).unwrap()
}

fn example() -> String {
    fs::read_to_string(root().join("docs/contract-example.toml")).unwrap()
}

struct AnyFile;

impl ContractFiles for AnyFile {
    fn read_beneath(&self, rel: &str, _: u64) -> Result<Vec<u8>, FileProblem> {
        Ok(format!("the file {rel}\n").into_bytes())
    }
}

fn sealed(text: String) -> SealedContract {
    let source = WireSource { name: None, format: Format::Toml, text };
    parse(&source, Some(Path::new("/task")), &AnyFile).unwrap()
}

#[test]
fn the_files_are_what_the_types_say() {
    let bless = std::env::var_os("CTO_BLESS").is_some();
    for (name, schema) in schemas() {
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        let path = folder().join(name);
        if bless {
            fs::write(&path, &text).unwrap();
        }
        let there = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            there == text,
            "{name} is not the schema of its type: run `CTO_BLESS=1 cargo test --test schema`"
        );
    }
    let mut names: Vec<_> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    let mut known: Vec<_> = schemas().iter().map(|(name, _)| std::ffi::OsString::from(name)).collect();
    known.sort();
    assert_eq!(names, known, "a file in evidence/schema has no type");
}

#[test]
fn every_schema_is_a_valid_schema_and_refuses_the_empty_object() {
    for (name, schema) in schemas() {
        assert!(jsonschema::meta::is_valid(&schema), "{name}");
        assert!(!complaints(name, &serde_json::json!({})).is_empty(), "{name}");
        assert!(!complaints(name, &serde_json::json!([])).is_empty(), "{name}");
    }
}

#[test]
fn the_documented_contract_is_accepted_by_its_schema_and_mistakes_are_not() {
    let good = from_toml(&example());
    assert_eq!(complaints("contract.schema.json", &good), Vec::<String>::new());
    for (pointer, wrong) in [
        ("/title", Value::from(1)),
        ("/allowed_paths", Value::Null),
        ("/risk_class", "safe".into()),
        ("/task_id", "../x".into()),
        ("/instructions", serde_json::json!({ "path": "x" })),
        ("/evidence_expectations/1", serde_json::json!({ "verification": "some" })),
        ("/verification_commands/0/run", serde_json::json!([])),
        ("/limits/wall_seconds", 0.into()),
        ("/network", serde_json::json!({ "allow": [], "deny": [] })),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = wrong;
        assert!(!complaints("contract.schema.json", &bad).is_empty(), "{pointer}");
    }
    let mut unknown = good;
    unknown["allowed_path"] = Value::Null;
    assert!(!complaints("contract.schema.json", &unknown).is_empty());
}

#[test]
fn a_sealed_contract_is_accepted_by_its_schema() {
    let document: Value = serde_json::from_slice(sealed(example()).document()).unwrap();
    assert_eq!(complaints("sealed-contract.schema.json", &document), Vec::<String>::new());
    let mut more = document;
    more["surplus"] = 1.into();
    assert!(!complaints("sealed-contract.schema.json", &more).is_empty());
}

#[test]
fn an_event_is_accepted_by_its_schema() {
    let draft = Draft::observed(EventKind::RunStarted, serde_json::json!({ "n": 1 }));
    let event = Event {
        seq: 1,
        time: Timestamp::from_unix_micros(0).unwrap(),
        run_id: RunId::new(),
        source: draft.source,
        kind: draft.kind,
        basis: Basis::Observed,
        data: draft.data,
    };
    let event = serde_json::to_value(event).unwrap();
    assert_eq!(complaints("event.schema.json", &event), Vec::<String>::new());
    for (pointer, wrong) in
        [("/type", "run.begun"), ("/basis", "guessed"), ("/time", "yesterday"), ("/run_id", "run-1")]
    {
        let mut bad = event.clone();
        *bad.pointer_mut(pointer).unwrap() = wrong.into();
        // `format` is an annotation in this draft, so that the time is not checked by a schema.
        assert_eq!(complaints("event.schema.json", &bad).is_empty(), pointer == "/time", "{pointer}");
    }
}

/// The files of one fixture, as they are.
struct Beside(PathBuf);

impl ContractFiles for Beside {
    fn read_beneath(&self, rel: &str, _: u64) -> Result<Vec<u8>, FileProblem> {
        fs::read(self.0.join(rel)).map_err(|_| FileProblem::NotFound)
    }
}

#[test]
fn every_contract_of_the_fixtures_is_accepted_by_the_schema_and_by_the_door() {
    let Ok(fixtures) = fs::read_dir(root().join("fixtures")) else { return };
    for fixture in fixtures {
        let folder = fixture.unwrap().path();
        let path = folder.join("contract.toml");
        let Ok(bytes) = fs::read(&path) else { continue };
        let source = WireSource::from_bytes(Some(&path), bytes).unwrap();
        assert_eq!(
            complaints("contract.schema.json", &from_toml(&source.text)),
            Vec::<String>::new(),
            "{source:?}"
        );
        if let Err(error) = parse(&source, Some(&folder), &Beside(folder.clone())) {
            panic!("{error}");
        }
    }
}

#[test]
fn every_field_is_explained_in_the_schema_and_on_the_page() {
    let schema = wire_schema().to_value();
    let page = fs::read_to_string(root().join("docs/contract.md")).unwrap();
    let tables = schema["$defs"].as_object().unwrap().values().chain([&schema]);
    let mut count = 0;
    for (name, field) in tables.filter_map(|table| table.get("properties")?.as_object()).flatten() {
        assert!(field.get("description").is_some(), "`{name}` has no description");
        assert!(page.contains(name.as_str()), "docs/contract.md does not name `{name}`");
        count += 1;
    }
    assert!(count > 50, "only {count} fields were found");
}

/// Every field of a report by its path, array items without their numbers; fields whose object has a `basis` of its
/// own are left out.
fn fields(node: &Value, schema: &Value, path: &str, found: &mut Vec<String>) {
    if let Some(name) = node["$ref"].as_str().and_then(|name| name.strip_prefix("#/$defs/")) {
        return fields(&schema["$defs"][name], schema, path, found);
    }
    let inner: Vec<&Value> = ["anyOf", "oneOf"]
        .iter()
        .filter_map(|key| node[*key].as_array())
        .flatten()
        .chain(node.get("items"))
        .filter(|inner| inner["type"] != "null")
        .collect();
    if let Some(properties) = node["properties"].as_object() {
        if properties.contains_key("basis") && !path.is_empty() {
            return;
        }
        for (name, field) in properties {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            fields(field, schema, &path, found);
        }
    } else if inner.is_empty() {
        found.push(path.to_owned());
    } else {
        for inner in inner {
            fields(inner, schema, path, found);
        }
    }
}

#[test]
fn every_field_of_a_report_carries_its_basis() {
    let (schema, table) = (schema("report.schema.json"), basis());
    let mut found = Vec::new();
    fields(&schema, &schema, "", &mut found);
    assert!(found.len() > 60, "{found:?}");
    for path in found.iter().filter(|path| *path != "basis") {
        assert!(basis_of(&table, path).is_some(), "`{path}` has no basis");
    }
    for row in table.keys() {
        let begins = |path: &String| path == row || path.starts_with(&format!("{row}."));
        assert!(found.iter().any(begins), "`{row}` is the basis of nothing");
    }
    assert_eq!(basis_of(&table, "sections.engine.outcome"), Some(Basis::Claimed));
    assert_eq!(basis_of(&table, "sections.engine.exit"), Some(Basis::Observed));
    assert_eq!(basis_of(&table, "sections.claims.claim"), Some(Basis::Claimed));
    assert_eq!(basis_of(&table, "sections.verification.commands.outcome"), Some(Basis::Observed));
}
