//! The gate over money: an engine that can spend runs only where something bounds it.

use super::SpendFacts;
use super::gate::{GateResult, Question};

/// `spend.cap`
pub(super) fn cap(q: &Question<'_>) -> GateResult {
    let Some(engine) = q.engine else {
        return GateResult::missing(
            format!("nothing is known of what engine `{}` can spend", q.engine_id),
            "`cto engine list` shows the registered ones",
        );
    };
    let configure = format!("`[engines.{}]` in `config.toml`", q.engine_id);
    match engine.spend {
        SpendFacts::Free => GateResult::passed("it cannot spend"),
        SpendFacts::UnpricedLoopback => {
            GateResult::passed("its endpoint is on loopback, declared `unpriced` by an operator")
        }
        SpendFacts::Unbounded => GateResult::missing(
            "not supported: nothing in this version caps what this engine spends",
            format!("configure a loopback endpoint with `unpriced = true` under {configure}"),
        ),
        SpendFacts::NoEndpoint => GateResult::missing(
            "no model endpoint is configured, so nothing bounds what it spends",
            format!("name `endpoint` under {configure}; one on loopback may be declared `unpriced = true`"),
        ),
    }
}
