//! Whole runs: what comes of good work, of failure that calls itself success, and of a model that is not there.

use cto_harness::event::{EventKind, Source};
use cto_harness::evidence::EngineOutcome;
use cto_harness::vocab::Basis;
use serde_json::json;

use crate::bench::{Asked, made_up_key, run};
use crate::model::{Model, Turn, good, shell, well};

const REPAIR: &str = "sed -i 's/-/+/' src/sum.sh";

#[test]
fn good_work_is_done_recorded_and_verified_elsewhere() {
    let model = Model::start(good(REPAIR));
    let ran = run(&Asked { odd: &["parallel"], ..Asked::default() }, &model);
    assert_eq!(ran.observed.outcome, EngineOutcome::Completed, "{} {}", ran.message(), ran.errors());
    assert_eq!(ran.changed(), ["src/sum.sh"], "its own files are no part of the change");
    assert!(ran.passed(), "{:?}", ran.verified.section.commands);

    // Every event of its is a claim, in the order of its own numbers.
    let of_it = ran.events.iter().filter(|event| event.source == Source::Engine);
    assert!(of_it.clone().all(|event| event.basis == Basis::Claimed));
    let numbers: Vec<u64> = of_it.filter_map(|event| event.data["sequence"].as_u64()).collect();
    assert!(numbers.len() > 20 && numbers.is_sorted(), "{numbers:?}");
    let phases = ran.of(EventKind::PhaseStarted);
    let names: Vec<&str> = phases.iter().filter_map(|data| data["phase"].as_str()).collect();
    let expected = ["pipeline", "implement", "implement", "verify", "review", "close", "retrospective"];
    assert_eq!(names, expected);
    assert!(ran.of(EventKind::PhaseFinished).iter().all(|data| data["outcome"] != "skipped"), "no ghosts");

    // The closing phase is on record as asked for and denied; nobody granted anything.
    let asked = ran.of(EventKind::ApprovalRequested);
    assert_eq!(asked.len(), 1, "{asked:?}");
    let denied = ran.of(EventKind::ApprovalDenied);
    assert_eq!((denied.len(), denied[0]["by"].as_str()), (1, Some("policy")));
    assert!(ran.of(EventKind::ApprovalGranted).is_empty());

    // The model was asked by the broker: the key is there and nowhere inside.
    let seen = model.seen();
    assert_eq!(seen.len(), 7, "one request an answer");
    assert!(seen.iter().all(|request| request.head.contains(&format!("x-api-key: {}", made_up_key()))));
    assert_eq!(ran.observed.counts.broker.forwarded, 7);
    assert_eq!(ran.observed.calls.input_tokens, 700);
    let inside = std::fs::read_to_string(
        ran.folder.join("engine-home/case/fix-the-sum/events/run-a27f1c1a-0000-4000-8000-000000000001.jsonl"),
    );
    assert!(!inside.unwrap().contains(&made_up_key()));
    // What it wrote outside of the tree lies in its private home.
    let marker = std::fs::read_to_string(ran.folder.join("engine-home/case/fix-the-sum/tested")).unwrap();
    assert!(marker.starts_with("timestamp:"), "{marker}");
}

#[test]
fn an_installation_with_a_runtime_works_the_same_and_agents_find_ca() {
    let tries = "command -v ca; (echo x > /engine/installation/src/index.ts) 2>/dev/null && echo wro''te; sed -i 's/-/+/' src/sum.sh";
    let model = Model::start(good(tries));
    let ran = run(&Asked { runtime: true, ..Asked::default() }, &model);
    assert_eq!(ran.observed.outcome, EngineOutcome::Completed, "{} {}", ran.message(), ran.errors());
    assert!(ran.passed() && ran.changed() == ["src/sum.sh"]);
    let said: String = model.seen().iter().map(|request| request.body["messages"].to_string()).collect();
    assert!(
        said.contains("/engine/bin/ca") && said.contains("tested created") && !said.contains("wrote"),
        "{said}"
    );
}

