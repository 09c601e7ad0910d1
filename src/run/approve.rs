//! Approval as a fact: looked for, asked for, waited for, and spent.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use super::cutoff::CutOff;
use super::gather::{self, OnRecord};
use super::recording::{RecordError, Recording};
use super::stop::Stop;
use super::{Progress, RunRequest, Scene, Step};
use crate::approval::{ApprovalFolder, PendingRequest, Principals, Role, SpentRecord};
use crate::audit::Act;
use crate::eligibility::{ApprovalAnswer, ApprovalFacts, Decision, DecisionDocument, ExecutionPermit};
use crate::event::{Draft, EventKind, EventSink as _};
use crate::home::Home;
use crate::vocab::{ApprovalId, KeyKind, PrincipalName, PublicKey, Timestamp};

/// How long a request stays open, seconds: a day, so that somebody in another time zone can answer.
const OPEN_SECONDS: i64 = 24 * 60 * 60;
/// How often a waiting run looks for an answer.
const LOOK_EVERY: Duration = Duration::from_millis(500);

fn folder(home: &Home) -> Result<ApprovalFolder, RecordError> {
    ApprovalFolder::open(&home.approvals_dir()).map_err(failed)
}

fn failed(error: impl std::fmt::Display) -> RecordError {
    RecordError::Approval(error.to_string())
}

/// What is on record for exactly the request of `document`.
pub(super) fn on_record(
    home: &Home,
    scene: &Scene,
    document: &DecisionDocument,
) -> Result<OnRecord, RecordError> {
    if !document.approval_required {
        return Ok(OnRecord::default());
    }
    let key = home.sealing_key()?.public();
    let task = scene.asked.contract.task();
    gather::approvals(&folder(home)?, &scene.settings, document, &scene.run_id, &key, task).map_err(failed)
}

/// Puts a request on record, or finds the one that is open, and says so.
pub(super) fn ask(
    home: &Home,
    scene: &Scene,
    document: &DecisionDocument,
    recording: &mut Recording<'_>,
) -> Result<PendingRequest, RecordError> {
    let folder = folder(home)?;
    let now = Timestamp::now();
    let task = scene.asked.contract.task();
    let requester = &scene.facts.requester;
    let open = folder.open_request(document.request_digest, &requester.account, now).map_err(failed)?;
    let request = match (open, task.mutation_mode, now.plus_seconds(OPEN_SECONDS)) {
        (Some(open), _, _) => open,
        (None, Some(mode), Some(expires_at)) => {
            let request = PendingRequest {
                request_id: ApprovalId::fresh().map_err(failed)?,
                request_digest: document.request_digest,
                mode,
                risk: task.risk_class,
                contract_digest: document.contract_digest,
                title: crate::vocab::shown(&task.title),
                created_at: now,
                expires_at,
                requester_account: requester.account.clone(),
                requester: requester.principal.clone(),
                act: None,
            };
            folder.post(&request).map_err(failed)?;
            request
        }
        _ => return Err(failed("a request without a mode cannot be approved")),
    };
    recording.waits_for(&request.request_id)?;
    let data = json!({
        "approval": request.request_id, "request_digest": request.request_digest,
        "mode": request.mode, "risk": request.risk, "expires_at": request.expires_at,
        "key_kinds": key_kinds(scene.settings.principals.as_ref().map(|(principals, _)| principals), now),
    });
    recording.append(Draft::observed(EventKind::ApprovalRequested, data))?;
    Ok(request)
}

/// The kinds of keys with which somebody can say yes now.
pub(super) fn key_kinds(principals: Option<&Principals>, now: Timestamp) -> BTreeSet<KeyKind> {
    let approvers = principals.into_iter().flat_map(Principals::iter);
    let valid = approvers.filter(|one| one.roles.contains(&Role::Approve) && one.valid_at(now));
    valid.flat_map(|one| one.keys.iter().map(PublicKey::kind)).collect()
}

