//! The proof of the gates over made-up facts: every gate is taken away, and a cell that misbehaves is told as one.

use super::samples::*;
use crate::contract::TaskContract;
use crate::eligibility::matrix::{answer, everything, ways};
use crate::eligibility::*;
use crate::vocab::{EngineId, MutationMode as Mode, RiskClass as Risk};

fn sample() -> (TaskContract, Facts, EngineId) {
    let contract = contract(true, Some(Mode::None), Risk::Safe);
    let facts = facts(true, &contract);
    (contract, facts, id(GATED))
}

#[test]
fn every_gate_is_taken_away_and_each_answer_is_the_one_that_has_to_come_out() {
    let (contract, facts, engine) = sample();
    let own = facts.engines.get(&engine).unwrap();
    for &mode in Mode::ALL {
        let (task, all) = everything(&contract, &facts, &engine, own, mode).unwrap();
        let yes = answer(&task, &all, mode, "nothing", None);
        assert!(yes.ok, "{yes:?}");
        let required = required_gates(Demand::of(&task, all.engines.get(&engine)));
        for gate in &required {
            assert!(ways().iter().any(|way| way.gate == *gate), "nothing takes `{gate}` away");
        }
        for way in ways().iter().filter(|way| required.contains(&way.gate)) {
            let (mut task, mut facts) = (task.clone(), all.clone());
            (way.remove)(&mut task, &mut facts);
            let no = answer(&task, &facts, mode, way.what, Some((way.gate, way.state)));
            assert!(no.ok, "{no:?}");
            assert!(!answer(&task, &facts, mode, way.what, None).ok, "a no is no yes");
        }
    }
    assert!(GateId::ALL.iter().all(|gate| ways().iter().any(|way| way.gate == *gate)));
}

#[test]
fn a_cell_that_should_block_and_does_not_is_wrong() {
    let (contract, facts, engine) = sample();
    let own = facts.engines.get(&engine).unwrap();
    let (task, mut all) = everything(&contract, &facts, &engine, own, Mode::None).unwrap();
    let licence = |state| Some((GateId::SourceLicense, state));
    let open = answer(&task, &all, Mode::None, "nothing really", licence(RefusalState::Missing));
    assert!(!open.ok && open.found == "eligible", "{open:?}");
    // The right gate in another way is another answer.
    all.engines.values_mut().for_each(|own| own.licence = Observed::Absent("gone".to_owned()));
    assert!(!answer(&task, &all, Mode::None, "x", licence(RefusalState::Failed)).ok);
    assert!(answer(&task, &all, Mode::None, "x", licence(RefusalState::Missing)).ok);
}

#[test]
fn the_proof_of_the_gates_may_load_what_starts_nothing_and_reaches_nothing() {
    let (mut contract, mut facts, engine) = sample();
    (contract.toolchains, contract.network_allow) = (Vec::new(), Vec::new());
    facts.proving = true;
    facts.registry = Observed::Absent("no entry".to_owned());
    let change = |facts: &mut Facts, change: fn(&mut EngineFacts)| {
        change(facts.engines.get_mut(&engine).unwrap());
    };
    change(&mut facts, |own| (own.stage, own.spend) = (crate::vocab::Stage::DefaultDeny, SpendFacts::Free));
    if let Observed::Seen(target) = &mut facts.target {
        target.is_fixture = true;
    }
    let decision = decided(&contract, &facts);
    assert!(decision.document().eligible(), "{:?}", decision.document().missing_gates);
    assert!(decision.permit(at(1)).unwrap().starts_nothing());
    let refused = |contract: &TaskContract, facts: &Facts, gate: GateId| {
        let decision = decided(contract, facts);
        assert!(decision.document().missing_gates.iter().any(|row| row.gate == gate), "{gate}");
    };
    // Without the record, unproven, or with anything within reach: no.
    for spoil in [
        (|own| own.proof = Some(Observed::Absent("none".to_owned()))) as fn(&mut EngineFacts),
        |own| own.stage = crate::vocab::Stage::Unproven,
        |own| own.spend = SpendFacts::UnpricedLoopback,
    ] {
        let mut facts = facts.clone();
        change(&mut facts, spoil);
        refused(&contract, &facts, GateId::EngineStage);
    }
    contract.network_allow = vec!["a.example:443".to_owned()];
    refused(&contract, &facts, GateId::EngineStage);
    refused(&contract, &facts, GateId::TargetOwnership);
}
