//! What may leave the harness besides the bundle: a branch in the target, when the contract permits it.
//!
//! A step of its own, after the seal and from the sealed bundle alone: it is verified again as a stranger's would be,
//! with the approvals held against the file of principals as it is now; registration, ownership, base and protected
//! branches are looked at again; objects and one ref are made from the verified patch, by no program. The audit log
//! announces it, the run's record says how far it came, and the same call made again finishes what a kill cut short.

use std::path::{Path, PathBuf};

use super::gather::{self, Settings};
use super::recording::RecordError;
use super::{RunError, recheck};
use crate::approval::{Principals, Role};
use crate::audit::{Act, Audit};
use crate::contract::Permission;
use crate::eligibility::Observed;
use crate::evidence::ROOT;
use crate::home::{Home, Trust, TrustedKey};
use crate::store::{Publication, RunRecord, Store};
use crate::verify::{BundleContents, Expect, Outcome, VerifyReport, verify};
use crate::vocab::{Digest, MutationMode, RunId, Timestamp, Verdict, shown};
use crate::workspace::{
    ObserveOptions, PublishPlace, ResultCommit, TargetProblem, WorkspaceError, observe_target, result_branch,
};

/// Bytes of the largest root.
const ROOT_BYTES: u64 = 8 << 20;
/// Of a step that could not be recorded; it is not known then how far it came.
pub const UNRECORDED: &str = "publish.unrecorded";
const BUNDLE_AGAIN: &str = "See what `cto verify` says of the bundle; a changed one is never published.";

/// Why nothing is published: code, sentence, remedy.
struct Refusal {
    code: &'static str,
    sentence: String,
    remedy: String,
}

fn refuse<T>(code: &'static str, sentence: impl Into<String>, remedy: &str) -> Result<T, Refusal> {
    Err(Refusal { code, sentence: shown(&sentence.into()), remedy: remedy.to_owned() })
}

impl From<TargetProblem> for Refusal {
    fn from(problem: TargetProblem) -> Self {
        Self { code: problem.code, sentence: problem.sentence, remedy: problem.remedy }
    }
}

impl From<WorkspaceError> for Refusal {
    fn from(error: WorkspaceError) -> Self {
        let (sentence, remedy) = (shown(&error.to_string()), error.remedy().to_owned());
        Self { code: "publish.failed", sentence, remedy }
    }
}

/// Publishes the branch of the run that is named, or whose name begins, like `name`.
pub fn publish(home: &Home, name: &str) -> Result<(RunId, Publication), RunError> {
    let store = Store::open(home.state()).map_err(RecordError::from)?;
    let usage = |sentence: String, remedy: &str| RunError::Usage { sentence, remedy: remedy.to_owned() };
    let record = store.find(name).map_err(|error| usage(error.to_string(), "see `cto runs`"))?;
    let Some(publication) = of_record(home, &store, &record)? else {
        let sentence = format!("{} has no branch to publish", record.run_id);
        return Err(usage(sentence, "only a run that passed, and whose contract permits `commit`, has one"));
    };
    Ok((record.run_id, publication))
}

/// Publishes what the run that was just sealed may publish. The run is over, whatever comes of it here.
pub(super) fn after_seal(home: &Home, run_id: &RunId) -> Option<Publication> {
    let published = || -> Result<Option<Publication>, RecordError> {
        let store = Store::open(home.state())?;
        let record = store.find(run_id.as_str())?;
        of_record(home, &store, &record)
    };
    published().unwrap_or_else(|error| {
        Some(Publication::Refused {
            code: UNRECORDED.to_owned(),
            sentence: shown(&error.to_string()),
            remedy: "Free disk space or make the state folder writable; then `cto publish` the run."
                .to_owned(),
        })
    })
}

