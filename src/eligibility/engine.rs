//! The gates over the engine: known, its program there, and, where it must prove itself, proven.

use super::gate::{GateResult, Question};
use super::{ConformanceFacts, EngineFacts, Observed, ProgramFacts, ProofFacts, SpendFacts};
use crate::vocab::{EngineId, MutationMode, RiskClass, Stage};

fn known<'a>(q: &Question<'a>) -> Result<&'a EngineFacts, GateResult> {
    q.engine.ok_or_else(|| {
        GateResult::missing(
            format!("nothing is known of engine `{}`", q.engine_id),
            "`cto engine list` shows the registered ones",
        )
    })
}

/// `engine.registered`
pub(super) fn registered(q: &Question<'_>) -> GateResult {
    let in_contract = q.contract.engine.as_ref().map(|choice| &choice.id);
    if let (Some(asked), Some(named)) = (in_contract, q.facts.named_engine.as_ref())
        && asked != named
    {
        return GateResult::failed(
            format!("the contract names engine `{asked}`, and the caller names `{named}`"),
            "name the same engine in both, or leave one of them out",
        );
    }
    if let Some(other) = in_contract.or(q.facts.named_engine.as_ref()).filter(|other| *other != q.engine_id) {
        return GateResult::failed(format!("engine `{other}` is asked for, not `{}`", q.engine_id), "");
    }
    if q.engine_id.as_str() == "none" {
        return GateResult::failed("`none` is not an engine's name", "give the engine another name");
    }
    match q.engine {
        Some(engine) => GateResult::passed(format!("adapter and manifest are {}", engine.adapter)),
        None => GateResult::failed(
            format!("engine `{}` is not registered", q.engine_id),
            format!("registered are: {}", names(q)),
        ),
    }
}

fn names(q: &Question<'_>) -> String {
    q.facts.engines.keys().map(EngineId::as_str).collect::<Vec<_>>().join(", ")
}

fn program_facts(engine: &EngineFacts) -> Result<&ProgramFacts, GateResult> {
    match &engine.program {
        Observed::Seen(program) => Ok(program),
        Observed::Absent(what) => Err(GateResult::missing(
            format!("the engine's program is not there: {what}"),
            "install it, or name its path in `config.toml` under `[engines.<id>] program`",
        )),
        Observed::Error(how) => Err(GateResult::errored(
            format!("the engine's program could not be looked at: {how}"),
            "name the native program itself in `config.toml`, readable for this account",
        )),
    }
}

/// `engine.program`
pub(super) fn program(q: &Question<'_>) -> GateResult {
    let engine = match known(q) {
        Ok(engine) => engine,
        Err(result) => return result,
    };
    if engine.gated {
        return admitted(q, engine);
    }
    program_facts(engine).map_or_else(|result| result, |program| built_in(q, engine, program))
}

/// The program of a gated engine is the admitted one; without an admission it does not matter what lies there.
fn admitted(q: &Question<'_>, engine: &EngineFacts) -> GateResult {
    let remedy = format!("have it admitted: `cto engine admit {}`", q.engine_id);
    let admission = match &engine.admission {
        Observed::Seen(admission) => admission,
        Observed::Absent(what) => {
            return GateResult::missing(format!("no program of this engine is admitted: {what}"), remedy);
        }
        Observed::Error(how) => {
            return GateResult::errored(format!("the admission does not hold: {how}"), remedy);
        }
    };
    match program_facts(engine) {
        Ok(program) if admission.program == program.digest => {
            GateResult::passed(format!("{} is the admitted one", program.digest))
        }
        Ok(program) => GateResult::failed(
            format!("the program is {}, and admitted is {}", program.digest, admission.program),
            remedy,
        ),
        Err(result) => result,
    }
}

