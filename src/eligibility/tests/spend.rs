//! The gate over money: a provider, a price, caps with something left, a ledger that reads, and a broker that asks it.

use super::samples::*;
use crate::eligibility::*;
use crate::vocab::{Digest, MicroUsd, MutationMode as Mode, RiskClass as Risk};

/// Facts for which the gate passes, in a version whose broker reserves.
fn priced() -> PricedFacts {
    PricedFacts {
        provider: Some("p".to_owned()),
        price: Observed::Seen(PriceFacts {
            input_micro_usd: MicroUsd::new(10_000_000),
            output_micro_usd: MicroUsd::new(45_000_000),
            least_micro_usd: MicroUsd::new(46_080),
            source: "a letter".to_owned(),
        }),
        table: Digest::of(b"table"),
        day_cap_micro_usd: MicroUsd::new(50_000_000),
        day_counted_micro_usd: Observed::Seen(MicroUsd::new(1_000_000)),
    }
}

/// State, reason and remedy of the refusal, if it is one; the proof, if not.
fn judged(
    run: u64,
    thread: u64,
    change: fn(&mut PricedFacts),
) -> Result<String, (RefusalState, String, String)> {
    let mut c = contract(false, Some(Mode::None), Risk::Safe);
    (c.spend.run_micro_usd, c.spend.thread_micro_usd) = (MicroUsd::new(run), MicroUsd::new(thread));
    let (mut f, mut facts_of_spend) = (facts(false, &c), priced());
    change(&mut facts_of_spend);
    f.engines.get_mut(&id(BUILT_IN)).unwrap().spend = SpendFacts::Priced(facts_of_spend);
    let decision = decided(&c, &f);
    let document = decision.document();
    if let Some(row) = document.missing_gates.iter().find(|row| row.gate == GateId::SpendCap) {
        return Err((row.state, row.reason.clone(), row.remedy.clone()));
    }
    let passed = document.passed_gates.iter().find(|row| row.gate == GateId::SpendCap);
    Ok(passed.unwrap().proof.clone())
}

/// Caps of run and thread, what is another in the facts, and the refusal: its state, parts of reason and remedy.
type Case = (u64, u64, fn(&mut PricedFacts), RefusalState, &'static str, &'static str);

#[test]
fn a_model_is_priced_capped_and_has_something_left_or_does_not_run() {
    use RefusalState::{Errored, Failed, Missing};
    const MUCH: u64 = 5_000_000;
    let proof = judged(MUCH, 2 * MUCH, |_| ()).unwrap();
    assert!(proof.contains("5.00 dollars for the run") && proof.contains("49.00"), "{proof}");
    assert!(
        judged(46_080, 46_080, |f| f.day_counted_micro_usd = Observed::Seen(MicroUsd::new(49_953_920)))
            .is_ok()
    );
    let cases: [Case; 9] = [
        (MUCH, MUCH, |f| f.provider = None, Missing, "who is paid", "`provider`"),
        (MUCH, MUCH, |f| f.price = Observed::Absent("no row".into()), Missing, "no row", "model = \"m-1\""),
        (MUCH, MUCH, |f| f.price = Observed::Error("torn".into()), Errored, "torn", "prices.toml"),
        (
            MUCH,
            MUCH,
            |f| f.day_counted_micro_usd = Observed::Error("line 3".into()),
            Errored,
            "line 3",
            "cto spend",
        ),
        (
            MUCH,
            MUCH,
            |f| f.day_counted_micro_usd = Observed::Absent("gone".into()),
            Missing,
            "gone",
            "cto spend",
        ),
        (46_079, MUCH, |_| (), Failed, "cap of the run is 0.046079", "limits.spend.run_usd"),
        (MUCH, 0, |_| (), Failed, "cap of the thread is 0.00", "limits.spend.thread_usd"),
        (
            MUCH,
            MUCH,
            |f| f.day_counted_micro_usd = Observed::Seen(MicroUsd::new(49_953_921)),
            Failed,
            "rest of today's cap is 0.046079",
            "day_usd",
        ),
        (MUCH, MUCH, |f| f.day_cap_micro_usd = MicroUsd::ZERO, Failed, "today's cap is 0.00", "day_usd"),
    ];
    for (run, thread, change, state, reason, remedy) in cases {
        let (found, why, way_out) = judged(run, thread, change).unwrap_err();
        assert_eq!(found, state, "{why}");
        assert!(why.contains(reason) && way_out.contains(remedy), "{reason}: {why} {way_out}");
    }
}
