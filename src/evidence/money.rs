//! What model calls came to: sums over the broker's events, by one function for whoever runs and whoever verifies.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::event::EventKind;
use crate::vocab::{MicroUsd, Reason};

/// The keys of an event's data that sums are made of.
pub const MONEY_KEYS: &[&str] = &[
    "amount_micro_usd",
    "cached_input_tokens",
    "code",
    "cost_micro_usd",
    "input_tokens",
    "output_tokens",
    "over_reservation_micro_usd",
    "reason",
    "remedy",
    "reserved_micro_usd",
    "stage",
    "trouble",
];

/// Tokens and calls.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    /// Input tokens by the engine's word.
    pub claimed_input_tokens: Option<u64>,
    /// Output tokens by the engine's word.
    pub claimed_output_tokens: Option<u64>,
    /// Input tokens as the broker read them in the provider's answers, cached ones included.
    pub input_tokens: u64,
    /// Those of them that the provider had cached.
    pub cached_input_tokens: u64,
    /// Output tokens as the broker read them.
    pub output_tokens: u64,
    /// Model calls that the broker forwarded. One that was on record and about to go out when the harness died counts.
    pub forwarded_calls: u64,
    /// Requests that the broker refused.
    pub refused_calls: u64,
    /// What went wrong with the last model call, where something did.
    pub last_call: Option<Reason>,
}

/// What a run cost.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Spend {
    /// Nothing could be spent: the engine costs nothing, or its endpoint is declared `unpriced`, or it never started.
    #[default]
    Nothing,
    /// Money was set aside before each call and settled after it.
    Counted(Box<CountedSpend>),
}

/// What was set aside and spent, micro-dollars.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CountedSpend {
    /// Who is paid.
    pub provider: String,
    /// For which model.
    pub model: String,
    /// The cap of the run.
    pub run_cap_micro_usd: MicroUsd,
    /// The cap of its thread, over all runs.
    pub thread_cap_micro_usd: MicroUsd,
    /// The cap of the day, over all runs.
    pub day_cap_micro_usd: MicroUsd,
    /// The sums.
    pub sums: SpendSums,
    /// Why a call was refused, the first time; the run's end.
    pub refused: Option<Reason>,
}

/// Sums of money, micro-dollars.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SpendSums {
    /// Calls for which money was set aside.
    pub reservations: u64,
    /// What was set aside, over all of them, each at its worst.
    pub reserved_micro_usd: MicroUsd,
    /// What the settled ones cost by the provider's usage.
    pub settled_micro_usd: MicroUsd,
    /// What stays set aside because nobody knows what was used.
    pub unsettled_micro_usd: MicroUsd,
    /// By how much providers used more than was set aside; it is in `settled` as well.
    pub over_reservation_micro_usd: MicroUsd,
}

impl SpendSums {
    /// All that counts against a cap.
    #[must_use]
    pub const fn total(&self) -> MicroUsd {
        self.settled_micro_usd.plus(self.unsettled_micro_usd)
    }
}

/// What model calls came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallSums {
    /// Money.
    pub spend: SpendSums,
    /// Tokens, as in [`Usage`].
    pub input_tokens: u64,
    /// As in [`Usage`].
    pub cached_input_tokens: u64,
    /// As in [`Usage`].
    pub output_tokens: u64,
    /// What went wrong with the call that ended last, in the broker's one word.
    pub trouble: Option<String>,
    /// Why money was not set aside, the first time.
    pub refused: Option<Reason>,
}

