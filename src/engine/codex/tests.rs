//! The adapter against what the real program said (`engines/codex/transcripts`, recorded from 0.169.0 with a scripted
//! model), and against what a hostile one could say.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::CodexAdapter;
use crate::contract::TaskContract;
use crate::engine::adapter::{
    Adapter, AdapterOutcome, EarlierAttempt, LaunchPlan, PlanInput, PreparedFile, Step, Stream,
};
use crate::engine::leave::Wish;
use crate::event::EventKind;
use crate::evidence::EngineOutcome;

const WORK: &str = include_str!("../../../engines/codex/transcripts/work.jsonl");
const FAILS: &str = include_str!("../../../engines/codex/transcripts/endpoint-fails.jsonl");
const INTERRUPTED: &str = include_str!("../../../engines/codex/transcripts/interrupted.jsonl");

pub(in crate::engine) fn contract() -> TaskContract {
    serde_json::from_value(json!({
        "contract_version": "1", "task_id": "t", "title": "Title", "instructions": "Say \"hi\"\n\u{1b}[2J",
        "target_repository": "/r", "base_ref": "HEAD",
        "authority_basis": {"kind": "task-contract", "reference": "x"}, "risk_class": "RESTRICTED",
        "allowed_paths": ["src/**"], "forbidden_actions": ["git.push"], "mutation_mode": "copied-fixture",
        "clean_start": true, "approval_required": false, "verification_commands": [], "verification_files": [],
        "may_change_checks": [], "toolchains": [], "inputs": [], "evidence_expectations": [], "engine": null,
        "limits": {"wall_seconds": 1, "idle_seconds": 1, "cpu_seconds": 1, "output_bytes": 1, "processes": 1,
            "open_files": 1, "file_bytes": 1, "changed_files": 1, "tmp_bytes": 1, "shm_bytes": 1, "tree_cpu_seconds": 600, "memory_bytes": 2_000_000_000,
            "disk_bytes": 1_000_000_000, "inodes": 100_000, "patch_bytes": 10_000_000,
            "grace_seconds": 1, "answer_seconds": 1},
        "spend": {"run_micro_usd": 1, "thread_micro_usd": 1},
        "unsupported": [], "network_allow": [], "permissions": [], "script": null, "requested_by": null}))
    .unwrap()
}

/// An adapter that is told of an earlier attempt.
pub(super) fn planned_after(earlier: EarlierAttempt<'_>) -> CodexAdapter {
    planned_with(Some(earlier), &[]).0
}

/// An adapter that gets what a check prepared, and its plan.
pub(super) fn planned_with(
    earlier: Option<EarlierAttempt<'_>>,
    prepared: &[PreparedFile],
) -> (CodexAdapter, LaunchPlan) {
    let mut adapter = CodexAdapter::new();
    let input = PlanInput {
        contract: &contract(),
        script: None,
        model: Some("gpt-5.5"),
        program: "/engine/program",
        entry: None,
        listener_port: 8099,
        environment: &BTreeMap::new(),
        earlier,
        prepared,
    };
    let plan = adapter.plan(&input).unwrap();
    (adapter, plan)
}

fn planned() -> (CodexAdapter, LaunchPlan) {
    planned_for(&contract(), BTreeMap::new())
}

fn planned_for(contract: &TaskContract, proxy: BTreeMap<String, String>) -> (CodexAdapter, LaunchPlan) {
    let mut environment = BTreeMap::from([
        ("PATH".to_owned(), "/opt/rust/bin:/usr/bin".to_owned()),
        ("ODD".to_owned(), "a\"b\n[x]\n".to_owned()),
    ]);
    environment.extend(proxy);
    let mut adapter = CodexAdapter::new();
    let input = PlanInput {
        contract,
        script: None,
        model: Some("gpt-5.5"),
        program: "/engine/program",
        entry: None,
        listener_port: 8099,
        environment: &environment,
        earlier: None,
        prepared: &[],
    };
    let plan = adapter.plan(&input).unwrap();
    (adapter, plan)
}

struct Played {
    steps: Vec<Step>,
    outcome: AdapterOutcome,
}

impl Played {
    fn events(&self, kind: EventKind) -> Vec<&Value> {
        let events = self.steps.iter().filter_map(|step| match step {
            Step::Event(draft) if draft.kind == kind => Some(&draft.data),
            _ => None,
        });
        events.collect()
    }
    fn sent(&self) -> Vec<Value> {
        let lines = self.steps.iter().filter_map(|step| match step {
            Step::Send(bytes) => Some(bytes),
            Step::Ask { granted, .. } => Some(granted),
            _ => None,
        });
        lines.map(|bytes| serde_json::from_slice(bytes).unwrap()).collect()
    }
}

