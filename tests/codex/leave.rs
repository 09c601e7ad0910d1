//! What Codex asks leave for: judged by the contract's rules, on record, and answered with the reason.

use serde_json::Value;

use crate::bench::Bench;
use crate::model_server::{ModelServer, by_results};
use crate::{REPAIR, exec, patches, says};

#[test]
fn what_is_plainly_forbidden_is_declined_with_the_reason_and_it_goes_on() {
    let turns = vec![
        exec("touch before && git push origin main"),
        patches(REPAIR),
        says("Repaired, and not pushed."),
    ];
    let server = ModelServer::choosing(turns, by_results);
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

    let told = |seen: &crate::model_server::Seen| seen.body.to_string().contains("forbids `git.push`");
    assert!(server.seen().iter().any(told), "the model is told why");
    let executed = of("exec.observed").iter().any(|event| event["data"]["argv"].to_string().contains("push"));
    assert!(!executed, "nothing of it was executed");
    assert_eq!(bench.verify(&run), 0);
}
