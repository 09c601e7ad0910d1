//! What the price table and the spend ledger say of an engine's model, as facts.

use crate::broker::spend::{LedgerError, PricedModel, RESERVES, Statement};
use crate::contract::limits::day_cap;
use crate::eligibility::{Observed, PriceFacts, PricedFacts};
use crate::home::{EngineConfig, Home};
use crate::vocab::Timestamp;

use super::gather::Settings;

/// Looks up `model` and what was spent today. The ledger is read only here: engines that cost nothing need none.
pub(super) fn priced(
    home: &Home,
    settings: &Settings,
    engine: &EngineConfig,
    model: Option<&str>,
) -> PricedFacts {
    let row = engine.provider.as_deref().zip(model).and_then(|(p, m)| settings.prices.get(p, m));
    let known = || {
        let models: Vec<&str> = engine.provider.iter().flat_map(|p| settings.prices.models(p)).collect();
        if models.is_empty() {
            "the price table has no row of this provider".to_owned()
        } else {
            format!("the price table has {} of this provider", models.join(", "))
        }
    };
    let counted = Statement::read(home.state()).map(|ledger| ledger.counted_on(Timestamp::now().day()));
    PricedFacts {
        provider: engine.provider.clone(),
        price: row.map_or_else(|| Observed::Absent(known()), |row| Observed::Seen(price(row))),
        table: settings.prices_digest,
        day_cap_micro_usd: settings.config.spend.day_micro_usd.unwrap_or_else(day_cap),
        day_counted_micro_usd: counted.map_or_else(|error| Observed::Error(told(&error)), Observed::Seen),
        enforced: RESERVES,
    }
}

fn price(row: &PricedModel) -> PriceFacts {
    PriceFacts {
        input_micro_usd: row.rates.dearest_input(),
        output_micro_usd: row.rates.dearest_output(),
        least_micro_usd: row.least_cost(),
        source: format!("{} ({})", row.source, row.as_of),
    }
}

/// On one line.
fn told(error: &LedgerError) -> String {
    error.to_string().replace("\n  remedy: ", "; remedy: ")
}
