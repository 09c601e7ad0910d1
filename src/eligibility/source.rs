//! The gates over where a gated engine comes from: admission of its files, and a licence for its use.

use super::gate::{Escalation, GateResult, Question};
use super::{EngineFacts, Observed};

fn known<'a>(q: &Question<'a>) -> Result<&'a EngineFacts, GateResult> {
    q.engine.ok_or_else(|| {
        GateResult::missing(
            format!("nothing is known of engine `{}`", q.engine_id),
            "register and admit it first",
        )
    })
}

/// `source.admission`
pub(super) fn admission(q: &Question<'_>) -> GateResult {
    let remedy =
        format!("record and sign origin, commit, tree and files: `cto engine admit {}`", q.engine_id);
    let result = known(q).map_or_else(
        |result| result,
        |engine| match &engine.admission {
            Observed::Seen(record) => GateResult::passed(format!("signed record {}", record.record)),
            Observed::Absent(what) => {
                GateResult::missing(format!("no admission is recorded: {what}"), remedy)
            }
            Observed::Error(how) => {
                GateResult::errored(format!("the admission does not hold: {how}"), remedy)
            }
        },
    );
    result.escalate(Escalation::Jp)
}

/// `source.license`
pub(super) fn license(q: &Question<'_>) -> GateResult {
    known(q).map_or_else(|result| result, |engine| judge(q, engine)).escalate(Escalation::Jp)
}

fn judge(q: &Question<'_>, engine: &EngineFacts) -> GateResult {
    let remedy = format!("record a licence note or a signed decision: `cto engine license {}`", q.engine_id);
    let note = match &engine.licence {
        Observed::Seen(note) => note,
        Observed::Absent(what) => {
            return GateResult::missing(format!("no licence note resolves its use: {what}"), remedy);
        }
        Observed::Error(how) => {
            return GateResult::errored(format!("the licence note does not hold: {how}"), remedy);
        }
    };
    if let Some(end) = note.expires_at.filter(|end| *end <= q.facts.gathered_at) {
        return GateResult::failed(format!("the operator's decision on its licence ended at {end}"), remedy);
    }
    match q.contract.mutation_mode {
        None => GateResult::missing(
            "the licence is held against the mode, and none is given",
            "name `mutation_mode`",
        ),
        Some(mode) if mode <= note.widest_mode => {
            GateResult::passed(format!("note {} resolves use in mode `{mode}`", note.record))
        }
        Some(mode) => GateResult::failed(
            format!("the licence note resolves use up to `{}`, and `{mode}` is asked for", note.widest_mode),
            remedy,
        ),
    }
}