/// Publishes what the run of this record may publish, and writes down what came of it. `None` = it may not.
pub(super) fn of_record(
    home: &Home,
    store: &Store,
    record: &RunRecord,
) -> Result<Option<Publication>, RecordError> {
    if let Some(Publication::Done { .. } | Publication::Nothing) = record.publication {
        return Ok(record.publication.clone());
    }
    if !record.publication_is_due() {
        return Ok(None);
    }
    let audit = Audit::new(home.state(), home.caller_account()?);
    let made = match Checked::look(home, record) {
        Ok(None) => Ok(Publication::Nothing),
        Ok(Some(checked)) => {
            let (branch, commit) = (checked.branch.clone(), checked.commit.id.clone());
            let object = format!("{branch} {commit} in {}", checked.top.display());
            audit.act(Act::PublishBranch, Some(&record.run_id), object)?;
            store.published(
                &record.run_id,
                Publication::Begun { branch: branch.clone(), commit: commit.clone() },
            )?;
            checked.put().map(|()| Publication::Done { branch, commit })
        }
        Err(refusal) => Err(refusal),
    };
    let publication = made.unwrap_or_else(|refusal| Publication::Refused {
        code: refusal.code.to_owned(),
        sentence: refusal.sentence,
        remedy: refusal.remedy,
    });
    let told = match &publication {
        Publication::Begun { branch, commit } | Publication::Done { branch, commit } => {
            format!("done: {branch} {commit}")
        }
        Publication::Nothing => "nothing to publish".to_owned(),
        Publication::Refused { code, .. } => format!("refused: {code}"),
    };
    audit.act(Act::RecordPublication, Some(&record.run_id), told)?;
    store.published(&record.run_id, publication.clone())?;
    Ok(Some(publication))
}

/// Everything that has to hold, looked at, and the commit made ready.
struct Checked {
    top: PathBuf,
    place: PublishPlace,
    branch: String,
    commit: ResultCommit,
}

impl Checked {
    fn look(home: &Home, record: &RunRecord) -> Result<Option<Self>, Refusal> {
        let mut report = verified(home, record)?;
        let Some(contents) = report.contents.as_ref().filter(|contents| may_commit(contents)) else {
            return refuse(
                "publish.not-permitted",
                "The sealed contract permits no commit in its mode, or the run did not pass.",
                BUNDLE_AGAIN,
            );
        };
        if contents.report.sections.patch.as_ref().is_none_or(|patch| patch.files.is_empty()) {
            return Ok(None);
        }
        let branch = result_branch(&record.run_id);
        let top = registered(home, contents, &branch)?;
        base_is_still_there(&top, contents)?;
        let at = contents.root.sealed_at;
        let derived = recheck::trees(home, &top, &mut report);
        let Some((base, patch)) = derived.as_ref().map(recheck::Derived::parts) else {
            let why =
                report.checks.iter().rfind(|check| check.name == "trees").map(|check| check.detail.as_str());
            return refuse(
                "publish.trees",
                format!("The sealed patch was not derived again: {}.", why.unwrap_or("it is not there")),
                BUNDLE_AGAIN,
            );
        };
        let place = PublishPlace::open(&top)?;
        let commit = ResultCommit::of(base, patch, &record.run_id, at)?;
        Ok(Some(Self { top, place, branch, commit }))
    }

    fn put(&self) -> Result<(), Refusal> {
        self.place.put_objects(&self.commit)?;
        self.place.put_branch(&self.branch, &self.commit)?;
        Ok(())
    }
}

/// Whether the sealed contract, of a run that passed, permits it in its mode.
fn may_commit(contents: &BundleContents) -> bool {
    let Some(task) = contents.contract.as_ref().map(crate::contract::SealedContract::task) else {
        return false;
    };
    contents.root.verdict == Verdict::Pass
        && task.permissions.contains(&Permission::Commit)
        && task.mutation_mode.is_some_and(|mode| mode >= MutationMode::SandboxRepo)
}

