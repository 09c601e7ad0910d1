//! The rule itself: over all vectors of passed or not, over all pairs of four states, over random ones; and over
//! facts spoiled one by one, two by two and at random.

use proptest::prelude::*;

use super::samples::*;
use crate::eligibility::decide::{answers, assemble, judge, question};
use crate::eligibility::document::fold;
use crate::eligibility::*;
use crate::vocab::{MutationMode, RiskClass};

fn short() -> Shortfall {
    Shortfall { reason: "r".to_owned(), remedy: String::new(), escalation: Escalation::Jp }
}

/// State `n` of the four.
fn state(n: u8) -> GateResult {
    match n {
        0 => GateResult::Passed("p".to_owned()),
        1 => GateResult::Failed(short()),
        2 => GateResult::Missing(short()),
        _ => GateResult::Errored(short()),
    }
}

fn every_demand() -> impl Iterator<Item = (bool, Option<MutationMode>, RiskClass)> {
    let modes = || std::iter::once(None).chain(MutationMode::ALL.iter().copied().map(Some));
    [false, true].into_iter().flat_map(move |gated| {
        modes().flat_map(move |mode| RiskClass::ALL.iter().map(move |r| (gated, mode, *r)))
    })
}

#[test]
fn of_all_vectors_only_the_one_where_everything_passed_holds() {
    let required = GateId::ALL;
    let mut results: Vec<(GateId, GateResult)> = required.iter().map(|g| (*g, state(1))).collect();
    let mut held = 0_u32;
    // Gray code: each step changes one gate, and after 2^n steps every vector was there once.
    for step in 0..1_u32 << required.len() {
        if step > 0 {
            let gate = &mut results[step.trailing_zeros() as usize].1;
            *gate = state(u8::from(gate.holds()));
        }
        let passed = results.iter().filter(|(_, r)| r.holds()).count();
        let holds = all_hold(required, &results);
        assert_eq!(holds, passed == required.len());
        held += u32::from(holds);
    }
    assert_eq!(held, 1);
}

#[test]
fn an_unlisted_gate_is_missing_and_an_empty_required_set_allows_nothing() {
    let required = [GateId::TargetBase, GateId::HostSandbox];
    let results = [(GateId::TargetBase, state(0))];
    assert!(!all_hold(&required, &results));
    let (passed, refused) = fold(&required, &results);
    assert_eq!((passed.len(), refused.len()), (1, 1));
    assert_eq!((refused[0].gate, refused[0].state), (GateId::HostSandbox, RefusalState::Missing));
    assert!(!all_hold(&[], &results));
}

#[test]
fn every_single_deviation_gives_a_decision_that_is_no_and_says_why() {
    for (gated, mode, risk) in every_demand() {
        let contract = contract(gated, mode, risk);
        let facts = facts(gated, &contract);
        let name = facts.named_engine.clone().unwrap();
        let required = required_gates(Demand::of(&contract, facts.engines.get(&name)));
        let all: Vec<_> = required.iter().map(|g| (*g, state(0))).collect();
        let yes = assemble(&contract, contract_digest(), &facts, name.clone(), &all);
        assert_eq!(yes.document().selected_backend.is_some(), mode.is_some(), "{gated} {mode:?} {risk}");
        assert_eq!(yes.document().allowed_mutation_mode, mode);
        for at in 0..required.len() {
            for n in 1..4 {
                let mut results = all.clone();
                results[at].1 = state(n);
                let no = assemble(&contract, contract_digest(), &facts, name.clone(), &results);
                let no = no.document();
                assert_eq!(no.selected_backend, None);
                assert_eq!(no.allowed_mutation_mode, None);
                assert_eq!(no.missing_gates.iter().map(|g| g.gate).collect::<Vec<_>>(), [required[at]]);
                assert_eq!(no.escalation_path, Escalation::Jp);
                assert!(!no.reasons.is_empty() && !no.denied_backends[0].reasons.is_empty());
            }
        }
    }
}

#[test]
fn every_pair_of_states_holds_only_where_both_passed() {
    for (gated, mode, risk) in every_demand() {
        let contract = contract(gated, mode, risk);
        let facts = facts(gated, &contract);
        let name = facts.named_engine.clone().unwrap();
        let q = question(&contract, contract_digest(), &facts, &name);
        let demand = Demand::of(&contract, q.engine);
        let required = required_gates(demand);
        let mut results: Vec<_> = required.iter().map(|g| (*g, state(0))).collect();
        for a in 0..required.len() {
            for b in a + 1..required.len() {
                for (m, n) in (0..4).flat_map(|m| (0..4).map(move |n| (m, n))) {
                    results[a].1 = state(m);
                    results[b].1 = state(n);
                    let granted = judge(&q, demand, &required, &results).is_some();
                    assert_eq!(
                        granted,
                        m == 0 && n == 0 && mode.is_some(),
                        "{gated} {mode:?} {risk} {a} {b}"
                    );
                }
                results[b].1 = state(0);
            }
            results[a].1 = state(0);
        }
    }
}