#[test]
fn a_revision_is_told_with_its_cycle() {
    let model = Model::start(good(REPAIR));
    let ran = run(&Asked { odd: &["revise"], ..Asked::default() }, &model);
    assert_eq!(ran.observed.outcome, EngineOutcome::Completed, "{}", ran.message());
    assert_eq!(ran.of(EventKind::RevisionRequested).len(), 1);
    let cycles: Vec<_> = ran.of(EventKind::PhaseStarted).iter().map(|data| data["cycle"].clone()).collect();
    assert_eq!(cycles[1..4], [json!(0), json!(1), json!(1)]);
}

#[test]
fn what_calls_itself_done_and_is_not_fails_in_the_second_sandbox() {
    let model = Model::start(good("echo '# nothing' >> src/sum.sh; echo ok | ca mark-tested"));
    let ran = run(&Asked::default(), &model);
    assert_eq!((ran.observed.outcome, ran.observed.exit.as_str()), (EngineOutcome::Completed, "exited:0"));
    assert!(!ran.passed(), "a marker, a claim and an exit status are no verification");
}

#[test]
fn critical_findings_are_no_completion_though_it_closes_and_ends_with_zero() {
    let mut script = good(REPAIR);
    script.insert("reviewer", vec![well("bad", &json!({"findings": {"critical": 2}}))]);
    let ran = run(&Asked::default(), &Model::start(script));
    assert_eq!((ran.observed.outcome, ran.observed.exit.as_str()), (EngineOutcome::Failed, "exited:0"));
    assert!(ran.message().contains("2 critical findings"), "{}", ran.message());
    let closed = ran.of(EventKind::PhaseStarted).iter().any(|data| data["phase"] == "close");
    assert!(closed && ran.of(EventKind::ApprovalDenied).len() == 1);
}

#[test]
fn no_result_and_no_model_look_alike_to_it_and_not_to_the_broker() {
    let mut script = good(REPAIR);
    script.insert("implementer", vec![Turn::Chat("I would rather talk")]);
    let chat = run(&Asked::default(), &Model::start(script.clone()));
    script.insert("implementer", vec![Turn::Status(401)]);
    let refused = run(&Asked::default(), &Model::start(script));
    for ran in [&chat, &refused] {
        assert_eq!(ran.observed.outcome, EngineOutcome::Failed);
        assert!(ran.message().contains("failed at implementer"), "{}", ran.message());
        assert!(ran.changed().is_empty());
    }
    assert_eq!(chat.observed.calls.trouble, None);
    assert!(
        refused.of(EventKind::EgressAllowed).iter().any(|data| data.to_string().contains("401")),
        "{:?}",
        refused.events
    );
}

#[test]
fn a_program_that_crashes_or_leaves_no_end_is_a_crash_whatever_it_exits_with() {
    let model = Model::start(good(REPAIR));
    let ran = run(&Asked { odd: &["crash"], ..Asked::default() }, &model);
    assert_eq!((ran.observed.outcome, ran.observed.exit.as_str()), (EngineOutcome::Crashed, "exited:1"));
    assert!(ran.message().contains("scripted"), "{}", ran.message());
    let ran = run(&Asked { odd: &["no-end"], ..Asked::default() }, &model);
    assert_eq!((ran.observed.outcome, ran.observed.exit.as_str()), (EngineOutcome::Crashed, "exited:0"));
    let ran = run(&Asked { odd: &["kill"], ..Asked::default() }, &model);
    assert_eq!((ran.observed.outcome, ran.observed.exit.as_str()), (EngineOutcome::Crashed, "signal:9"));
}

#[test]
fn a_shell_that_is_left_behind_and_an_engine_without_end_are_ended() {
    let mut script = good(REPAIR);
    script.insert(
        "implementer",
        vec![shell("setsid sleep 1000 >/dev/null 2>&1 & echo left"), well("left one", &json!({}))],
    );
    let ran = run(&Asked::default(), &Model::start(script));
    assert_eq!(ran.observed.outcome, EngineOutcome::Completed, "{}", ran.message());
    let ran =
        run(&Asked { odd: &["endless"], wall_seconds: 3, ..Asked::default() }, &Model::start(good(REPAIR)));
    assert_eq!(ran.observed.outcome, EngineOutcome::Interrupted);
    assert_eq!(ran.of(EventKind::LimitReached).len(), 1);
}