/// Waits until an answer changes the decision, the request ends, or somebody says stop. Where something that the
/// answer rests on changed meanwhile, it answers another request than this run would make: a new one is asked for.
pub(super) async fn wait(
    home: &Home,
    request: &RunRequest,
    scene: &mut Scene,
    (first, asked_for): (Decision, PendingRequest),
    stop: &Stop,
    recording: &mut Recording<'_>,
) -> Result<Decision, RecordError> {
    let (mut decision, mut open) = (first, asked_for);
    let mut stopped = stop.cancelled();
    recording.begin_step(Step::Approval);
    recording.tell(Progress::Waiting { approval: open.request_id.clone() });
    while decision.document().waits_only_for_approval() {
        let denied = decision
            .document()
            .facts
            .approvals
            .iter()
            .any(|answer| answer.answer == ApprovalAnswer::Deny && answer.refused.is_empty());
        if denied || stop.said().is_some() || Timestamp::now() >= open.expires_at {
            break;
        }
        // Both ends of this mean the same: look again.
        tokio::time::timeout(LOOK_EVERY, stopped.changed()).await.ok();
        if on_record(home, scene, decision.document())?.is_empty() {
            continue;
        }
        // Somebody answered: look at everything again, as a fresh start would.
        let probing = gather::Probing::begin(home);
        let settings = gather::Settings::read(home).map_err(failed)?;
        let asked = scene.asked.clone();
        *scene = Scene::look(home, request, settings, asked, scene.run_id.clone(), probing)?;
        decision = scene.decide(home)?;
        let document = decision.document();
        if document.waits_only_for_approval() && document.request_digest != open.request_digest {
            open = ask(home, scene, document, recording)?;
            recording.tell(Progress::Waiting { approval: open.request_id.clone() });
        }
    }
    recording.end_step("")?;
    Ok(decision)
}

/// Spends what the decision rests on, before anything is launched, and puts the answers into the bundle.
pub(super) fn spend(
    home: &Home,
    permit: &ExecutionPermit,
    scene: &Scene,
    recording: &mut Recording<'_>,
) -> Result<(), CutOff> {
    if permit.approvals().is_empty() {
        return Ok(());
    }
    let folder = folder(home)?;
    for id in permit.approvals() {
        recording.announce(Act::SpendApproval, id.to_string())?;
        let record = SpentRecord {
            request_id: id.clone(),
            request_digest: permit.request_digest(),
            run_id: scene.run_id.clone(),
            spent_at: Timestamp::now(),
        };
        folder
            .spend(&record)
            .map_err(|error| CutOff::at("approval", error, "Ask again: `cto run` makes a new request."))?;
    }
    Ok(())
}

/// The name of an answer in the bundle. Somebody may have said yes and then no.
pub(super) fn answer_name(id: &ApprovalId, by: &PrincipalName, answer: ApprovalAnswer) -> String {
    let answer = match answer {
        ApprovalAnswer::Grant => "grant",
        ApprovalAnswer::Deny => "deny",
    };
    let by = crate::vocab::Digest::of(by.as_str().as_bytes()).hex();
    format!("approvals/{id}.{by}.{answer}.json")
}

/// Puts every answer that the decision saw into the bundle, as signed.
pub(super) fn attach(
    home: &Home,
    document: &DecisionDocument,
    recording: &mut Recording<'_>,
) -> Result<(), RecordError> {
    if !document.approval_required {
        return Ok(());
    }
    for found in folder(home)?.answers_for(document.request_digest).map_err(failed)?.answers {
        let same = |a: &&ApprovalFacts| {
            a.id == found.approval.request_id
                && a.by == found.approval.by
                && a.answer == found.approval.answer
        };
        let Some(seen) = document.facts.approvals.iter().find(same) else { continue };
        let name = answer_name(&seen.id, &seen.by, seen.answer);
        let mut text = serde_json::to_vec_pretty(&found.approval)?;
        text.push(b'\n');
        recording.bundle().write(&name, &text)?;
        let counts = seen.refused.is_empty();
        let kind = match (seen.answer, counts) {
            (ApprovalAnswer::Grant, true) => EventKind::ApprovalGranted,
            _ => EventKind::ApprovalDenied,
        };
        let data = json!({
            "approval": seen.id, "by": "human", "principal": seen.by, "counts": counts, "refused": seen.refused,
            "signed_with": seen.signed_with,
        });
        recording.append(Draft::observed(kind, data))?;
    }
    Ok(())
}
