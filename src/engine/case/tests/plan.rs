//! What Case is started with: nothing of the host, no credential, no remote, nothing of before.

use std::collections::BTreeMap;

use serde_json::Value;

use super::CaseAdapter;
use crate::contract::TaskContract;
use crate::engine::adapter::{Adapter, AdapterError, EarlierAttempt, LaunchPlan, PlanInput};
use crate::engine::case::task::slug;

fn contract() -> TaskContract {
    TaskContract { title: "Fix\nthe sum".to_owned(), ..crate::engine::codex::tests::contract() }
}

fn input<'a>(contract: &'a TaskContract, environment: &'a BTreeMap<String, String>) -> PlanInput<'a> {
    PlanInput {
        contract,
        script: None,
        model: Some("claude-sonnet-4-6"),
        program: "/engine/program",
        entry: None,
        listener_port: 8099,
        environment,
        earlier: None,
        prepared: &[],
    }
}

fn planned(entry: Option<&str>) -> LaunchPlan {
    let environment = BTreeMap::from([("PATH".to_owned(), "/opt/x/bin:/usr/bin".to_owned())]);
    let contract = contract();
    CaseAdapter::new().plan(&PlanInput { entry, ..input(&contract, &environment) }).unwrap()
}

fn text(plan: &LaunchPlan, name: &str) -> String {
    let home = plan.home.as_ref().unwrap();
    let (_, bytes) = home.files.iter().find(|(known, _)| known == name).unwrap();
    String::from_utf8(bytes.clone()).unwrap()
}

#[test]
fn it_starts_in_an_empty_folder_with_an_absolute_task_and_never_asks() {
    let plan = planned(None);
    let task = "/workspace/.case/tasks/active/t.task.json";
    let expected =
        ["/engine/program", "run", "--task", task, "--mode", "unattended", "--model", "claude-sonnet-4-6"];
    assert_eq!(plan.argv, expected);
    assert_eq!(Some(&plan.cwd), plan.empty_at.as_ref());
    assert_eq!(plan.program_also_at, ["/engine/bin/ca"]);
    assert!(plan.env["PATH"].starts_with("/engine/bin:/opt/x/bin:"));
    assert!(plan.needs_listener);
    for never in ["--dry-run", "--agent", "--fresh", "attended"] {
        assert!(!plan.argv.iter().any(|word| word == never), "{never}");
    }
}

#[test]
fn an_installation_is_started_by_its_runtime_and_ca_hands_on() {
    let plan = planned(Some("/engine/installation/src/index.ts"));
    assert_eq!(plan.argv[..3], ["/engine/program", "/engine/installation/src/index.ts", "run"]);
    assert!(plan.program_also_at.is_empty());
    let ca = plan.files.iter().find(|file| file.at == "/engine/bin/ca").unwrap();
    let text = String::from_utf8(ca.bytes.clone()).unwrap();
    let (contract, environment) = (contract(), BTreeMap::new());
    for entry in ["/x y", "x", "/$(id)", "/a'b", ""] {
        let input = PlanInput { entry: Some(entry), ..input(&contract, &environment) };
        assert!(CaseAdapter::new().plan(&input).is_err(), "{entry}");
    }
    assert!(ca.executable && text.contains("exec /engine/program /engine/installation/src/index.ts \"$@\""));
}

#[test]
fn its_files_are_fresh_and_point_at_the_work_tree_and_the_broker_alone() {
    let plan = planned(None);
    let task: Value = serde_json::from_str(&text(&plan, "case/tasks/active/t.task.json")).unwrap();
    assert_eq!(
        (&task["status"], &task["mode"], &task["repo"]),
        (&"active".into(), &"unattended".into(), &"workspace".into())
    );
    assert!(task["pendingRevision"].is_null() && task["prUrl"].is_null());
    assert_eq!(text(&plan, "case/active"), "t\n");
    let projects: Value = serde_json::from_str(&text(&plan, "data/projects.json")).unwrap();
    assert_eq!(projects["repos"].as_array().unwrap().len(), 1);
    assert_eq!(projects["repos"][0]["path"], "/workspace");
    assert!(projects["repos"][0]["remote"].as_str().unwrap().contains(".invalid/"));
    let models: Value = serde_json::from_str(&text(&plan, "pi/models.json")).unwrap();
    assert_eq!(models["providers"]["anthropic"]["baseUrl"], "http://127.0.0.1:8099");
    let brief = text(&plan, "case/tasks/active/t.md");
    assert!(brief.starts_with("# Fix the sum\n") && brief.contains("## Objective\n\nSay \"hi\""), "{brief}");
    assert!(brief.contains("- `src/**`") && brief.contains("- `git.push`"), "{brief}");
    // A log, a marker or a plan of before is not among them.
    let home = plan.home.as_ref().unwrap();
    assert!(home.files.iter().all(|(name, _)| !name.contains("events") && !name.contains("plan.json")));
    assert!(home.kept.is_none());
    assert_eq!(home.also_at, [("case".to_owned(), "/workspace/.case".to_owned())]);
    assert_eq!(plan.places_in_the_tree(), [".case"]);
}

#[test]
fn there_is_no_credential_in_what_it_is_given() {
    let plan = planned(None);
    assert_eq!(plan.env["ANTHROPIC_API_KEY"], "unused");
    let secret = |name: &str| {
        ["TOKEN", "SECRET", "PASSWORD", "SSH_AUTH_SOCK", "GH_"].iter().any(|word| name.contains(word))
    };
    assert!(!plan.env.keys().any(|name| secret(name)), "{:?}", plan.env.keys());
    for place in ["HOME", "CASE_DATA_DIR", "PI_CODING_AGENT_DIR", "XDG_CONFIG_HOME"] {
        assert!(plan.env[place].starts_with("/case-home/"), "{place}");
    }
    assert_eq!(
        (plan.env["GIT_CONFIG_NOSYSTEM"].as_str(), plan.env["GIT_TERMINAL_PROMPT"].as_str()),
        ("1", "0")
    );
}

#[test]
fn it_is_never_gone_on_with_and_no_name_becomes_an_option() {
    let (contract, environment) = (contract(), BTreeMap::new());
    let earlier = Some(EarlierAttempt { thread: None, tree: true });
    let refused = CaseAdapter::new().plan(&PlanInput { earlier, ..input(&contract, &environment) });
    assert_eq!(refused, Err(AdapterError::NeverResumed("case".to_owned())));
    for model in ["--agent", "", "a b", "x\n", "é"] {
        let input = PlanInput { model: Some(model), ..input(&contract, &environment) };
        assert!(CaseAdapter::new().plan(&input).is_err(), "{model:?}");
    }
    assert!(CaseAdapter::new().plan(&PlanInput { model: None, ..input(&contract, &environment) }).is_err());
    for (id, name) in [("Fix_the.Sum", "fix-the-sum"), ("t", "t"), ("a--b", "a-b"), ("A-", "a")] {
        assert_eq!(slug(id), name);
    }
}
