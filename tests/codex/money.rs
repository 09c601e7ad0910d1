//! What Codex's model calls cost: set aside before, settled after, and no more than the caps; and what can go wrong at a
//! provider, told apart.

use serde_json::{Value, json};

use crate::bench::{Bench, Run};
use crate::model_server::{Item, ModelServer, Turn};
use crate::{REPAIR, exec, patches, says};

fn codes(run: &Run) -> Vec<String> {
    let reasons = run.report()["reasons"].as_array().unwrap().clone();
    reasons.iter().map(|reason| reason["code"].as_str().unwrap().to_owned()).collect()
}

fn counted(run: &Run) -> Value {
    run.report()["sections"]["spend"]["counted"].clone()
}

#[test]
fn a_priced_model_is_paid_for_and_the_report_the_trace_and_the_ledger_say_how_much() {
    let server = ModelServer::start(vec![patches(REPAIR), says("Done.")]);
    let bench = Bench::new(&server);
    bench.price("1.00");
    let run = bench.run(&[]);
    assert_eq!((run.exit, run.result["verdict"].as_str()), (0, Some("pass")), "{run:?}");
    // Twice 100 tokens in and 10 out.
    let spend = counted(&run);
    assert_eq!(spend["sums"]["settled_micro_usd"], 400, "{spend}");
    assert_eq!(spend["sums"]["unsettled_micro_usd"], 0);
    assert!(spend["sums"]["reserved_micro_usd"].as_u64().unwrap() > 400_000, "{spend}");
    assert_eq!(run.report()["sections"]["usage"]["output_tokens"], 20);
    let by_run = bench.spent().into_iter().find(|line| line["by"] == "run").unwrap();
    assert_eq!((&by_run["settled_micro_usd"], &by_run["requests"]), (&json!(400), &json!(2)), "{by_run}");
    for request in server.seen() {
        assert_eq!(request.body["max_output_tokens"], 20_000);
        assert_eq!(request.body["service_tier"], "default");
    }
    let trace = run.file("trace.jsonl");
    assert!(trace.contains("chat gpt-5.5") && trace.contains("opencto.cost_micro_usd"), "{trace}");
    assert!(run.file("report.md").contains("0.0004 dollars of 1.00"), "{}", run.file("report.md"));
    assert_eq!(bench.verify(&run), 0);
}

#[test]
fn at_the_cap_it_is_told_once_and_the_run_ends_with_its_evidence() {
    let spends = || Turn::Most(vec![Item::Exec("true".to_owned())]);
    let server = ModelServer::start(vec![spends(), spends(), spends(), spends()]);
    let bench = Bench::new(&server);
    bench.price("0.40");
    let run = bench.run(&[]);
    assert_eq!((run.exit, run.result["verdict"].as_str()), (1, Some("fail")), "{run:?}");
    assert!(codes(&run).contains(&"spend.cap.run".to_owned()), "{:?}", codes(&run));
    let spend = counted(&run);
    let settled = spend["sums"]["settled_micro_usd"].as_u64().unwrap();
    assert!((200_000..=400_000).contains(&settled), "{spend}");
    assert_eq!(spend["sums"]["unsettled_micro_usd"], 0, "{spend}");
    assert_eq!(spend["refused"]["code"], "spend.cap.run");
    let refused = run.events().iter().filter(|event| event["type"] == "egress.denied").count();
    assert_eq!(refused, 1, "it does not ask again");
    assert_eq!(bench.verify(&run), 0);
}

#[test]
fn a_provider_that_uses_more_than_was_set_aside_is_a_finding() {
    let server = ModelServer::start(vec![
        patches(REPAIR),
        Turn::Using(vec![Item::Message("Done.".to_owned())], 50_000),
    ]);
    let bench = Bench::new(&server);
    bench.price("1.00");
    let run = bench.run(&[]);
    assert_eq!(codes(&run), ["spend.over-reservation"], "{run:?}");
    assert!(counted(&run)["sums"]["over_reservation_micro_usd"].as_u64().unwrap() > 0);
    assert_eq!(bench.verify(&run), 0);
}

#[test]
fn what_goes_wrong_at_a_provider_is_told_apart() {
    for (turn, code) in [
        (Turn::Failing(401, "invalid_api_key"), "provider.unauthorized"),
        (Turn::Failing(429, "insufficient_quota"), "provider.quota"),
        (Turn::Failing(429, "rate_limit_exceeded"), "provider.rate-limit"),
        (Turn::Failing(400, "context_length_exceeded"), "provider.context-length"),
        (Turn::Status(500), "provider.overloaded"),
    ] {
        let server = ModelServer::start(vec![turn]);
        let bench = Bench::new(&server);
        let run = bench.run(&[]);
        assert_eq!(run.exit, 1, "{run:?}");
        assert!(codes(&run).contains(&code.to_owned()), "{code}: {:?}", codes(&run));
        assert_eq!(bench.verify(&run), 0);
    }
    // Nobody listens there.
    let server = ModelServer::start(vec![exec("true")]);
    let bench = Bench::new(&server);
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    bench.configure(&format!("http://{nowhere}/v1"), &crate::bench::codex());
    let run = bench.run(&[]);
    assert!(codes(&run).contains(&"provider.connection-refused".to_owned()), "{:?}", codes(&run));
}
