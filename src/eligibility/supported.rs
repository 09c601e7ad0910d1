//! The gate that keeps silence from being consent: what this version cannot carry out is never ignored.
//!
//! It reads the list that sealing made, and adds what only the facts can tell: limits above their ceiling, destinations
//! that no operator allows, toolchains and inputs that are not there, a script or a model for an engine that takes
//! none.

use std::collections::BTreeSet;

use super::Observed;
use super::gate::{GateResult, Question};
use crate::contract::TaskContract;
use crate::contract::limits::rows;
use crate::vocab::{Limits, MutationMode, SpendCaps};

/// The engines that ask before each command and each patch.
const ASKS: [&str; 1] = ["codex"];

/// The names under which [`super::Facts::provisions`] holds what the contract names: `toolchain:<name>`, and
/// `input:<path in the tree>`.
#[must_use]
pub fn provision_names(contract: &TaskContract) -> BTreeSet<String> {
    let toolchains = contract.toolchains.iter().map(|name| format!("toolchain:{name}"));
    toolchains.chain(contract.inputs.iter().map(|input| format!("input:{}", input.to))).collect()
}

/// `contract.supported`
pub(super) fn supported(q: &Question<'_>) -> GateResult {
    if let Some(over) = over_ceiling(&q.contract.limits, &q.facts.ceilings) {
        return GateResult::failed(
            over,
            "ask for less, or have an operator raise the ceiling in the configuration",
        );
    }
    if let Some(over) = over_spend_ceiling(q.contract.spend, q.facts.spend_ceilings) {
        return GateResult::failed(
            over,
            "ask for less, or have an operator raise the ceiling (`[spend]` in `config.toml`)",
        );
    }
    if let Some(zero) =
        pairs(&q.contract.limits, &q.contract.limits).into_iter().find(|(_, value, _)| *value == 0)
    {
        return GateResult::failed(format!("limit `{}` is zero", zero.0), "every limit is at least 1");
    }
    if q.contract.script.is_some() && q.engine_id.as_str() != "fixture" {
        return GateResult::failed(
            format!("`script` is for the engine `fixture`, and the engine is `{}`", q.engine_id),
            "take `script` out of the contract, or name the engine `fixture`",
        );
    }
    if q.facts.learning && q.contract.mutation_mode != Some(MutationMode::CopiedFixture) {
        let mode = q.contract.mutation_mode.map_or("none given", MutationMode::as_str);
        return GateResult::missing(
            format!("not supported: learning is for mode `copied-fixture`, and the mode is `{mode}`"),
            "learn on a fixture in mode `copied-fixture`, or by hand: `cto sandbox --learn --workspace DIR -- CMD`",
        );
    }
    if !q.contract.ask_first.is_empty() && !ASKS.contains(&q.engine_id.as_str()) {
        return GateResult::missing(
            format!(
                "not supported: `ask_first`, because the engine `{}` does not ask before it acts",
                q.engine_id
            ),
            format!("name an engine that asks ({}), or forbid the actions instead", ASKS.join(", ")),
        );
    }
    if let Some(refused) = output(q) {
        return refused;
    }
    let unsupported = unsupported(q);
    if !unsupported.is_empty() {
        let list = unsupported.into_iter().collect::<Vec<_>>().join(", ");
        return GateResult::missing(
            format!("not supported: {list}"),
            "take these out of the contract: this version cannot enforce or carry them out",
        );
    }
    if let Some(closed) = q.contract.network_allow.iter().find(|to| !q.facts.network_allow.contains(*to)) {
        return GateResult::missing(
            format!("`network.allow` names `{closed}`, which the configuration does not allow"),
            "take it out of the contract, or have an operator add it to `allow` of `[network]` in config.toml",
        );
    }
    provisions(q).unwrap_or_else(|| GateResult::passed("this version carries out everything that is asked"))
}

/// A document is all that leaves a run which can change nothing, by an engine that can be asked for one.
fn output(q: &Question<'_>) -> Option<GateResult> {
    let kind = q.contract.output?.kind.as_str();
    if q.contract.mutation_mode != Some(MutationMode::None) {
        let mode = q.contract.mutation_mode.map_or("none given", MutationMode::as_str);
        return Some(GateResult::missing(
            format!(
                "not supported: a document (`output`, `{kind}`) is for mode `none`, and the mode is `{mode}`"
            ),
            "write `mutation_mode = \"none\"`, or take `output` out of the contract",
        ));
    }
    (!q.engine.is_some_and(|engine| engine.documents)).then(|| {
        GateResult::missing(
            format!(
                "not supported: engine `{}` cannot be asked for a document (`output`, `{kind}`)",
                q.engine_id
            ),
            "name an engine that can, or take `output` out of the contract",
        )
    })
}

fn unsupported(q: &Question<'_>) -> BTreeSet<String> {
    let mut fields = q.contract.unsupported.clone();
    let model_asked = q.contract.engine.as_ref().is_some_and(|e| &e.id == q.engine_id && e.model.is_some());
    if model_asked && q.engine.is_some_and(|e| e.model.is_none() && e.spend == super::SpendFacts::Free) {
        fields.insert("engine.model".to_owned());
    }
    fields
}

fn provisions(q: &Question<'_>) -> Option<GateResult> {
    provision_names(q.contract).into_iter().find_map(|name| match q.facts.provisions.get(&name) {
        Some(Observed::Seen(_)) => None,
        Some(Observed::Absent(what)) => Some(GateResult::missing(
            format!("{name} is not there: {what}"),
            "install it or name another; `cto doctor` lists the toolchains that it finds",
        )),
        Some(Observed::Error(how)) => Some(GateResult::errored(
            format!("{name} could not be looked at: {how}"),
            "make it readable, or take it out of the contract",
        )),
        None => Some(GateResult::missing(format!("nobody looked at {name}"), "gather the facts again")),
    })
}

fn over_ceiling(asked: &Limits, ceilings: &Limits) -> Option<String> {
    let (name, value, ceiling) = pairs(asked, ceilings).into_iter().find(|(_, value, most)| value > most)?;
    Some(format!("limit `{name}` is {value}, and its ceiling is {ceiling}"))
}

fn over_spend_ceiling(asked: SpendCaps, most: SpendCaps) -> Option<String> {
    let rows = [
        ("spend.run_usd", asked.run_micro_usd, most.run_micro_usd),
        ("spend.thread_usd", asked.thread_micro_usd, most.thread_micro_usd),
    ];
    let (name, cap, ceiling) = rows.into_iter().find(|(_, cap, ceiling)| cap > ceiling)?;
    Some(format!("limit `{name}` is {cap}, and its ceiling is {ceiling}"))
}

fn pairs(asked: &Limits, most: &Limits) -> Vec<(&'static str, u64, u64)> {
    let (mut asked, mut most) = (asked.clone(), most.clone());
    let both = rows(&mut asked).into_iter().zip(rows(&mut most));
    both.map(|((name, value), (_, most))| (name, *value, *most)).collect()
}
