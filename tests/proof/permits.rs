//! What a permit for the adapter that starts nothing is good for: that adapter, and nothing else.

use cto_harness::broker::Ways;
use cto_harness::contract::SealedContract;
use cto_harness::eligibility::{DecisionDocument, ExecutionPermit, decide};
use cto_harness::engine::{
    AdapterError, Catalog, EngineError, Leave, PROGRAM, ProgramStore, exercise_no_op, launch,
};
use cto_harness::sandbox::{Bind, Sandbox, SandboxPolicy, StubProgram};
use cto_harness::vocab::{EngineId, Timestamp};
use cto_harness::workspace::{Placement, RunUid, Workspace, import_fixture};

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

/// Launches the stored program of the engine under a permit, as a run does.
fn launched(bench: &Bench, contract: &SealedContract, permit: ExecutionPermit) -> Result<(), EngineError> {
    let (home, place) = (bench.home(), tempfile::tempdir().unwrap());
    let base = import_fixture(contract.task().target_repository.as_ref(), &home.cache().join("fixtures.git"));
    let lease = RunUid::claim_by_hand(home.state()).unwrap();
    let placement = Placement {
        cache_dir: home.cache().to_owned(),
        run_dir: place.path().to_owned(),
        uid: lease.uid(),
        overlay: false,
        mounted: Vec::new(),
    };
    let workspace = Workspace::prepare(&permit, &base.unwrap().base(), placement).unwrap();
    let program = ProgramStore::at(home.programs_dir()).admit(&bench.path("inst/bin/player")).unwrap();
    let argv = vec![PROGRAM.to_owned()];
    let mut policy = SandboxPolicy::for_engine(workspace.mount(), argv, lease.uid(), permit.limits().clone());
    policy.files = vec![Bind::new(&program.path, PROGRAM)];
    let stub = StubProgram::At(env!("CARGO_BIN_EXE_cto-stub").into());
    let sandbox = Sandbox::establish_with(policy, &stub).unwrap();
    let catalog = Catalog::load(None).unwrap();
    let adapter = catalog.get(&EngineId::parse("fixture").unwrap()).unwrap().load_adapter().unwrap();
    let event_loop = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _entered = event_loop.enter();
    let (ways, judge) = (Ways::default(), Leave::of(contract.task()));
    launch(permit, sandbox, workspace, adapter, &program, ways, judge).map(drop)
}

#[test]
fn the_admitted_program_itself_is_never_launched_under_the_permit_of_the_proof() {
    let bench = Bench::new();
    bench.in_place("mine");
    let (contract, proving) = permit(&bench.prove("mine").ends(0).bundle());
    let refused = launched(&bench, &contract, proving);
    assert!(matches!(refused, Err(EngineError::OtherPermit(_))), "{refused:?}");
    // An ordinary permit for the same program does launch it.
    let proof = [bench.call(&["runs", "--json"]).ends(0).last()["bundle"].as_str().unwrap().into()];
    bench.promote("mine", "copied-fixture", "ann", &proof).ends(0);
    let fixture = bench.fixture("task", "mine");
    let (contract, ordinary) = permit(&bench.run(&fixture, "mine").ends(0).bundle());
    let launched = launched(&bench, &contract, ordinary);
    assert!(launched.is_ok(), "{launched:?}");
}
