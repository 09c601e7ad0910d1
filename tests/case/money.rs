//! What it spends goes through the broker: counted there, and held by the cap.

use cto_harness::event::EventKind;
use cto_harness::evidence::EngineOutcome;

use crate::bench::{Asked, run};
use crate::model::{Model, Turn, good};

const REPAIR: &str = "sed -i 's/-/+/' src/sum.sh";

#[test]
fn usage_is_counted_where_it_is_paid() {
    let model = Model::start(good(REPAIR));
    let ran = run(&Asked { cap: Some(5_000_000), ..Asked::default() }, &model);
    assert_eq!(ran.observed.outcome, EngineOutcome::Completed, "{}", ran.message());
    let settled = ran.of(EventKind::SpendSettled);
    assert_eq!((settled.len(), ran.of(EventKind::SpendReserved).len()), (7, 7));
    assert_eq!(ran.observed.calls.output_tokens, 70);
    assert_eq!(ran.observed.calls.refused, None);
}

#[test]
fn a_run_over_its_cap_is_ended_and_says_which() {
    // Each answer uses what it was allowed, so that the cap comes near.
    let mut script = good(REPAIR);
    script.insert("implementer", vec![Turn::Most("true".to_owned())]);
    let model = Model::start(script);
    let ran = run(&Asked { cap: Some(700_000), ..Asked::default() }, &model);
    assert_eq!(ran.observed.outcome, EngineOutcome::Interrupted, "{}", ran.message());
    let refused = ran.observed.calls.refused.clone().unwrap();
    assert!(refused.code.starts_with("spend.cap"), "{refused:?}");
    let spent = ran.observed.calls.spend;
    assert!(spent.settled_micro_usd.micros() <= 700_000, "{spent:?}");
    assert!(!model.seen().is_empty() && model.seen().len() < 7, "{}", model.seen().len());
}