fn play(lines: impl IntoIterator<Item = impl AsRef<[u8]>>, exit: &str) -> Played {
    let mut adapter = planned().0;
    let mut steps = adapter.opening();
    for line in lines {
        steps.extend(adapter.on_line(Stream::Stdout, line.as_ref()));
    }
    steps.extend(adapter.on_exit(exit));
    Played { steps, outcome: adapter.outcome() }
}

#[test]
fn codex_and_its_commands_learn_of_a_way_out_where_there_is_one() {
    use crate::engine::adapter::proxy_environment;
    use crate::engine::codex::protocol::task_text;
    let offline = contract();
    assert!(task_text(&offline).contains("- there is no network\n"), "{}", task_text(&offline));
    assert!(!planned().1.env.keys().any(|name| name.to_lowercase().contains("proxy")));

    let network_allow = vec!["a.example:443".to_owned(), "b.example:8443".to_owned()];
    let online = TaskContract { network_allow, ..contract() };
    let text = task_text(&online);
    assert!(text.contains("in HTTPS_PROXY, to these: a.example:443, b.example:8443\n"), "{text}");
    assert!(!text.contains("there is no network"), "{text}");
    let plan = planned_for(&online, proxy_environment(8099)).1;
    let config: toml::Table =
        toml::from_str(str::from_utf8(&plan.home.unwrap().files[0].1).unwrap()).unwrap();
    let set = config["shell_environment_policy"]["set"].as_table().unwrap();
    for name in ["HTTPS_PROXY", "https_proxy"] {
        assert_eq!(
            (plan.env[name].as_str(), set[name].as_str()),
            ("http://127.0.0.1:8099", Some("http://127.0.0.1:8099"))
        );
    }
    // The model's endpoint is on 127.0.0.1 and is not asked for by CONNECT; plain HTTP has no way at all.
    assert_eq!(
        (plan.env["NO_PROXY"].as_str(), set["NO_PROXY"].as_str()),
        ("127.0.0.1,localhost", Some("127.0.0.1,localhost"))
    );
    assert!(!plan.env.contains_key("ODD"), "nothing else of the commands' is codex's");
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
        assert!(!plan.env.contains_key(name) && !set.contains_key(name), "{name}");
    }
}

#[test]
fn the_plan_is_quiet_keyless_and_strictly_quoted() {
    let (_, plan) = planned();
    assert_eq!(plan.argv, ["/engine/program", "app-server", "--strict-config"]);
    assert!(plan.needs_listener);
    let home = plan.home.unwrap();
    assert!(
        !home.at.starts_with("/tmp") && !home.at.starts_with(&plan.env["TMPDIR"]),
        "codex refuses a home there"
    );
    let (name, bytes) = &home.files[0];
    assert_eq!(name, "config.toml");
    let config: toml::Table = toml::from_str(std::str::from_utf8(bytes).unwrap()).unwrap();
    let provider = config["model_providers"]["harness"].as_table().unwrap();
    assert_eq!(provider["base_url"].as_str(), Some("http://127.0.0.1:8099/v1"));
    assert!(!provider.contains_key("env_key"));
    let set = config["shell_environment_policy"]["set"].as_table().unwrap();
    assert_eq!(config["shell_environment_policy"]["inherit"].as_str(), Some("none"));
    assert_eq!(set["ODD"].as_str(), Some("a\"b\n[x]\n"));
    assert_eq!(set["PATH"].as_str(), Some("/opt/rust/bin:/usr/bin"));
    let features = config["features"].as_table().unwrap();
    for off in
        ["apps", "browser_use", "computer_use", "goals", "hooks", "image_generation", "memories", "plugins"]
    {
        assert_eq!(features[off].as_bool(), Some(false), "{off}");
    }
    assert!(features.values().all(|value| value.as_bool() == Some(false)), "nothing is switched on");
    assert_eq!(config["skills"]["bundled"]["enabled"].as_bool(), Some(false));
    assert_eq!(config["agents"]["enabled"].as_bool(), Some(false));
}

