//! A built-in engine's program: covered by this build, checked, or refused; and the check itself, which is closed.
//! Documents: for runs that change nothing, by engines that can be asked for one.

use super::samples::*;
use crate::contract::{Output, OutputKind, TaskContract};
use crate::eligibility::*;
use crate::vocab::{Digest, MutationMode as Mode, RiskClass as Risk};

/// The proof of a gate, or state and reason of its refusal.
fn gate(contract: &TaskContract, facts: &Facts, gate: GateId) -> Result<String, (RefusalState, String)> {
    let decision = decided(contract, facts);
    let document = decision.document();
    if let Some(row) = document.missing_gates.iter().find(|row| row.gate == gate) {
        assert!(!row.remedy.is_empty(), "{}", row.reason);
        return Err((row.state, row.reason.clone()));
    }
    Ok(document.passed_gates.iter().find(|row| row.gate == gate).unwrap().proof.clone())
}

fn ordinary() -> (TaskContract, Facts) {
    let c = contract(false, Some(Mode::None), Risk::Safe);
    let f = facts(false, &c);
    (c, f)
}

/// Facts of a program that this build does not cover, with what a check of it showed.
fn unknown(conformance: Observed<ConformanceFacts>) -> (TaskContract, Facts) {
    let (c, mut f) = ordinary();
    let engine = f.engines.get_mut(&id(BUILT_IN)).unwrap();
    engine.covered = Some([Digest::of(b"another program")].into());
    engine.conformance = conformance;
    (c, f)
}

fn record(change: fn(&mut ConformanceFacts)) -> Observed<ConformanceFacts> {
    let mut record = ConformanceFacts {
        record: Digest::of(b"record"),
        adapter: Digest::of(b"adapter"),
        program: Digest::of(b"program"),
        evidence_interface: true,
        adapter_contract: true,
    };
    change(&mut record);
    Observed::Seen(record)
}

#[test]
fn a_program_is_covered_or_checked_or_does_not_run() {
    use RefusalState::{Errored, Failed, Missing};
    let of = |(c, f): (TaskContract, Facts)| gate(&c, &f, GateId::EngineProgram);
    assert!(of(ordinary()).unwrap().contains("covered by this build"));
    assert!(of(unknown(record(|_| ()))).unwrap().contains("passed the check"));
    for (conformance, state, part) in [
        (Observed::Absent("none".to_owned()), Missing, "not a program that was checked"),
        (Observed::Error("torn".to_owned()), Errored, "torn"),
        (record(|r| r.adapter = Digest::of(b"older")), Missing, "another adapter"),
        (record(|r| r.program = Digest::of(b"older")), Missing, "another adapter or program"),
        (record(|r| r.adapter_contract = false), Failed, "failed"),
        (record(|r| r.evidence_interface = false), Failed, "failed"),
    ] {
        let (found, why) = of(unknown(conformance)).unwrap_err();
        assert!(found == state && why.contains(part), "{found:?} {why}");
    }
    // A check that failed counts against a covered program, too.
    let (c, mut f) = ordinary();
    f.engines.get_mut(&id(BUILT_IN)).unwrap().conformance = record(|r| r.adapter_contract = false);
    assert_eq!(gate(&c, &f, GateId::EngineProgram).unwrap_err().0, Failed);
}

