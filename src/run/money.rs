//! Money: what the price table and the spend ledger say of an engine's model, and the purse that a run pays from.

use crate::broker::Purse;
use crate::broker::spend::{Book, Caps, Ledger, LedgerError, PricedModel, Statement};
use crate::contract::limits::day_cap;
use crate::eligibility::{ExecutionPermit, Observed, PriceFacts, PricedFacts, SpendFacts};
use crate::home::{EngineConfig, Home};
use crate::vocab::{ThreadId, Timestamp};

use super::cutoff::CutOff;
use super::execute::Tools;
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
    }
}

/// What a run's model calls are paid from, by what was decided on; `None` where they cost nothing.
pub(super) fn purse(
    permit: &ExecutionPermit,
    tools: &Tools<'_>,
    model: &str,
) -> Result<Option<Purse>, CutOff> {
    let remedy = "See `cto spend`, and `prices.toml` and `[engines]` in the configuration; then run again.";
    let facts = match tools.scene.facts.engines.get(permit.engine()).map(|engine| &engine.spend) {
        Some(SpendFacts::Priced(facts)) => facts,
        Some(SpendFacts::UnpricedLoopback | SpendFacts::Free) => return Ok(None),
        Some(SpendFacts::Unbounded | SpendFacts::NoEndpoint) | None => {
            return Err(CutOff::at("spend", "Nothing bounds what the engine spends.", remedy));
        }
    };
    let settings = &tools.scene.settings;
    let row = facts.provider.as_deref().and_then(|provider| settings.prices.get(provider, model));
    let row = row.ok_or_else(|| CutOff::at("spend", "The model has no price any more.", remedy))?;
    let book = Book::open(tools.home.state(), Timestamp::now);
    let ledger = book.and_then(Ledger::keep).map_err(|error| CutOff::at("spend", told(&error), remedy))?;
    let caps = tools.scene.asked.contract.task().spend;
    Ok(Some(Purse {
        ledger,
        run: tools.scene.run_id.clone(),
        // A run opens its thread; whoever goes on with the run goes on with the thread.
        thread: ThreadId::from(&tools.scene.run_id),
        caps: Caps { run: caps.run_micro_usd, thread: caps.thread_micro_usd, day: facts.day_cap_micro_usd },
        model: row.clone(),
    }))
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