#[test]
fn a_recorded_run_becomes_events_and_claims() {
    let played = play(WORK.lines(), "exited:0");
    assert_eq!(played.outcome.outcome, EngineOutcome::Completed);
    assert_eq!(played.outcome.message.as_deref(), Some("All done."));
    assert!(
        played.events(EventKind::RawUnrecognized).is_empty(),
        "{:?}",
        played.events(EventKind::RawUnrecognized)
    );
    let thread = played.steps.iter().position(|step| matches!(step, Step::ThreadId(_))).unwrap();
    let turn = played
        .steps
        .iter()
        .position(|step| matches!(step, Step::Send(b) if b.windows(10).any(|w| w == b"turn/start")))
        .unwrap();
    assert!(thread < turn, "the thread id is recorded before any work is asked for");

    let claims = &played.outcome.claims;
    assert_eq!(claims.files, ["README.md", "new.txt"]);
    assert_eq!((claims.input_tokens, claims.output_tokens), (Some(3300), Some(150)));
    let exits: Vec<_> = claims.commands.iter().map(|command| command.exit_code).collect();
    assert_eq!(exits, [Some(3), Some(0)]);
    let finished = played.events(EventKind::ToolFinished);
    let tools: Vec<_> = finished.iter().map(|data| data["tool"].as_str().unwrap()).collect();
    assert_eq!(tools, ["command", "patch", "command", "nonsense", "apply_patch", "command"]);
    assert!(
        finished[4]["output"].as_str().unwrap().contains("verification failed"),
        "an early failure is told too"
    );
    assert_eq!(finished[5]["status"], "unfinished", "a command that was left running");
    assert_eq!(played.events(EventKind::FileChanged).len(), 2);
    assert_eq!(played.events(EventKind::UsageReported).len(), 5);

    let grants = played.steps.iter().filter_map(|step| match step {
        Step::Ask { granted, declined, .. } => Some([granted, declined]),
        _ => None,
    });
    let grants: Vec<_> =
        grants.map(|both| both.map(|line| serde_json::from_slice::<Value>(line).unwrap())).collect();
    assert_eq!(grants.len(), 4);
    for [answer, declined] in grants {
        assert_eq!((&answer["id"], &declined["result"]["decision"]), (&declined["id"], &json!("decline")));
    }
    let answers = played.sent();
    let methods: Vec<_> = answers.iter().filter_map(|m| m["method"].as_str()).collect();
    assert_eq!(methods, ["initialize", "initialized", "thread/start", "turn/start"]);
    assert!(
        answers.iter().filter(|m| m.get("result").is_some()).all(|m| m["result"]["decision"] == "accept")
    );
}

#[test]
fn retries_are_not_the_end_and_a_failed_turn_is() {
    let played = play(FAILS.lines(), "exited:0");
    assert_eq!(played.outcome.outcome, EngineOutcome::Failed);
    let finals: Vec<_> =
        played.events(EventKind::EngineError).iter().map(|data| data["final"].clone()).collect();
    assert_eq!(finals, [json!(false), json!(false), json!(true), json!(true)]);
    assert_eq!(played.steps.iter().filter(|step| **step == Step::Done).count(), 1);
}

#[test]
fn an_interrupt_names_the_turn_and_is_ours() {
    let mut adapter = planned().0;
    let lines: Vec<_> = INTERRUPTED.lines().collect();
    let (before, after) = lines.split_at(lines.len() - 5);
    for line in before {
        adapter.on_line(Stream::Stdout, line.as_bytes());
    }
    let steps = adapter.interrupt();
    assert!(
        matches!(steps.as_slice(), [Step::Send(line)] if String::from_utf8_lossy(line).contains("turn/interrupt"))
    );
    let mut done = false;
    for line in after {
        done |= adapter.on_line(Stream::Stdout, line.as_bytes()).contains(&Step::Done);
    }
    assert!(done);
    adapter.on_exit("exited:0");
    assert_eq!(adapter.outcome().outcome, EngineOutcome::Interrupted);
}

#[test]
fn every_prefix_of_a_run_is_a_crash_and_never_a_completion() {
    let lines: Vec<_> = WORK.lines().collect();
    for end in 0..lines.len() {
        let played = play(&lines[..end], "signal:9");
        assert_eq!(played.outcome.outcome, EngineOutcome::Crashed, "{end} lines");
    }
    assert_eq!(play(WORK.lines(), "signal:9").outcome.outcome, EngineOutcome::Crashed);
}

