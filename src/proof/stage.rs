//! The stage that an engine has earned: read again from its records and their evidence, every time.
//!
//! `default-deny` is what the proof gate record opens. From there one promotion leads to the next stage of the record, as
//! long as each one holds: its signature, the digests that it binds, and every bundle that it rests on. At the first that
//! does not, the walk ends, and what stands behind it counts for nothing.

use super::evidence::{Wanted, judge};
use super::folder::{ADMISSION, ENABLING, GATE, Kept, LICENCE, ProofFolder, promotion_name};
use super::signed::{HeldAgainst, Record};
use super::{AdmissionRecord, EnablingRecord, GateRecord, LicenceNote, PromotionRecord, StageRule};
use crate::approval::Principal;
use crate::eligibility::{Observed, Requester};
use crate::home::Accounts;
use crate::vocab::{Digest, PrincipalName, Stage, counted};

/// Everything on record for one engine, as it counts now.
#[derive(Debug, Clone)]
pub struct Earned {
    /// What opens the proof.
    pub gate: Observed<Kept<GateRecord>>,
    /// What is admitted; the installation itself is looked at elsewhere.
    pub admission: Observed<Kept<AdmissionRecord>>,
    /// Under which licence.
    pub licence: Observed<Kept<LicenceNote>>,
    /// Whether it may be used at all.
    pub enabling: Observed<Kept<EnablingRecord>>,
    /// The stage that follows.
    pub stage: Stage,
    /// Promotions that count, in order: the stage that they lead to, and the digest of the record.
    pub promotions: Vec<(Stage, Digest)>,
    /// Why the next stage is not earned; `None` where there is none.
    pub held: Option<String>,
}

/// Reads the records of `folder`; `adapter` is the digest of the engine's adapter and manifest as they are now.
#[must_use]
pub fn earned(folder: &ProofFolder, adapter: Digest, against: &HeldAgainst<'_>) -> Earned {
    let gate = held(folder, GATE, against);
    let admission = held(folder, ADMISSION, against);
    let licence =
        of_the_admitted(held(folder, LICENCE, against), &admission, |note: &LicenceNote| note.tree_digest);
    let licence = resolved(licence);
    let enabling =
        of_the_admitted(held(folder, ENABLING, against), &admission, |one: &EnablingRecord| one.tree_digest);
    let mut found = Earned {
        gate,
        admission,
        licence,
        enabling,
        stage: Stage::Unproven,
        promotions: Vec::new(),
        held: None,
    };
    climb(folder, adapter, against, &mut found);
    found
}

fn climb(folder: &ProofFolder, adapter: Digest, against: &HeldAgainst<'_>, found: &mut Earned) {
    let gate = match &found.gate {
        Observed::Seen(gate) if gate.signed.record.expires_at > against.now => gate.clone(),
        Observed::Seen(gate) => {
            found.held = Some(format!("the proof gate record ended at {}", gate.signed.record.expires_at));
            return;
        }
        Observed::Absent(why) | Observed::Error(why) => {
            found.held = Some(why.clone());
            return;
        }
    };
    found.stage = Stage::DefaultDeny;
    let admitted = match &found.admission {
        Observed::Seen(admission) => {
            admission.signed.record.program_digest().map(|program| (admission.digest, program))
        }
        Observed::Absent(_) | Observed::Error(_) => None,
    };
    let Some((admission, program)) = admitted else {
        found.held = Some("nothing is admitted".to_owned());
        return;
    };
    for rule in &gate.signed.record.stages {
        let wanted = Wanted {
            engine: folder.engine(),
            stage: found.stage,
            program,
            adapter,
            admission,
            gate: gate.digest,
        };
        match promoted(folder, *rule, &gate.signed.record, &wanted, against) {
            Ok(digest) => {
                found.stage = rule.stage;
                found.promotions.push((rule.stage, digest));
            }
            Err(why) => {
                found.held = Some(format!("stage `{}`: {why}", rule.stage));
                return;
            }
        }
    }
}

/// The rule of the stage after `stage`.
#[must_use]
pub fn next_rule(gate: &GateRecord, stage: Stage) -> Option<StageRule> {
    gate.stages.iter().copied().find(|rule| rule.stage > stage)
}

