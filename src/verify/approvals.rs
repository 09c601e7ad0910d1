//! Approvals that a decision counted, held against the approvers of the trust file.

use std::collections::BTreeSet;

use super::BundleContents;
use super::outcome::Check;
use crate::approval::SignedApproval;
use crate::eligibility::ApprovalFacts;
use crate::evidence::APPROVALS_DIR;
use crate::home::Trust;
use crate::vocab::{PrincipalName, PublicKey, strict_json};

const NAME: &str = super::outcome::APPROVALS;

/// One row. An approval by somebody whom the trust file does not name is untrusted, not failed.
pub(super) fn check(contents: &BundleContents, trust: &Trust, sealer: Option<&PublicKey>) -> Check {
    let approvals = match read(contents) {
        Ok(approvals) => approvals,
        Err(wrong) => return Check::failed(NAME, wrong),
    };
    let Some(decision) = &contents.decision else {
        return Check::not_done(NAME, "there is no decision to hold them against");
    };
    let counted = contents.counted_approvals();
    if !decision.eligible() || !decision.approval_required {
        return Check::ok(NAME, "none was needed for what was decided");
    }
    let mut unknown = BTreeSet::new();
    let mut secrets: Vec<(&PrincipalName, &PublicKey)> = Vec::new();
    for fact in &counted {
        let Some(approval) = approvals.iter().find(|approval| is_of(approval, fact)) else {
            return Check::failed(
                NAME,
                format!("the approval {} by `{}` is not in the bundle", fact.id, fact.by),
            );
        };
        if sealer.is_some_and(|key| key.key_id() == approval.key) {
            return Check::failed(NAME, format!("the approval {} is signed with the sealing key", fact.id));
        }
        let known = trust.approver.iter().filter(|one| one.name == fact.by.as_str());
        let key = known.map(|one| &one.key).find(|key| key.key_id() == approval.key);
        match key.map(|key| (key, approval.check(key))) {
            Some((key, Ok(()))) => {
                if let Some(other) = secrets.iter().find(|(by, of)| **by != fact.by && of.is_same_secret(key))
                {
                    return Check::failed(NAME, format!("`{}` and `{}` are one key", fact.by, other.0));
                }
                secrets.push((&fact.by, key));
            }
            Some((_, Err(fault))) => {
                let what = format!("the signature of `{}` on {} does not hold: {fault}", fact.by, fact.id);
                return Check::failed(NAME, what);
            }
            None => {
                unknown.insert(fact.by.to_string());
            }
        }
    }
    if !unknown.is_empty() {
        let names: Vec<String> = unknown.into_iter().collect();
        return Check::untrusted(
            NAME,
            format!("the trust file names no such approver: {}", names.join(", ")),
        );
    }
    let expected = decision.request_digest;
    if counted.iter().any(|fact| fact.request_digest != expected) {
        return Check::failed(NAME, "an approval is for another request");
    }
    Check::ok(NAME, format!("{} by approvers of the trust file", counted.len()))
}

/// Every file below `approvals/`, read strictly.
pub(super) fn read(contents: &BundleContents) -> Result<Vec<SignedApproval>, String> {
    let names = contents.sums.keys().filter(|name| name.starts_with(APPROVALS_DIR));
    names
        .map(|name| {
            let bytes = contents.files.get(name).ok_or_else(|| format!("`{name}` is too large"))?;
            strict_json(bytes).map_err(|error| format!("`{name}` is not a signed approval: {error}"))
        })
        .collect()
}

fn is_of(approval: &SignedApproval, fact: &ApprovalFacts) -> bool {
    approval.request_id == fact.id
        && approval.by == fact.by
        && approval.request_digest == fact.request_digest
        && approval.mode == fact.mode
        && approval.risk == fact.risk
        && approval.expires_at == fact.expires_at
        && approval.answer == fact.answer
        && fact.key == Some(approval.key)
        && fact.signed_with.is_none_or(|with| with == approval.signature.made_with())
}
