//! Making a promotion: the bundles are brought beside the records, judged there, and only then signed for.

use std::path::PathBuf;

use super::PromotionRecord;
use super::evidence::{Wanted, judge, root_of};
use super::folder::ProofFolder;
use super::signed::{HeldAgainst, RecordError, Signed, may_sign, sign};
use super::stage::{Earned, enough, may_promote, next_rule, refuse_runner};
use crate::approval::Role;
use crate::eligibility::Observed;
use crate::vocab::{Digest, PrincipalName, SealingKey, Stage};

/// What a promotion is asked with.
#[derive(Debug)]
pub struct Asking<'a> {
    /// The stage to reach.
    pub to: Stage,
    /// The bundles.
    pub bundles: &'a [PathBuf],
    /// Digest of the engine's adapter and manifest.
    pub adapter: Digest,
    /// Who promotes.
    pub by: &'a PrincipalName,
    /// With which key.
    pub key: &'a SealingKey,
}

/// The signed promotion, ready to be kept. Whatever would not count is refused here, with its reason.
pub fn promotion(
    folder: &ProofFolder,
    found: &Earned,
    asking: &Asking<'_>,
    against: &HeldAgainst<'_>,
) -> Result<Signed<PromotionRecord>, RecordError> {
    let refuse = |why: String| Err(RecordError::Refused(why));
    let (gate, admission) = match (&found.gate, &found.admission) {
        (Observed::Seen(gate), Observed::Seen(admission)) if found.stage > Stage::Unproven => {
            (gate, admission)
        }
        (Observed::Seen(_), _) if found.stage > Stage::Unproven => {
            return refuse("nothing is admitted".to_owned());
        }
        _ => return refuse(found.held.clone().unwrap_or_else(|| "the proof is not open".to_owned())),
    };
    let Some(rule) = next_rule(&gate.signed.record, found.stage).filter(|rule| rule.stage == asking.to)
    else {
        let next = next_rule(&gate.signed.record, found.stage)
            .map_or_else(|| "nothing".to_owned(), |rule| format!("`{}`", rule.stage));
        return refuse(format!("after stage `{}` comes {next}, not `{}`", found.stage, asking.to));
    };
    let program = admission.signed.record.program_digest();
    let program = program.ok_or_else(|| RecordError::Refused("the admission names no program".to_owned()))?;
    may_sign(asking.by, asking.key.public().key_id(), Role::Approve, &[against.now], against)
        .and_then(|()| may_promote(asking.by, &gate.signed.record))
        .map_err(RecordError::Refused)?;
    let wanted = Wanted {
        engine: folder.engine(),
        stage: found.stage,
        program,
        adapter: asking.adapter,
        admission: admission.digest,
        gate: gate.digest,
    };
    let mut record = PromotionRecord {
        engine: folder.engine().clone(),
        promoted_at: against.now,
        from: found.stage,
        to: asking.to,
        gate: gate.digest,
        admission: admission.digest,
        program,
        adapter: asking.adapter,
        evidence: Vec::new(),
    };
    for bundle in asking.bundles {
        let why = |why: String| RecordError::Refused(format!("{}: {why}", bundle.display()));
        // Judged where it was given, so that nothing that does not count is brought in, and again where it is kept.
        let given = judge(bundle, &wanted, against).map_err(why)?;
        refuse_runner(asking.by, &given.runner, against).map_err(why)?;
        record.evidence.push(given.named);
    }
    enough(&record, rule).map_err(RecordError::Refused)?;
    for (bundle, named) in asking.bundles.iter().zip(&record.evidence) {
        let why = |why: String| RecordError::Refused(format!("{}: {why}", bundle.display()));
        let place = folder.bring_in(bundle, named.root)?;
        let kept = judge(&place, &wanted, against).map_err(why)?;
        if kept.named != *named || root_of(&place).map_err(why)? != named.root {
            return Err(why("it changed while it was copied".to_owned()));
        }
    }
    sign(record, asking.by, asking.key)
}
