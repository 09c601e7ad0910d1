//! What Codex asks leave for: judged by the contract's rules, on record, and answered with the reason.

use serde_json::Value;

use crate::bench::Bench;
use crate::model_server::ModelServer;
use crate::{REPAIR, exec, patches, says};

#[test]
fn what_is_plainly_forbidden_is_declined_with_the_reason_and_it_goes_on() {
    let server = ModelServer::start(vec![
        exec("touch before && git push origin main"),
        patches(REPAIR),
        says("Repaired, and not pushed."),
    ]);
    let bench = Bench::new(&server);
    let run = bench.run(&[]);
    assert_eq!((run.exit, run.result["verdict"].as_str()), (0, Some("pass")), "{run:?}");

    let events = run.events();
    let of = |kind: &str| -> Vec<&Value> { events.iter().filter(|event| event["type"] == kind).collect() };
    let (requested, granted, denied) =
        (of("approval.requested"), of("approval.granted"), of("approval.denied"));
    assert_eq!((requested.len(), granted.len(), denied.len()), (2, 1, 1));
    assert_eq!(denied[0]["data"]["action"], "git.push", "{}", denied[0]);
    assert_eq!(denied[0]["data"]["digest"], requested[0]["data"]["digest"], "bound to exactly that command");
    assert_eq!(granted[0]["data"]["digest"], requested[1]["data"]["digest"]);
    assert_eq!(requested[1]["data"]["asked"]["paths"], serde_json::json!(["src/lib.rs"]));
    assert!(denied.iter().chain(&granted).all(|event| event["basis"] == "observed"));

    let second = server.seen()[1].body.to_string();
    assert!(second.contains("the contract forbids `git.push`"), "the model is told why: {second}");
    let executed = of("exec.observed").iter().any(|event| event["data"]["argv"].to_string().contains("push"));
    assert!(!executed, "nothing of it was executed");
    assert_eq!(bench.verify(&run), 0);
}
