//! Mistakes in contracts, one by one: which field is named, where, and in which words. Tests only.

use super::door::{LEAST, json, to_json, toml};
use super::{ContractError, MAX_CONTRACT_BYTES, WireSource};

#[test]
fn errors_show_the_place_the_field_and_a_remedy() {
    let wrong = LEAST.replace("risk_class = \"SAFE\"", "risk_class = \"SAFE\"\nallowed_path = [\"src/**\"]");
    let error = toml(&wrong).unwrap_err();
    let expected = "contract.toml:8:1: `allowed_path`: unknown field
  |
8 | allowed_path = [\"src/**\"]
  | ^^^^^^^^^^^^
remedy: did you mean `allowed_paths`?";
    assert_eq!(error.to_string(), expected);

    let wrong = format!("{LEAST}allowed_paths = [\"src/**\", \"../x\"]\n");
    let expected = "contract.toml:11:28: `allowed_paths[1]`: the glob `../x` leaves the repository or holds `.` as a step
   |
11 | allowed_paths = [\"src/**\", \"../x\"]
   |                            ^^^^^^
remedy: write a path from the repository's top, like src/**";
    assert_eq!(toml(&wrong).unwrap_err().to_string(), expected);
}

/// What of [`LEAST`] is replaced (nothing: a line is added) and by what; the field that is named; in which words.
const MISTAKES: &[(&str, &str, &str, &str)] = &[
    ("title = \"Fix it\"\n", "", "title", "missing field"),
    ("approval_required = false\n", "", "approval_required", "missing field"),
    ("reference = \"T-1\"", "", "authority_basis.reference", "missing field"),
    ("\"Fix it\"", "7", "title", "wrong type"),
    ("\"Fix it\"", "\"a\\nb\"", "title", "line break"),
    ("\"1\"", "\"2\"", "contract_version", "only version"),
    ("fix-1", "../x", "task_id", "not a valid task id"),
    ("\"SAFE\"", "\"safe\"", "risk_class", "unknown value"),
    ("\"SAFE\"", "[\"SAFE\"]", "risk_class", "wrong type"),
    ("task-contract", "hearsay", "authority_basis.kind", "unknown value"),
    (
        "\"task-contract\", reference = \"T-1\"",
        "\"local-planning\", reference = \"../p\"",
        "authority_basis.reference",
        "leaves",
    ),
    ("\"repo\"", "\"~/repo\"", "target_repository", "starts with `~`"),
    ("\"Make the test pass.\"", "\" \"", "instructions", "empty"),
    ("\"Make the test pass.\"", "{ file = \"../task.md\" }", "instructions.file", "leaves"),
    ("\"Make the test pass.\"", "{ file = \"gone.md\" }", "instructions.file", "no such file"),
    ("\"Make the test pass.\"", "{ file = \"binary\" }", "instructions.file", "UTF-8"),
    ("\"Make the test pass.\"", "{ file = \"blank\" }", "instructions.file", "empty"),
    ("\"Make the test pass.\"", "{ path = \"task.md\" }", "instructions.path", "unknown field"),
    (
        "verification_commands = []",
        "verification_commands = [{ run = [] }]",
        "verification_commands[0].run",
        "no program",
    ),
    (
        "verification_commands = []",
        "verification_commands = [{ run = 1 }]",
        "verification_commands[0].run",
        "list of arguments or a shell text",
    ),
    (
        "verification_commands = []",
        "verification_commands = [{ run = \"x\", timeout = 0 }]",
        "verification_commands[0].timeout",
        "from 1 to",
    ),
    (
        "verification_commands = []",
        "verification_commands = [{ run = \"x\", timeout = \"5 min\" }]",
        "verification_commands[0].timeout",
        "whole number",
    ),
    (
        "verification_commands = []",
        "verification_commands = [{ run = \"x\", expect = \"fail\" }]",
        "verification_commands[0].expect",
        "unknown value",
    ),
    (
        "evidence_expectations = []",
        "evidence_expectations = [\"../x\"]",
        "evidence_expectations[0]",
        "bundle",
    ),
    (
        "evidence_expectations = []",
        "evidence_expectations = [{ verification = \"some\" }]",
        "evidence_expectations[0].verification",
        "unknown value",
    ),
    (
        "evidence_expectations = []",
        "evidence_expectations = [{ patch = \"empty\" }, { patch = \"non-empty\" }]",
        "evidence_expectations[1]",
        "cannot be",
    ),
    ("", "allowed_paths = [\"!src\"]", "allowed_paths[0]", "starts with `!`"),
    ("", "allowed_paths = [\"src/[\"]", "allowed_paths[0]", "unclosed"),
    ("", "allowed_paths = \"src\"", "allowed_paths", "wrong type"),
    ("", "forbidden_actions = [\"git.psuh\"]", "forbidden_actions[0]", "unknown action"),
    ("", "forbidden_actions = [\"git.push\", \"git.push\"]", "forbidden_actions[1]", "twice"),
    ("", "forbidden_actions = [\"path:/../x\"]", "forbidden_actions[0]", "leaves"),
    ("", "ask_first = [\"git.psuh\"]", "ask_first[0]", "unknown action"),
    ("", "ask_first = [\"git.commit\", \"git.commit\"]", "ask_first[1]", "twice"),
    ("", "ask_first = [\"secrets.read\"]", "ask_first[0]", "nowhere"),
    (
        "",
        "forbidden_actions = [\"git.commit\"]\nask_first = [\"git.commit\"]",
        "ask_first[0]",
        "is forbidden",
    ),
    ("", "mutation_mode = \"everything\"", "mutation_mode", "unknown value"),
    ("", "base_ref = \"--upload-pack=x\"", "base_ref", "starts with `-`"),
    ("", "clean_start = \"yes\"", "clean_start", "wrong type"),
    ("", "permissions = [\"admin\"]", "permissions[0]", "unknown value"),
    (
        "",
        "verification_files = [{ path = \".git/hooks/x\", from = \"base\" }]",
        "verification_files[0].path",
        ".git",
    ),
    (
        "",
        "verification_files = [{ path = \"a\", from = \"/etc/passwd\" }]",
        "verification_files[0].from",
        "leaves",
    ),
    (
        "",
        "verification_files = [{ path = \"a\", from = \"base\" }, { path = \"a/b\", from = \"base\" }]",
        "verification_files[1].path",
        "twice",
    ),
    ("", "inputs = [{ from = \"/x\", to = \"/y\" }]", "inputs[0].to", "not relative"),
    ("", "toolchains = [\"Rust\"]", "toolchains[0]", "toolchain"),
    ("", "network = { allow = [\"example.org\"] }", "network.allow[0]", "host:port"),
    ("", "network = { allow = [\"a.example:1\", \"*.example:1\"] }", "network.allow[1]", "lower-case name"),
    ("", "network = { allow = [\"a.example:1\", \"a.example:1\"] }", "network.allow[1]", "twice"),
    (
        "",
        "forbidden_actions = [\"git.push\", \"network.egress\"]\nnetwork = { allow = [\"a.example:1\"] }",
        "forbidden_actions[1]",
        "`network.allow` allows it",
    ),
    ("", "limits = { wall_second = 5 }", "limits.wall_second", "unknown field"),
    ("", "limits = { wall_seconds = -5 }", "limits.wall_seconds", "wrong type"),
    ("", "limits = { wall_seconds = 1.5 }", "limits.wall_seconds", "wrong type"),
    ("", "limits = { spend = { run_usd = \"1,50\" } }", "limits.spend.run_usd", "decimal"),
    ("", "limits = { spend = { run_usd = 1.5 } }", "limits.spend.run_usd", "wrong type"),
    ("", "engine = { id = \"codex\", modle = \"x\" }", "engine.modle", "unknown field"),
    ("", "engine = \"Codex!\"", "engine", "engine id"),
    ("", "engine = \"codex\"\nscript = \"script.toml\"", "script", "only the engine"),
    (
        "{ kind = \"task-contract\", reference = \"T-1\" }",
        "[\"task-contract\", \"T-1\"]",
        "authority_basis",
        "a table with some of kind",
    ),
    ("", "requested_by = 2026-01-01", "requested_by", "a date"),
];

#[test]
fn every_kind_of_mistake_is_refused_by_field() {
    for (from, to, field, says) in MISTAKES {
        assert!(LEAST.contains(from), "{from}");
        let text = if from.is_empty() { format!("{LEAST}{to}\n") } else { LEAST.replacen(from, to, 1) };
        let error = toml(&text).expect_err(&text);
        assert_eq!(error.field(), Some(*field), "{text}\n{error}");
        let complaint = error.complaint();
        assert!(complaint.sentence.contains(says), "{text}\n{error}");
        assert!(complaint.position.is_some() && !complaint.remedy.is_empty(), "{text}\n{error}");
    }
}

#[test]
fn broken_syntax_and_duplicate_keys_are_refused_with_their_place() {
    let twice = format!("{LEAST}title = \"Again\"\n");
    let error = toml(&twice).unwrap_err();
    assert!(
        matches!(error, ContractError::Syntax(_)) && error.to_string().contains("duplicate key"),
        "{error}"
    );
    assert_eq!(error.complaint().position, Some((11, 1)));
    assert!(error.to_string().contains("`title`"), "{error}");
    let nested = toml(&format!("{LEAST}limits = {{ inodes = 1, inodes = 2 }}\n")).unwrap_err();
    assert!(nested.to_string().contains("duplicate key `inodes`"), "{nested}");
    let error = json("{\n  \"title\": \"a\",\n  \"title\": \"b\"\n}").unwrap_err();
    assert_eq!(error.complaint().position, Some((3, 3)));
    assert!(error.to_string().starts_with("<stdin>:3:3: duplicate key `title`"), "{error}");
    for (text, place) in [("{\"a\": 1,}", (1, 9)), ("{\"a\"", (1, 5)), ("", (1, 1)), ("{} {}", (1, 4))] {
        assert_eq!(json(text).unwrap_err().complaint().position, Some(place), "{text}");
    }
    assert!(matches!(toml("title = "), Err(ContractError::Syntax(_))));
    assert!(matches!(json("[]"), Err(ContractError::Shape(_))));
    let error = WireSource::from_bytes(None, b"{\n  \"a\": \"\xc3\xa9\xff\"".to_vec()).unwrap_err();
    assert_eq!(error.complaint().position, Some((2, 10)), "{error}");
    let large = format!("{LEAST}limits = {{ wall_seconds = 99999999999999999999 }}\n");
    assert!(toml(&large).unwrap_err().to_string().contains("too large"));
    assert!(WireSource::from_bytes(None, vec![b' '; MAX_CONTRACT_BYTES + 1]).is_err());
}

#[test]
fn an_explicit_null_is_not_the_same_as_nothing() {
    let mut value = to_json(LEAST);
    value["allowed_paths"] = serde_json::Value::Null;
    let error = json(&value.to_string()).unwrap_err();
    assert_eq!(error.field(), Some("allowed_paths"));
    assert!(error.to_string().contains("null"), "{error}");
}

#[test]
fn more_verification_files_than_a_bundle_has_room_for_are_refused() {
    let with = |count: usize| {
        let files: Vec<String> =
            (0..count).map(|n| format!("{{ path = \"f{n}\", from = \"base\" }}")).collect();
        toml(&format!("{LEAST}verification_files = [{}]\n", files.join(", ")))
    };
    assert!(with(super::MAX_VERIFICATION_FILES).is_ok());
    let error = with(super::MAX_VERIFICATION_FILES + 1).unwrap_err();
    assert_eq!(error.field(), Some("verification_files"));
    assert!(error.to_string().contains("names 1001 files"), "{error}");
}