/// A program of a built-in engine: built with the harness, covered by its suite, or checked on this machine. A check
/// may start what nothing is known of; it is closed, and this is where that is made sure of.
fn built_in(q: &Question<'_>, engine: &EngineFacts, program: &ProgramFacts) -> GateResult {
    let Some(covered) = &engine.covered else {
        return GateResult::passed(format!("recorded as {}", program.digest));
    };
    if q.facts.checking {
        return checked_now(q, program);
    }
    let remedy = format!("let it show that the adapter understands it: `cto engine check {}`", q.engine_id);
    match &engine.conformance {
        Observed::Seen(record) if record.adapter != engine.adapter || record.program != program.digest => {
            GateResult::missing("the check on record is of another adapter or program", remedy)
        }
        Observed::Seen(record) if !(record.evidence_interface && record.adapter_contract) => {
            GateResult::failed(
                format!("the check on record of {} failed", program.digest),
                format!(
                    "see `conformance.json` in its bundle; then check again: `cto engine check {}`",
                    q.engine_id
                ),
            )
        }
        Observed::Seen(record) => GateResult::passed(format!(
            "{} passed the check that is recorded in {}",
            program.digest, record.record
        )),
        Observed::Error(how) => {
            GateResult::errored(format!("the conformance record does not count: {how}"), remedy)
        }
        Observed::Absent(_) if covered.contains(&program.digest) => {
            GateResult::passed(format!("{} is covered by this build's own suite", program.digest))
        }
        Observed::Absent(_) => {
            GateResult::missing(format!("{} is not a program that was checked", program.digest), remedy)
        }
    }
}

/// Nothing of anybody's is within reach of a check.
fn checked_now(q: &Question<'_>, program: &ProgramFacts) -> GateResult {
    if reaches_nothing(q) {
        GateResult::passed(format!(
            "{} is about to be checked, where nothing is within its reach",
            program.digest
        ))
    } else {
        GateResult::failed("a check reaches nothing but its own tree and its scripted model", "use `cto run`")
    }
}

/// Whether the contract is closed: mode `none` on a fixture, no money, no network, no permission, nothing handed in.
pub(super) fn reaches_nothing(q: &Question<'_>) -> bool {
    let contract = q.contract;
    contract.mutation_mode == Some(MutationMode::None)
        && contract.risk_class == RiskClass::Safe
        && matches!(&q.facts.target, Observed::Seen(target) if target.is_fixture)
        && q.engine.is_some_and(|engine| engine.spend == SpendFacts::Free)
        && contract.network_allow.is_empty()
        && contract.permissions.is_empty()
        && contract.toolchains.is_empty()
        && contract.inputs.is_empty()
        && contract.verification_commands.is_empty()
}

/// `engine.enabled`
pub(super) fn enabled(q: &Question<'_>) -> GateResult {
    let engine = match known(q) {
        Ok(engine) => engine,
        Err(result) => return result,
    };
    if let Some(how) = &engine.enabling_problem {
        return GateResult::errored(
            format!("the enabling on record does not count: {how}"),
            format!("an operator enables it again: `cto engine enable {}`", q.engine_id),
        );
    }
    if !engine.enabled {
        return GateResult::failed(
            format!("no operator enabled engine `{}`", q.engine_id),
            format!("an operator does: `cto engine enable {}`", q.engine_id),
        );
    }
    let by_contract = q.contract.engine.as_ref().is_some_and(|choice| &choice.id == q.engine_id);
    let by_caller = q.facts.named_engine.as_ref() == Some(q.engine_id);
    match (by_contract, by_caller) {
        (true, true) => GateResult::passed("enabled by an operator, named by contract and caller"),
        (false, _) => GateResult::missing(
            "an engine that must prove itself is only used where the contract names it",
            format!("write `engine = \"{}\"` into the contract", q.engine_id),
        ),
        (true, false) => GateResult::missing(
            "an engine that must prove itself is only used where the caller names it too",
            format!("add `--engine {}`", q.engine_id),
        ),
    }
}

/// `engine.evidence-interface`
pub(super) fn evidence_interface(q: &Question<'_>) -> GateResult {
    conforms(q, "evidence interface", |record| record.evidence_interface)
}

/// `engine.adapter-contract`
pub(super) fn adapter_contract(q: &Question<'_>) -> GateResult {
    conforms(q, "adapter contract", |record| record.adapter_contract)
}

