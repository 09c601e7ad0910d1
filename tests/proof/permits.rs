//! What a permit for the adapter that starts nothing is good for: that adapter, and nothing else.

use cto_harness::contract::SealedContract;
use cto_harness::eligibility::{DecisionDocument, ExecutionPermit, decide};
use cto_harness::engine::{AdapterError, Catalog, EngineError, exercise_no_op};
use cto_harness::vocab::{EngineId, Timestamp};

use crate::bench::Bench;

/// The permit that the facts of a sealed decision give once more, with its contract.
fn permit(bundle: &std::path::Path) -> (SealedContract, ExecutionPermit) {
    let contract = SealedContract::reopen(&std::fs::read(bundle.join("contract.json")).unwrap()).unwrap();
    let decision = std::fs::read(bundle.join("decision.json")).unwrap();
    let decision: DecisionDocument = serde_json::from_slice(&decision).unwrap();
    let permit = decide(&contract, &decision.facts).permit(Timestamp::now()).unwrap();
    (contract, permit)
}

#[test]
fn a_permit_for_what_starts_nothing_loads_no_adapter_and_an_ordinary_one_no_no_op() {
    let bench = Bench::new();
    bench.in_place("mine");
    let (contract, proving) = permit(&bench.prove("mine").ends(0).bundle());
    let proof = [bench.call(&["runs", "--json"]).ends(0).last()["bundle"].as_str().unwrap().into()];
    bench.promote("mine", "copied-fixture", "ann", &proof).ends(0);
    let fixture = bench.fixture("task", "mine");
    let (ordinary_contract, ordinary) = permit(&bench.run(&fixture, "mine").ends(0).bundle());
    assert!(proving.starts_nothing() && !ordinary.starts_nothing());

    let catalog = Catalog::load(Some(&bench.home().engines_dir())).unwrap();
    let [mine, case] = ["mine", "case"].map(|id| catalog.get(&EngineId::parse(id).unwrap()).unwrap());
    // Without a permit, with one for something else, with one for what starts nothing: no.
    assert!(matches!(mine.load_adapter(), Err(AdapterError::NoAdapter(_))));
    assert!(matches!(case.load_permitted(&ordinary), Err(AdapterError::NotPermitted(_))));
    assert!(matches!(mine.load_permitted(&proving), Err(AdapterError::NotPermitted(_))));
    assert!(mine.load_permitted(&ordinary).is_ok());

    assert!(matches!(exercise_no_op(ordinary, ordinary_contract.task()), Err(EngineError::OtherPermit(_))));
    let seen = exercise_no_op(proving, contract.task()).unwrap();
    assert!(seen.did.is_empty() && seen.permit.starts_nothing());
}
