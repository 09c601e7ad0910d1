//! Does an answer count? Every reason why not, so that the decision can say it.
//!
//! Pure: the answers, the request they answer, and the spent records were read by [`super::ApprovalFolder`].

use super::{Found, Principal, Principals, Role, SignedApproval, Spending};
use crate::eligibility::{ApprovalAnswer, ApprovalFacts, Grantor, Requester};
use crate::home::Accounts;
use crate::vocab::{Digest, MutationMode, PublicKey, RiskClass, RunId, Timestamp};

/// What answers are held against.
#[derive(Debug, Clone, Copy)]
pub struct Against<'a> {
    /// The file of principals.
    pub principals: &'a Principals,
    /// The OS accounts, so that the requester is known under every name.
    pub accounts: &'a Accounts,
    /// Who asks now.
    pub requester: &'a Requester,
    /// What has to be approved.
    pub request_digest: Digest,
    /// The mode that is asked for.
    pub mode: MutationMode,
    /// The risk class that is stated.
    pub risk: RiskClass,
    /// The run that would spend them.
    pub run: &'a RunId,
    /// This machine's sealing key, which never approves.
    pub sealing_key: &'a PublicKey,
    /// The moment of checking.
    pub now: Timestamp,
}

/// One row for each answer, with every reason why it does not count; no reason = it counts.
#[must_use]
pub fn check_approvals(found: &[Found], against: &Against<'_>) -> Vec<ApprovalFacts> {
    found.iter().map(|answer| check(answer, against)).collect()
}

fn check(found: &Found, against: &Against<'_>) -> ApprovalFacts {
    let approval = &found.approval;
    let mut refused = Vec::new();
    let mut key = None;
    if let Some(principal) = against.principals.find(&approval.by) {
        key = signature(approval, principal, against, &mut refused);
        standing(approval, principal, found, against, &mut refused);
    } else {
        refused.push(format!("`{}` is not a principal", approval.by));
    }
    subject(approval, against, &mut refused);
    request(found, against, &mut refused);
    spent(found, against, &mut refused);
    ApprovalFacts {
        id: approval.request_id.clone(),
        by: approval.by.clone(),
        request_digest: approval.request_digest,
        mode: approval.mode,
        risk: approval.risk,
        expires_at: approval.expires_at,
        answer: approval.answer,
        granted_by: Grantor::Human,
        key,
        signed_with: key.map(|_| approval.signature.made_with()),
        refused,
    }
}

fn signature(
    approval: &SignedApproval,
    principal: &Principal,
    against: &Against<'_>,
    refused: &mut Vec<String>,
) -> Option<Digest> {
    if approval.key == against.sealing_key.key_id() {
        refused.push("signed with the sealing key, which is never a principal's".to_owned());
        return None;
    }
    let Some(key) = principal.key(approval.key) else {
        refused.push(format!("signed with a key that is not one of `{}`", approval.by));
        return None;
    };
    if key.is_same_secret(against.sealing_key) {
        refused.push("signed with the sealing key in another dress".to_owned());
        return None;
    }
    match approval.check(key) {
        Ok(()) => Some(approval.key),
        Err(fault) => {
            refused.push(fault.to_string());
            None
        }
    }
}

fn standing(
    approval: &SignedApproval,
    principal: &Principal,
    found: &Found,
    against: &Against<'_>,
    refused: &mut Vec<String>,
) {
    if !principal.roles.contains(&Role::Approve) {
        refused.push(format!("`{}` does not have role `approve`", approval.by));
    }
    if !principal.valid_at(against.now) {
        refused.push(format!("`{}` is not valid at {}", approval.by, against.now));
    }
    // Who asked may always say no.
    if approval.answer == ApprovalAnswer::Grant && is_requester(principal, found, against) {
        refused.push("self-granted: the requester cannot approve".to_owned());
    }
}

/// The one who asks now and the one who made the request are both requesters.
fn is_requester(principal: &Principal, found: &Found, against: &Against<'_>) -> bool {
    let named = |account: &str| principal.has_account(account, against.accounts);
    let now =
        against.requester.principal.as_ref() == Some(&principal.name) || named(&against.requester.account);
    let then = found.request.as_ref().is_some_and(|request| {
        request.requester.as_ref() == Some(&principal.name) || named(&request.requester_account)
    });
    now || then
}

fn subject(approval: &SignedApproval, against: &Against<'_>, refused: &mut Vec<String>) {
    if approval.request_digest != against.request_digest {
        refused.push("it is for another request".to_owned());
    }
    if approval.mode != against.mode {
        refused.push(format!("it is for mode `{}`", approval.mode));
    }
    if approval.risk != against.risk {
        refused.push(format!("it is for risk class {}", approval.risk));
    }
    if approval.expires_at <= against.now {
        refused.push(format!("it expired at {}", approval.expires_at));
    }
}

fn request(found: &Found, against: &Against<'_>, refused: &mut Vec<String>) {
    let Some(request) = &found.request else {
        refused.push(format!("no request {} is on record", found.approval.request_id));
        return;
    };
    if request.request_digest != found.approval.request_digest {
        refused.push("the request on record is another one".to_owned());
    }
    if request.expires_at <= against.now || found.approval.expires_at > request.expires_at {
        refused.push(format!("the request on record ends at {}", request.expires_at));
    }
}

fn spent(found: &Found, against: &Against<'_>, refused: &mut Vec<String>) {
    match &found.spending {
        Spending::Unspent => {}
        Spending::By(record) if &record.run_id == against.run => {}
        Spending::By(record) => refused.push(format!("spent by {}", record.run_id)),
        Spending::Unreadable(how) => refused.push(format!("spent, by a record that cannot be read: {how}")),
    }
}