#[test]
fn lines_that_make_no_sense_stay_raw_and_end_nothing() {
    let deep = "[".repeat(100_000);
    let lines: Vec<&[u8]> = vec![
        b"",
        b"null",
        b"[]",
        b"{}",
        b"{\"id\":0}",
        b"{\"id\":99,\"result\":{}}",
        b"{\"id\":\"0\",\"result\":{}}",
        b"{\"method\":7}",
        b"{\"method\":\"brand/new\",\"params\":{}}",
        b"{\"method\":\"item/completed\",\"params\":{\"item\":{\"type\":\"brandNew\"}}}",
        b"{\"method\":\"item/completed\"}",
        b"\xff\xfe",
        deep.as_bytes(),
    ];
    for line in lines {
        let played = play([line], "exited:0");
        assert_eq!(
            played.events(EventKind::RawUnrecognized).len(),
            1,
            "{:?}",
            String::from_utf8_lossy(&line[..line.len().min(80)])
        );
        assert_eq!(played.outcome.outcome, EngineOutcome::Crashed);
        assert!(!played.steps.contains(&Step::Done));
    }
}

#[test]
fn only_its_own_turn_ends_the_run_and_nothing_counts_afterwards() {
    let lines: Vec<_> = WORK.lines().collect();
    let (last, before) = lines.split_last().unwrap();
    assert!(last.contains("turn/completed"));
    let foreign =
        r#"{"method":"turn/completed","params":{"threadId":"other","turn":{"id":"x","status":"completed"}}}"#;
    let mut with_foreign = before.to_vec();
    with_foreign.push(foreign);
    assert_eq!(play(&with_foreign, "exited:0").outcome.outcome, EngineOutcome::Crashed);

    let mut with_more = lines.clone();
    let late = r#"{"method":"item/completed","params":{"item":{"type":"fileChange","id":"z","status":"completed","changes":[{"path":"/workspace/late","kind":{"type":"add"}}]}}}"#;
    with_more.push(late);
    let played = play(&with_more, "exited:0");
    assert!(!played.outcome.claims.files.contains(&"late".to_owned()));
    assert_eq!(played.events(EventKind::RawUnrecognized).len(), 1);
}

#[test]
fn requests_that_are_not_offered_get_an_error() {
    let methods = [
        "item/tool/requestUserInput",
        "item/permissions/requestApproval",
        "execCommandApproval",
        "new/thing",
    ];
    for method in methods {
        let line = json!({"id": 5, "method": method, "params": {}}).to_string();
        let played = play([line], "exited:0");
        let answer = played.sent().pop().unwrap();
        assert_eq!(answer["id"], 5);
        assert!(answer.get("error").is_some() && answer.get("result").is_none(), "{method}");
    }
}

#[test]
fn an_error_answer_ends_it() {
    let played = play([r#"{"id":0,"error":{"code":-32600,"message":"no"}}"#], "exited:0");
    assert_eq!(played.outcome.outcome, EngineOutcome::Failed);
    assert_eq!(played.outcome.message.as_deref(), Some("no"));
    assert!(played.steps.contains(&Step::Done));
}

#[test]
fn leave_is_asked_for_exactly_what_would_happen_and_a_refusal_says_why() {
    let lines: Vec<_> = WORK.lines().collect();
    let mut adapter = planned().0;
    let mut asked = Vec::new();
    for line in &lines {
        asked.extend(adapter.on_line(Stream::Stdout, line.as_bytes()).into_iter().filter_map(
            |step| match step {
                Step::Ask { wish, exactly, .. } => Some((wish, exactly)),
                _ => None,
            },
        ));
        if asked.len() == 2 {
            break;
        }
    }
    assert!(matches!(&asked[0].0, Wish::Command(line) if line.contains("ls -la")), "{asked:?}");
    let paths = vec!["README.md".to_owned(), "new.txt".to_owned()];
    assert_eq!(asked[1].0, Wish::Change(Some(paths)), "the files of the patch, relative to the tree");
    assert_ne!(asked[0].1, asked[1].1);

    let said = adapter.declined("the contract forbids `git.push`");
    let [Step::Send(line)] = said.as_slice() else { panic!("{said:?}") };
    let line: Value = serde_json::from_slice(line).unwrap();
    assert_eq!(line["method"], "turn/steer");
    assert!(line["params"]["expectedTurnId"].is_string() && line.to_string().contains("git.push"));
    let refused =
        json!({"id": line["id"], "error": {"code": -32600, "message": "no active turn"}}).to_string();
    assert_eq!(adapter.on_line(Stream::Stdout, refused.as_bytes()), Vec::new(), "that ends nothing");
    assert_eq!(
        play([refused], "exited:0").outcome.outcome,
        EngineOutcome::Failed,
        "an answer to nothing of ours"
    );
}
