//! The gate over money: an engine that can spend runs only where something bounds it.

use super::gate::{GateResult, Question};
use super::{Observed, PriceFacts, PricedFacts, SpendFacts};
use crate::vocab::{MicroUsd, shown};

/// `spend.cap`
pub(super) fn cap(q: &Question<'_>) -> GateResult {
    let Some(engine) = q.engine else {
        return GateResult::missing(
            format!("nothing is known of what engine `{}` can spend", q.engine_id),
            "`cto engine list` shows the registered ones",
        );
    };
    let configure = format!("`[engines.{}]` in `config.toml`", q.engine_id);
    match &engine.spend {
        SpendFacts::Free => GateResult::passed("it cannot spend"),
        SpendFacts::UnpricedLoopback => {
            GateResult::passed("its endpoint is on loopback, declared `unpriced` by an operator")
        }
        SpendFacts::Unbounded => GateResult::missing(
            "the configured endpoint cannot be spoken to, so nothing caps what it spends",
            format!("correct `endpoint` under {configure}: `https://…`, or `http://` on loopback"),
        ),
        SpendFacts::NoEndpoint => GateResult::missing(
            "no model endpoint is configured, so nothing bounds what it spends",
            format!("name `endpoint` under {configure}; one on loopback may be declared `unpriced = true`"),
        ),
        SpendFacts::Priced(facts) => {
            let asked = q.contract.engine.as_ref().filter(|choice| choice.id == *q.engine_id);
            let model = asked.and_then(|choice| choice.model.as_deref()).or(engine.model.as_deref());
            priced(q, facts, model.unwrap_or(""), &configure)
        }
    }
}

/// Priced, capped, and something left; and the caps hold.
fn priced(q: &Question<'_>, facts: &PricedFacts, model: &str, configure: &str) -> GateResult {
    let Some(provider) = &facts.provider else {
        return GateResult::missing(
            "nobody says who is paid for the model, so it has no price",
            format!("name `provider` under {configure}, as it stands in the price table"),
        );
    };
    let (provider, model) = (shown(provider), shown(model));
    let price = match &facts.price {
        Observed::Seen(price) => price,
        Observed::Absent(what) => {
            return GateResult::missing(
                format!("model `{model}` of `{provider}` has no price: {what}"),
                format!(
                    "add a row [[price]] with provider = \"{provider}\" and model = \"{model}\" to `prices.toml` in the \
                     configuration folder"
                ),
            );
        }
        Observed::Error(how) => {
            return GateResult::errored(
                format!("the price of model `{model}` could not be looked up: {how}"),
                "correct `prices.toml` in the configuration folder",
            );
        }
    };
    let counted = match &facts.day_counted_micro_usd {
        Observed::Seen(counted) => *counted,
        Observed::Absent(what) => {
            return GateResult::missing(
                format!("nobody knows what was spent today: {what}"),
                "see that the state folder is yours; `cto spend` shows what was counted",
            );
        }
        Observed::Error(how) => {
            return GateResult::errored(
                format!("what was spent today could not be read: {how}"),
                "do what is said there; `cto spend` shows whether it reads",
            );
        }
    };
    left(q, facts, price, counted)
}

fn left(q: &Question<'_>, facts: &PricedFacts, price: &PriceFacts, counted: MicroUsd) -> GateResult {
    let (run, thread) = (q.contract.spend.run_micro_usd, q.contract.spend.thread_micro_usd);
    let day = facts.day_cap_micro_usd.left_after(counted);
    let least = price.least_micro_usd;
    for (name, left, remedy) in [
        ("cap of the run", run, "raise `limits.spend.run_usd` in the contract"),
        ("cap of the thread", thread, "raise `limits.spend.thread_usd` in the contract"),
        (
            "rest of today's cap",
            day,
            "wait for the next day (UTC), or raise `[spend] day_usd` in `config.toml`",
        ),
    ] {
        if left < least {
            let sentence =
                format!("the {name} is {left} dollars, and the smallest request could cost {least}");
            return GateResult::failed(sentence, remedy);
        }
    }
    GateResult::passed(format!(
        "at most {run} dollars for the run, {thread} for its thread, {day} for the rest of today; prices: {}",
        shown(&price.source)
    ))
}