#[test]
fn a_check_starts_an_unknown_program_and_nothing_is_within_its_reach() {
    let checking = || {
        let (mut c, mut f) = unknown(Observed::Absent("none".to_owned()));
        f.checking = true;
        c.network_allow.clear();
        c.toolchains.clear();
        if let Observed::Seen(target) = &mut f.target {
            target.is_fixture = true;
        }
        f.engines.get_mut(&id(BUILT_IN)).unwrap().spend = SpendFacts::Free;
        (c, f)
    };
    let (c, mut f) = checking();
    assert!(gate(&c, &f, GateId::EngineProgram).unwrap().contains("about to be checked"));
    let request = |f: &Facts| decided(&c, f).document().request_digest;
    let with = request(&f);
    f.checking = false;
    assert_ne!(request(&f), with, "it is a bound fact");
    assert!(gate(&c, &f, GateId::EngineProgram).is_err(), "and without it there is no permit");

    let opened: [fn(&mut TaskContract, &mut Facts); 7] = [
        |c, _| c.mutation_mode = Some(Mode::CopiedFixture),
        |c, _| c.risk_class = Risk::Restricted,
        |c, _| c.network_allow.push("a.example:443".to_owned()),
        |c, _| c.permissions = [crate::contract::Permission::Commit].into(),
        |c, _| c.toolchains.push("rust".to_owned()),
        |_, f| {
            if let Observed::Seen(target) = &mut f.target {
                target.is_fixture = false;
            }
        },
        |_, f| f.engines.get_mut(&id(BUILT_IN)).unwrap().spend = SpendFacts::UnpricedLoopback,
    ];
    for (index, open) in opened.into_iter().enumerate() {
        let (mut c, mut f) = checking();
        open(&mut c, &mut f);
        assert!(gate(&c, &f, GateId::EngineProgram).is_err(), "{index}");
    }
}

#[test]
fn a_document_is_for_mode_none_and_for_engines_that_give_one() {
    let (mut c, mut f) = ordinary();
    c.output = Some(Output { kind: OutputKind::Review });
    assert!(gate(&c, &f, GateId::ContractSupported).is_ok());
    for mode in [None, Some(Mode::CopiedFixture), Some(Mode::CandidateDefault)] {
        let wider = TaskContract { mutation_mode: mode, ..c.clone() };
        let (state, why) = gate(&wider, &f, GateId::ContractSupported).unwrap_err();
        assert!(state == RefusalState::Missing && why.contains("is for mode `none`"), "{why}");
    }
    f.engines.get_mut(&id(BUILT_IN)).unwrap().documents = false;
    let (state, why) = gate(&c, &f, GateId::ContractSupported).unwrap_err();
    assert!(state == RefusalState::Missing && why.contains("cannot be asked for a document"), "{why}");
}

#[test]
fn only_the_check_of_a_gated_engine_asks_for_what_it_will_put_on_record() {
    let gates = [GateId::EngineEvidenceInterface, GateId::EngineAdapterContract];
    let closed = || {
        let mut c = contract(true, Some(Mode::None), Risk::Safe);
        c.network_allow.clear();
        c.toolchains.clear();
        c.inputs.clear();
        c.permissions.clear();
        c.verification_commands.clear();
        let mut f = facts(true, &c);
        if let Observed::Seen(target) = &mut f.target {
            target.is_fixture = true;
        }
        let engine = f.engines.get_mut(&id(GATED)).unwrap();
        engine.spend = SpendFacts::Free;
        engine.conformance = Observed::Absent("none".to_owned());
        (f.checking, f.proving) = (true, true);
        (c, f)
    };
    let (c, f) = closed();
    assert!(gates.iter().all(|which| gate(&c, &f, *which).unwrap().contains("about to be asked")));
    // One of the two words alone, or something within reach, and the record is wanted as ever.
    let spoil: [fn(&mut TaskContract, &mut Facts); 4] = [
        |_, f| f.checking = false,
        |_, f| f.proving = false,
        |c, _| c.mutation_mode = Some(Mode::CopiedFixture),
        |_, f| f.engines.get_mut(&id(GATED)).unwrap().spend = SpendFacts::NoEndpoint,
    ];
    for (number, spoil) in spoil.iter().enumerate() {
        let (mut c, mut f) = closed();
        spoil(&mut c, &mut f);
        for which in gates {
            assert_eq!(gate(&c, &f, which).unwrap_err().0, RefusalState::Missing, "{number}");
        }
    }
}
