//! What the door lets in and how it is sealed, over examples, random values and damage. Tests only.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::vocab::{Digest, MutationMode};

/// A contract that uses every field once; the example of `docs/contract.md`.
const FULL: &str = include_str!("../../docs/contract-example.toml");

/// The fewest fields that are a contract.
pub(super) const LEAST: &str = r#"contract_version = "1"
task_id = "fix-1"
title = "Fix it"
instructions = "Make the test pass."
target_repository = "repo"
authority_basis = { kind = "task-contract", reference = "T-1" }
risk_class = "SAFE"
approval_required = false
verification_commands = []
evidence_expectations = []
"#;

struct Files(BTreeMap<&'static str, Vec<u8>>);

impl Files {
    fn some() -> Self {
        let text = |text: &str| text.as_bytes().to_vec();
        Self(BTreeMap::from([
            ("task.md", text("Do this.\n")),
            ("checks/test_sum.py", text("assert True\n")),
            ("script.toml", text("[[step]]\n")),
            ("binary", vec![0xff, 0xfe]),
            ("blank", text(" \n")),
        ]))
    }
}

impl ContractFiles for Files {
    fn read_beneath(&self, rel: &str, _: u64) -> Result<Vec<u8>, FileProblem> {
        self.0.get(rel).cloned().ok_or(FileProblem::NotFound)
    }
}

pub(super) fn source(format: Format, text: &str) -> WireSource {
    let name = match format {
        Format::Json => None,
        Format::Toml => Some("contract.toml".into()),
    };
    WireSource { name, format, text: text.to_owned() }
}

pub(super) fn toml(text: &str) -> Result<SealedContract, ContractError> {
    parse(&source(Format::Toml, text), Some(Path::new("/task")), &Files::some())
}

pub(super) fn json(text: &str) -> Result<SealedContract, ContractError> {
    parse(&source(Format::Json, text), Some(Path::new("/task")), &Files::some())
}

pub(super) fn to_json(toml: &str) -> serde_json::Value {
    serde_json::to_value(::toml::from_str::<::toml::Value>(toml).unwrap()).unwrap()
}

#[test]
fn the_least_contract_gets_every_default_and_keeps_gated_fields_absent() {
    let sealed = toml(LEAST).unwrap();
    let task = sealed.task();
    assert_eq!((&task.allowed_paths, &task.forbidden_actions, &task.mutation_mode), (&None, &None, &None));
    assert_eq!(task.base_ref, "HEAD");
    assert!(task.clean_start);
    assert_eq!(task.target_repository, "/task/repo");
    assert_eq!(task.limits, limits::defaults());
    assert!(task.unsupported.is_empty() && task.permissions.is_empty() && task.network_allow.is_empty());
}

#[test]
fn the_documented_example_is_accepted_whole() {
    let sealed = toml(FULL).unwrap();
    let task = sealed.task();
    assert_eq!(task.instructions, "Do this.\n");
    assert_eq!(task.mutation_mode, Some(MutationMode::CopiedFixture));
    assert_eq!(task.verification_commands[0].argv, ["python3", "-m", "unittest"]);
    assert_eq!(task.verification_commands[1].argv, ["/bin/sh", "-c", "./check.sh | grep ok"]);
    assert_eq!(task.verification_commands[1].timeout_seconds, 120);
    assert_eq!(task.script, Some(Digest::of(b"[[step]]\n")));
    assert_eq!(task.limits.wall_seconds, 900);
    assert_eq!(
        (task.spend.run_micro_usd.micros(), task.spend.thread_micro_usd.micros()),
        (2_500_000, 5_000_000)
    );
    assert!(task.unsupported.is_empty(), "{:?}", task.unsupported);
    let file = &sealed.attachments().verification_files["tests/test_sum.py"];
    assert_eq!(task.verification_files[0].from, FileSource::Sealed(Digest::of(file)));
    for field in ["allowed_paths", "inputs", "toolchains", "network", "permissions", "requested_by", "engine"]
    {
        assert!(FULL.contains(field), "the example does not show {field}");
    }
}

#[test]
fn toml_and_json_of_equal_content_have_equal_digests() {
    let from_json = json(&to_json(FULL).to_string()).unwrap();
    let from_toml = toml(FULL).unwrap();
    assert_eq!(from_json, from_toml);
    assert_eq!(from_toml.digest(), Digest::of(from_toml.document()));
    assert!(from_toml.document().ends_with(b"}\n"));
}

#[test]
fn a_sealed_contract_reopens_from_its_exact_bytes_only() {
    let sealed = toml(FULL).unwrap();
    let again = SealedContract::reopen(sealed.document()).unwrap();
    assert_eq!((again.task(), again.digest()), (sealed.task(), sealed.digest()));
    assert_eq!(again.attachments(), &Attachments::default());
    let text = String::from_utf8(sealed.document().to_vec()).unwrap();
    for changed in [
        text.trim_end().to_owned(),
        format!("{text}\n"),
        text.replacen("  ", "   ", 1),
        text.replacen("\"clean_start\": true", "\"clean_start\": true, \"clean_start\": true", 1),
        text.replacen("\"title\"", "\"titel\"", 1),
        text.replacen("\"src/**\"", "\"../**\"", 1),
        text.replacen("git.push", "git.pull", 1),
        text.replacen("\"tests/test_sum.py\"", "\"../test_sum.py\"", 1),
        text.replacen("\"wall_seconds\": 900", "\"wall_seconds\": 0", 1),
        text.replacen("\"timeout_seconds\": 120", "\"timeout_seconds\": 0", 1),
        String::new(),
    ] {
        assert_ne!(changed, text);
        assert!(
            matches!(SealedContract::reopen(changed.as_bytes()), Err(ContractError::NotSealed(_))),
            "{changed}"
        );
    }
}

#[test]
fn files_and_relative_paths_need_a_folder() {
    let with_file = LEAST.replace("\"Make the test pass.\"", "{ file = \"task.md\" }");
    let text = source(Format::Toml, &with_file);
    let stdin = parse(&text, Some(Path::new("/here")), &NoFiles).unwrap_err();
    let http = parse(&text, None, &Files::some()).unwrap_err();
    for error in [stdin, http] {
        assert!(matches!(error, ContractError::File { source: FileProblem::NoFolder, .. }), "{error}");
    }
    let text = source(Format::Toml, LEAST);
    let error = parse(&text, None, &NoFiles).unwrap_err();
    assert_eq!(error.field(), Some("target_repository"));
    let url = LEAST.replace("\"repo\"", "\"https://example.org/x.git\"");
    let sealed = parse(&source(Format::Toml, &url), None, &NoFiles).unwrap();
    assert_eq!(sealed.task().target_repository, "https://example.org/x.git");
    assert!(parse(&text, Some(Path::new("relative")), &NoFiles).is_err());
}

#[test]
fn what_cannot_be_carried_out_is_named_and_never_dropped() {
    let text = format!(
        "{LEAST}forbidden_actions = [\"git.push\", \"command:git push *\"]
permissions = [\"commit\", \"push\", \"merge\", \"deploy\", \"close\"]
[limits]
output_bytes = 1000000000000
tokens = 1
spend = {{ run_usd = \"1.50\", thread_usd = \"200\" }}
"
    )
    .replace("verification_commands = []", "verification_commands = [{ run = [\"true\"], timeout = 4801 }]");
    let sealed = toml(&text).unwrap();
    let named: Vec<&str> = sealed.task().unsupported.iter().map(String::as_str).collect();
    assert_eq!(
        named,
        [
            "limits.output_bytes: 1000000000000 is above the ceiling of 536870912",
            "limits.spend.thread_usd: 200.00 is above the ceiling of 80.00",
            "limits.tokens",
            "permissions.close",
            "permissions.deploy",
            "permissions.merge",
            "permissions.push",
            "verification_commands[0].timeout: 4801 is above the ceiling of 4800",
        ]
    );
    let mut wide = Ceilings::standard();
    wide.limits.output_bytes = 1_000_000_000_000;
    let text = source(Format::Toml, &text);
    let sealed = parse_within(&text, Some(Path::new("/task")), &Files::some(), &wide).unwrap();
    assert!(!sealed.task().unsupported.iter().any(|name| name.starts_with("limits.output_bytes")));
}

/// Any JSON value of the kinds that contracts hold.
fn any_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        ".{0,8}".prop_map(Into::into),
        prop::sample::select(vec!["SAFE", "base", "none", "git.push", "src/**", "fixture", "../x"])
            .prop_map(Into::into),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::btree_map("[a-z_]{1,8}", inner, 0..3)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Whether an error about `named` is the answer to a wrong `changed`: a script belongs to the engine `fixture`, so
/// another engine makes the script the field that is wrong.
fn blames(named: &str, changed: &str) -> bool {
    named.starts_with(changed) || (changed == "engine" && named == "script")
}

proptest! {
    #[test]
    fn whatever_is_accepted_reopens_to_the_same_digest(
        title in "\\PC{1,30}",
        instructions in "\\PC{1,60}",
        globs in prop::option::of(prop::collection::vec("[a-z*/?.]{1,8}", 0..4)),
        clean in any::<bool>(),
        timeout in 1_u64..10_000,
        shell in "\\PC{1,20}",
    ) {
        let mut value = to_json(LEAST);
        value["title"] = title.into();
        value["instructions"] = instructions.into();
        value["clean_start"] = clean.into();
        value["verification_commands"] = serde_json::json!([{ "run": shell, "timeout": timeout }]);
        if let Some(globs) = globs {
            value["allowed_paths"] = globs.into();
        }
        if let Ok(sealed) = json(&value.to_string()) {
            let again = SealedContract::reopen(sealed.document()).unwrap();
            prop_assert_eq!(again.digest(), sealed.digest());
            prop_assert_eq!(again.task(), sealed.task());
            let pretty = json(&serde_json::to_string_pretty(&value).unwrap()).unwrap();
            prop_assert_eq!(pretty.digest(), sealed.digest());
        }
    }

    #[test]
    fn any_value_in_any_field_is_accepted_or_refused_in_words(
        field in prop::sample::select(to_json(FULL).as_object().unwrap().keys().cloned().collect::<Vec<_>>()),
        wrong in any_value(),
    ) {
        let mut value = to_json(FULL);
        value[&field] = wrong;
        match json(&serde_json::to_string_pretty(&value).unwrap()) {
            Ok(sealed) => prop_assert!(SealedContract::reopen(sealed.document()).is_ok()),
            Err(error) => prop_assert!(error.field().is_some_and(|name| blames(name, &field)), "{}", error),
        }
    }

    #[test]
    fn no_bytes_make_the_door_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), toml in any::<bool>()) {
        let name = toml.then(|| Path::new("c.toml"));
        if let Ok(source) = WireSource::from_bytes(name, bytes.clone()) {
            prop_assert!(parse(&source, Some(Path::new("/task")), &Files::some()).is_err());
        }
        prop_assert!(SealedContract::reopen(&bytes).is_err());
    }

    #[test]
    fn a_damaged_contract_never_panics(at in 0..FULL.len(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = FULL.as_bytes().to_vec();
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] = byte;
        }
        let source = WireSource::from_bytes(Some(Path::new("c.toml")), bytes);
        let sealed = source.and_then(|source| parse(&source, Some(Path::new("/task")), &Files::some()));
        prop_assert!(sealed.is_ok() || sealed.is_err_and(|error| !error.to_string().is_empty()));
    }
}
