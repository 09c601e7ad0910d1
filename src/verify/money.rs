//! What model calls came to: the report's sums against the event log's, its caps against contract and decision.

use super::BundleContents;
use super::derive::Wrong;
use super::outcome::Check;
use super::programs::MARK;
use crate::eligibility::SpendFacts;
use crate::evidence::{CallSums, CountedSpend, Spend};
use crate::vocab::{MicroUsd, Reason};

/// Money and tokens.
pub(super) fn check(contents: &BundleContents, told: &CallSums) -> Check {
    let sections = &contents.report.sections;
    let usage = &sections.usage;
    let mut wrong = Wrong::default();
    if sections.engine.is_none() {
        // Broken off: what was counted up to there is in the log alone.
        return Check::ok("money", "no engine came to its end");
    }
    let tokens = (usage.input_tokens, usage.cached_input_tokens, usage.output_tokens);
    wrong.unless(
        tokens == (told.input_tokens, told.cached_input_tokens, told.output_tokens),
        "the report counts other tokens than the event log",
    );
    let last = usage.last_call.as_ref().map(|reason| reason.code.clone());
    wrong.unless(
        last == told.trouble.as_ref().map(|word| format!("provider.{word}")),
        "the report tells another end of the last model call than the event log",
    );
    let decided = contents.decision.as_ref().and_then(|decision| {
        let engine = decision.facts.engines.get(decision.selected_backend.as_ref()?)?;
        Some(&engine.spend)
    });
    match &sections.spend {
        Spend::Nothing => {
            wrong
                .unless(told.spend.reservations == 0, "the event log tells of money, and the report of none");
            let priced = matches!(decided, Some(SpendFacts::Priced(_)));
            wrong.unless(
                !priced,
                "the decision was about an engine that costs money, and the report counts none",
            );
        }
        Spend::Counted(spend) => counted(contents, spend, told, decided, &mut wrong),
    }
    wrong.check("money", "tokens and money are the event log's, and the caps those of contract and decision")
}

fn counted(
    contents: &BundleContents,
    spend: &CountedSpend,
    told: &CallSums,
    decided: Option<&SpendFacts>,
    wrong: &mut Wrong,
) {
    wrong.unless(spend.sums == told.spend, "the report counts other money than the event log");
    let same = |a: &Reason, b: &Reason| a.code == b.code && (a == b || a.sentence.contains(MARK));
    let refused = match (&spend.refused, &told.refused) {
        (None, None) => true,
        (Some(a), Some(b)) => same(a, b),
        _ => false,
    };
    wrong.unless(refused, "the report tells another refusal of money than the event log");
    if let Some(contract) = &contents.contract {
        let caps = contract.task().spend;
        wrong.unless(
            (spend.run_cap_micro_usd, spend.thread_cap_micro_usd)
                == (caps.run_micro_usd, caps.thread_micro_usd),
            "the caps of run and thread are not the contract's",
        );
    }
    if let Some(facts) = decided {
        let day = match facts {
            SpendFacts::Priced(facts) => Some(facts.day_cap_micro_usd),
            SpendFacts::Free
            | SpendFacts::UnpricedLoopback
            | SpendFacts::Unbounded
            | SpendFacts::NoEndpoint => None,
        };
        wrong.unless(day == Some(spend.day_cap_micro_usd), "the cap of the day is not the decision's");
    }
    // What a provider used beyond its reservation is told, and is the one way over a cap.
    let over = spend.sums.over_reservation_micro_usd;
    let most = spend.run_cap_micro_usd.plus(over);
    wrong.unless(spend.sums.total() <= most, "more was spent than the cap of the run");
    wrong.unless(
        over == MicroUsd::ZERO || contents.report.verdict != crate::vocab::Verdict::Pass,
        "a provider used more than was set aside, and the run passed",
    );
}