impl CallSums {
    /// Takes the next event of the broker; others say nothing here.
    pub fn take(&mut self, kind: EventKind, data: &Value) {
        let number = |name: &str| data.get(name).and_then(Value::as_u64);
        let money = |name: &str| MicroUsd::new(number(name).unwrap_or(0));
        let text = |name: &str| data.get(name).and_then(Value::as_str);
        match kind {
            EventKind::SpendReserved => {
                let spend = &mut self.spend;
                spend.reservations = spend.reservations.saturating_add(1);
                spend.reserved_micro_usd = spend.reserved_micro_usd.plus(money("amount_micro_usd"));
                spend.unsettled_micro_usd = spend.unsettled_micro_usd.plus(money("amount_micro_usd"));
            }
            EventKind::SpendSettled if number("cost_micro_usd").is_some() => {
                let spend = &mut self.spend;
                spend.unsettled_micro_usd = spend.unsettled_micro_usd.left_after(money("reserved_micro_usd"));
                spend.settled_micro_usd = spend.settled_micro_usd.plus(money("cost_micro_usd"));
                spend.over_reservation_micro_usd =
                    spend.over_reservation_micro_usd.plus(money("over_reservation_micro_usd"));
            }
            EventKind::EgressAllowed if text("stage") == Some("answer") => {
                let add = |sum: &mut u64, name: &str| *sum = sum.saturating_add(number(name).unwrap_or(0));
                add(&mut self.input_tokens, "input_tokens");
                add(&mut self.cached_input_tokens, "cached_input_tokens");
                add(&mut self.output_tokens, "output_tokens");
                self.trouble = text("trouble").map(str::to_owned);
            }
            EventKind::EgressDenied => {
                let code = text("code").filter(|code| code.starts_with("spend."));
                if let (Some(code), None) = (code, &self.refused) {
                    let (sentence, remedy) = (text("reason").unwrap_or(""), text("remedy").unwrap_or(""));
                    self.refused = Some(Reason::observed(code, sentence, remedy));
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_settled_stays_set_aside() {
        let mut sums = CallSums::default();
        let reserved = |amount: u64| json!({"amount_micro_usd": amount});
        sums.take(EventKind::SpendReserved, &reserved(100));
        sums.take(EventKind::SpendReserved, &reserved(50));
        sums.take(EventKind::SpendReserved, &reserved(7));
        sums.take(
            EventKind::SpendSettled,
            &json!({"reserved_micro_usd": 100, "cost_micro_usd": 120, "over_reservation_micro_usd": 20}),
        );
        sums.take(
            EventKind::SpendSettled,
            &json!({"reserved_micro_usd": 50, "cost_micro_usd": null, "unsettled": "x"}),
        );
        sums.take(EventKind::SpendSettled, &json!({"reserved_micro_usd": 7, "cost_micro_usd": 0}));
        let spend = sums.spend;
        assert_eq!((spend.reservations, spend.reserved_micro_usd.micros()), (3, 157));
        assert_eq!((spend.settled_micro_usd.micros(), spend.unsettled_micro_usd.micros()), (120, 50));
        assert_eq!((spend.over_reservation_micro_usd.micros(), spend.total().micros()), (20, 170));
    }

    #[test]
    fn the_last_call_and_the_first_refusal_count() {
        let mut sums = CallSums::default();
        let answer = |trouble: Value| json!({"stage": "answer", "trouble": trouble, "input_tokens": 5});
        sums.take(EventKind::EgressAllowed, &answer(json!("quota")));
        assert_eq!(sums.trouble.as_deref(), Some("quota"));
        sums.take(EventKind::EgressAllowed, &answer(Value::Null));
        sums.take(EventKind::EgressAllowed, &json!({"stage": "request", "trouble": "quota"}));
        assert_eq!((sums.trouble.clone(), sums.input_tokens), (None, 10));
        sums.take(EventKind::EgressDenied, &json!({"code": "egress.route", "reason": "r"}));
        assert_eq!(sums.refused, None);
        for code in ["spend.cap.run", "spend.cap.day"] {
            sums.take(EventKind::EgressDenied, &json!({"code": code, "reason": "r", "remedy": "w"}));
        }
        assert_eq!(sums.refused.map(|reason| reason.code).as_deref(), Some("spend.cap.run"));
    }
}