#[test]
fn every_spoiled_fact_is_refused_by_its_gate_and_only_where_it_is_required() {
    for (gated, mode, risk) in allowed() {
        let (contract, what) = (contract(gated, Some(mode), risk), format!("{gated} {mode} {risk}"));
        let facts = facts(gated, &contract);
        let good = decided(&contract, &facts);
        assert!(good.document().eligible(), "{what}: {:#?}", good.document().missing_gates);
        let required = &good.document().required_gates;
        for (n, (gate, state, spoil)) in spoils().into_iter().enumerate() {
            let (mut c, mut f) = (contract.clone(), facts.clone());
            spoil(&mut c, &mut f);
            let decision = decided(&c, &f);
            let row = decision.document().missing_gates.iter().find(|row| row.gate == gate);
            if required.contains(&gate) {
                assert_eq!(row.map(|row| row.state), Some(state), "{what} spoil {n} {gate}");
                assert!(!decision.document().eligible());
            }
        }
    }
}

#[test]
fn two_spoiled_facts_never_mend_each_other() {
    for (gated, mode, risk) in [
        (true, MutationMode::CandidateDefault, RiskClass::Critical),
        (false, MutationMode::SandboxRepo, RiskClass::Restricted),
    ] {
        let contract = contract(gated, Some(mode), risk);
        let facts = facts(gated, &contract);
        let all = spoils();
        for (a, (_, _, one)) in all.iter().enumerate() {
            let (mut c, mut f) = (contract.clone(), facts.clone());
            one(&mut c, &mut f);
            if decided(&c, &f).document().eligible() {
                continue;
            }
            for (b, (_, _, two)) in all.iter().enumerate() {
                let (mut c, mut f) = (c.clone(), f.clone());
                two(&mut c, &mut f);
                assert!(!decided(&c, &f).document().eligible(), "{gated} {mode} {risk}: {a}, then {b}");
            }
        }
    }
}

#[test]
fn the_required_set_only_grows_with_mode_risk_and_being_gated() {
    for (gated, mode, risk) in every_demand() {
        let set = |gated, mode, risk| {
            let contract = contract(gated, mode, risk);
            required_gates(Demand::of(&contract, Some(&engine(gated))))
        };
        let here = set(gated, mode, risk);
        let within = |wider: Vec<GateId>| here.iter().all(|g| wider.contains(g));
        assert!(within(set(true, mode, risk)) && within(set(gated, None, risk)));
        assert!(within(set(gated, mode, RiskClass::Critical)));
        assert!(within(set(gated, Some(MutationMode::CandidateDefault), risk)) || mode.is_none());
        let unknown = required_gates(Demand::of(&contract(gated, mode, risk), None));
        assert!(within(unknown), "an unknown engine is asked for everything");
    }
}

fn random_case() -> impl Strategy<Value = (usize, Vec<usize>, usize)> {
    let (combos, spoils) = (allowed().len(), spoils().len());
    (0..combos, prop::collection::vec(0..spoils, 0..5), 0..spoils)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_vectors_hold_only_when_every_gate_passed(states in prop::collection::vec(0..4_u8, GateId::ALL.len())) {
        let results: Vec<_> = GateId::ALL.iter().zip(&states).map(|(g, n)| (*g, state(*n))).collect();
        prop_assert_eq!(all_hold(GateId::ALL, &results), states.iter().all(|n| *n == 0));
        let (passed, refused) = fold(GateId::ALL, &results);
        prop_assert_eq!(passed.len() + refused.len(), GateId::ALL.len());
        prop_assert_eq!(passed.len(), results.iter().filter(|(_, r)| r.holds()).count());
    }

    #[test]
    fn nothing_refused_is_eligible_worse_never_allows_more_and_equal_facts_have_equal_ids(
        (combo, which, more) in random_case(),
    ) {
        let (gated, mode, risk) = allowed()[combo];
        let mut c = contract(gated, Some(mode), risk);
        let mut f = facts(gated, &c);
        let spoils = spoils();
        for n in which {
            spoils[n].2(&mut c, &mut f);
        }
        let (before, again) = (decided(&c, &f), decided(&c.clone(), &f.clone()));
        let before = before.document();
        prop_assert_eq!(before.decision_id, again.document().decision_id);
        let read: Facts = serde_json::from_str(&serde_json::to_string(&f).unwrap()).unwrap();
        let reread = decided(&c, &read);
        prop_assert_eq!(before, reread.document());
        prop_assert_eq!(before.eligible(), before.missing_gates.is_empty());
        if before.eligible() {
            prop_assert_eq!(before.required_gates.len(), before.passed_gates.len());
            prop_assert!(before.allowed_mutation_mode <= c.mutation_mode);
        }
        let name = before.candidate.clone();
        let refused = answers(&c, contract_digest(), &f, &name).iter().any(|(_, r)| !r.holds());
        prop_assert!(!(refused && before.eligible()));

        spoils[more].2(&mut c, &mut f);
        let after = decided(&c, &f);
        prop_assert!(after.document().allowed_mutation_mode <= before.allowed_mutation_mode);
        prop_assert!(before.eligible() || !after.document().eligible());
    }
}