/// The sealed bundle, verified as a stranger's: by this machine's trusted seals and the principals of today.
fn verified(home: &Home, record: &RunRecord) -> Result<VerifyReport, Refusal> {
    let untrusted = |why: String| {
        refuse("publish.bundle", format!("The sealed bundle was not verified: {why}."), BUNDLE_AGAIN)
    };
    let trust = match trust(home) {
        Ok(trust) => trust,
        Err(why) => return untrusted(why),
    };
    let before = root_digest(&record.bundle);
    let report = match verify(&record.bundle, &trust, &Expect::default(), Timestamp::now()) {
        Ok(report) => report,
        Err(error) => return untrusted(error.to_string()),
    };
    if report.outcome != Outcome::Verified {
        let first = report.reasons.first().map_or("it does not hold", |reason| reason.sentence.as_str());
        return untrusted(first.to_owned());
    }
    let same_run = report.contents.as_ref().is_some_and(|contents| contents.root.run_id == record.run_id);
    if !same_run {
        return untrusted(format!("it is not the bundle of {}", record.run_id));
    }
    // The root that was sealed by this run's own process is the one that was verified just now.
    let after = root_digest(&record.bundle);
    if after.is_none() || before != after || record.root.is_some_and(|sealed| Some(sealed) != after) {
        return untrusted("its root is not the one that was sealed".to_owned());
    }
    Ok(report)
}

fn root_digest(bundle: &Path) -> Option<Digest> {
    let dir = crate::beneath::Dir::open_root(bundle).ok()?;
    Some(Digest::of(&dir.read_file(ROOT, ROOT_BYTES).ok()?))
}

/// The seals that count here, and as approvers those who have the role and are valid now.
fn trust(home: &Home) -> Result<Trust, String> {
    let sealing = home.trust().map_err(|error| error.to_string())?.sealing;
    let principals = match home.load_principals().map_err(|error| error.to_string())? {
        Some(found) => Principals::parse(&found.text).map_err(|error| error.to_string())?,
        None => Principals::default(),
    };
    let now = Timestamp::now();
    let approvers = principals.iter().filter(|one| one.roles.contains(&Role::Approve) && one.valid_at(now));
    let keys = approvers.flat_map(|one| {
        one.keys.iter().map(|key| TrustedKey { name: one.name.to_string(), key: key.clone() })
    });
    Ok(Trust { sealing, approver: keys.collect() })
}

/// The target's top: registered now just as it was when it was decided, and its branch not protected.
fn registered(home: &Home, contents: &BundleContents, branch: &str) -> Result<PathBuf, Refusal> {
    let facts = contents.decision.as_ref().map(|decision| &decision.facts);
    let target = facts.and_then(|facts| match &facts.target {
        Observed::Seen(target) if !target.is_fixture => Some(target),
        _ => None,
    });
    let (Some(facts), Some(target)) = (facts, target) else {
        return refuse("publish.target", "The decision names no repository.", BUNDLE_AGAIN);
    };
    let top = PathBuf::from(&target.identity);
    let settings = match Settings::read(home) {
        Ok(settings) => settings,
        Err(error) => return refuse("publish.failed", error.to_string(), "Correct the configuration."),
    };
    let now = gather::registry(&settings, Some(&top));
    if now != facts.registry {
        return refuse(
            "publish.registration-changed",
            format!("The registration of {} is not what it was when it was decided.", top.display()),
            "Run the contract again: ownership and criticality decide anew.",
        );
    }
    let Some(entry) = settings.registry.by_path(&top) else {
        return refuse(
            "publish.not-registered",
            format!("{} is not registered.", top.display()),
            "Register it with `cto repo add`, and run the contract again.",
        );
    };
    if let Some(glob) = entry.protects(branch) {
        return refuse(
            "publish.protected",
            format!("`{branch}` is a protected branch of {} (`{glob}`).", top.display()),
            "Change `--protect` of `cto repo add`, if this branch may be made; then `cto publish` the run.",
        );
    }
    Ok(top)
}

/// The base ref still names the commit that the run started from.
fn base_is_still_there(top: &Path, contents: &BundleContents) -> Result<(), Refusal> {
    let Some(task) = contents.contract.as_ref().map(crate::contract::SealedContract::task) else {
        return refuse("publish.bundle", "The contract is withheld.", BUNDLE_AGAIN);
    };
    let found = observe_target(top, &task.base_ref, &ObserveOptions::default())?;
    if Some(&found.base.commit) == contents.root.base_commit.as_ref() {
        return Ok(());
    }
    refuse(
        "publish.base-moved",
        format!(
            "`{}` is at commit {} now, and the run started from another.",
            task.base_ref, found.base.commit
        ),
        "Run the contract again, from where the target is now.",
    )
}