/// The digest of the promotion that leads to the stage of `rule`; the error says why none does.
fn promoted(
    folder: &ProofFolder,
    rule: StageRule,
    gate: &GateRecord,
    wanted: &Wanted<'_>,
    against: &HeldAgainst<'_>,
) -> Result<Digest, String> {
    let kept: Kept<PromotionRecord> = match held(folder, &promotion_name(rule.stage), against) {
        Observed::Seen(kept) => kept,
        Observed::Absent(_) => {
            let bundles = counted(rule.bundles as usize, "passing bundle");
            return Err(format!("no promotion is on record; it takes {bundles} of stage `{}`", wanted.stage));
        }
        Observed::Error(why) => return Err(why),
    };
    let record = &kept.signed.record;
    for (holds, what) in [
        (record.from == wanted.stage && record.to == rule.stage, "other stages"),
        (record.gate == wanted.gate, "another proof gate record"),
        (record.admission == wanted.admission, "another admission"),
        (record.program == wanted.program, "another program"),
        (record.adapter == wanted.adapter, "another adapter"),
    ] {
        if !holds {
            return Err(format!("the promotion on record is of {what}"));
        }
    }
    enough(record, rule)?;
    may_promote(&kept.signed.by, gate)?;
    for named in &record.evidence {
        let why = |why: String| format!("the bundle of {} does not count: {why}", named.run_id);
        let shown = judge(&folder.evidence(named.root), wanted, against).map_err(why)?;
        if shown.named != *named {
            return Err(why("it is another one than the promotion names".to_owned()));
        }
        refuse_runner(&kept.signed.by, &shown.runner, against)?;
    }
    Ok(kept.digest)
}

/// Whether the evidence is as much as the rule asks for. That it is of different fixtures is part of its form.
pub(super) fn enough(record: &PromotionRecord, rule: StageRule) -> Result<(), String> {
    record.well_formed()?;
    let (there, needed) = (record.evidence.len(), rule.bundles as usize);
    if there < needed {
        return Err(format!("it takes {needed} bundles of different fixtures, and {there} are given"));
    }
    Ok(())
}

/// Whether the gate record lets `by` promote.
pub(super) fn may_promote(by: &PrincipalName, gate: &GateRecord) -> Result<(), String> {
    if gate.promoters.is_empty() || gate.promoters.contains(by) {
        Ok(())
    } else {
        Err(format!("`{by}` is not one of those who may promote by the proof gate record"))
    }
}

/// Nobody promotes on evidence of his own runs.
pub(super) fn refuse_runner(
    by: &PrincipalName,
    runner: &Requester,
    against: &HeldAgainst<'_>,
) -> Result<(), String> {
    let is_runner = |principal: &Principal, accounts: &Accounts| {
        runner.principal.as_ref() == Some(&principal.name) || principal.has_account(&runner.account, accounts)
    };
    match against.principals.find(by) {
        Some(principal) if is_runner(principal, against.accounts) => {
            Err(format!("`{by}` ran it: nobody promotes on evidence of own runs"))
        }
        Some(_) => Ok(()),
        None => Err(format!("`{by}` is not a principal")),
    }
}

/// The record of this name, where it counts now.
fn held<T: Record>(folder: &ProofFolder, name: &str, against: &HeldAgainst<'_>) -> Observed<Kept<T>> {
    match folder.read::<T>(name) {
        Observed::Seen(kept) => match kept.signed.holds(folder.engine(), against) {
            Ok(()) => Observed::Seen(kept),
            Err(why) => Observed::Error(format!("{}: {why}", folder.path().join(name).display())),
        },
        other => other,
    }
}

/// A record that is about the admitted installation, and no other.
fn of_the_admitted<T>(
    kept: Observed<Kept<T>>,
    admission: &Observed<Kept<AdmissionRecord>>,
    tree: impl Fn(&T) -> Digest,
) -> Observed<Kept<T>> {
    match (kept, admission) {
        (Observed::Seen(kept), Observed::Seen(admitted))
            if tree(&kept.signed.record) == admitted.signed.record.tree_digest =>
        {
            Observed::Seen(kept)
        }
        (Observed::Seen(_), Observed::Seen(_)) => Observed::Absent(
            "what is on record is about another installation than the admitted one".to_owned(),
        ),
        (Observed::Seen(_), _) => {
            Observed::Absent("what is on record is about an installation, and none is admitted".to_owned())
        }
        (other, _) => other,
    }
}

fn resolved(note: Observed<Kept<LicenceNote>>) -> Observed<Kept<LicenceNote>> {
    match note {
        Observed::Seen(note) => match note.signed.record.unresolved() {
            Some(why) => Observed::Absent(why),
            None => Observed::Seen(note),
        },
        other => other,
    }
}