fn conforms(q: &Question<'_>, what: &str, shown: fn(&ConformanceFacts) -> bool) -> GateResult {
    let engine = match known(q) {
        Ok(engine) => engine,
        Err(result) => return result,
    };
    let remedy = format!("exercise it as it stands: `cto engine check {}`", q.engine_id);
    if q.facts.checking && q.facts.proving && reaches_nothing(q) {
        return GateResult::passed(format!(
            "the {what} is about to be asked for, with nothing that is started"
        ));
    }
    let record = match &engine.conformance {
        Observed::Seen(record) => record,
        Observed::Absent(why) => {
            return GateResult::missing(format!("no conformance of the {what} is recorded: {why}"), remedy);
        }
        Observed::Error(how) => {
            return GateResult::errored(format!("the conformance record does not count: {how}"), remedy);
        }
    };
    let program = match program_facts(engine) {
        Ok(program) => program,
        Err(result) => return result,
    };
    if record.adapter != engine.adapter || record.program != program.digest {
        return GateResult::missing(
            format!("the {what} was recorded for another adapter or program"),
            remedy,
        );
    }
    if shown(record) {
        GateResult::passed(format!("recorded for exactly these digests in {}", record.record))
    } else {
        GateResult::failed(format!("the recorded run shows that the {what} is not kept"), remedy)
    }
}

/// `engine.stage`
pub(super) fn stage(q: &Question<'_>) -> GateResult {
    let judged = known(q).and_then(|engine| opened(q, engine).map(|proof| (engine, proof)));
    let (engine, proof) = match judged {
        Ok(pair) => pair,
        Err(result) => return result,
    };
    if q.facts.proving {
        return loads_nothing(q, engine);
    }
    match (q.contract.mutation_mode, engine.stage.allows()) {
        (None, _) => GateResult::missing(
            "the stage is held against the mode, and none is given",
            "name `mutation_mode`",
        ),
        (Some(mode), Some(widest)) if mode <= widest => {
            GateResult::passed(format!("stage `{}` reaches mode `{mode}`", engine.stage))
        }
        (Some(mode), _) => {
            let held = proof.held.as_ref().map_or_else(String::new, |why| format!(": {why}"));
            GateResult::failed(
                format!("stage `{}` does not reach mode `{mode}`{held}", engine.stage),
                format!("let it earn the stage: `cto proof show {}` says what is wanted", q.engine_id),
            )
        }
    }
}

/// The record that comes first: without it, or after its end, nothing of a gated engine is loaded.
fn opened<'a>(q: &Question<'_>, engine: &'a EngineFacts) -> Result<&'a ProofFacts, GateResult> {
    let remedy = format!("an operator opens it: `cto proof open {}`", q.engine_id);
    match &engine.proof {
        Some(Observed::Seen(proof)) if proof.expires_at > q.facts.gathered_at => Ok(proof),
        Some(Observed::Seen(proof)) => Err(GateResult::failed(
            format!("the staged proof gate record ended at {}", proof.expires_at),
            remedy,
        )),
        Some(Observed::Absent(what)) => {
            Err(GateResult::missing(format!("no staged proof gate record: {what}"), remedy))
        }
        Some(Observed::Error(how)) => {
            Err(GateResult::errored(format!("the staged proof gate record does not hold: {how}"), remedy))
        }
        None => Err(GateResult::missing("nobody looked for a staged proof gate record", remedy)),
    }
}

/// The proof of the gates loads the adapter that starts nothing, and reaches nothing of anybody's.
fn loads_nothing(q: &Question<'_>, engine: &EngineFacts) -> GateResult {
    if engine.stage >= Stage::DefaultDeny && reaches_nothing(q) {
        GateResult::passed(format!(
            "stage `{}`: the adapter that starts no process may be loaded",
            engine.stage
        ))
    } else {
        GateResult::failed(
            "the proof of the gates reaches nothing and starts nothing",
            format!("use `cto proof run {} --stage default-deny`", q.engine_id),
        )
    }
}
