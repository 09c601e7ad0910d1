//! What an engine at work asks a person for: one command or one change, named exactly.
//!
//! Guarantees: what is signed is a digest over the run, its decision, the mark of the contract and the exact text of the
//! command or change, each preceded by its length and under a name of its own; so an answer is good for nothing else,
//! and whoever is shown the text can make the digest again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::folder::FoundAnswers;
use super::{ApprovalFolder, FolderError, PendingRequest, Spending};
use crate::eligibility::ApprovalAnswer;
use crate::vocab::{ActionId, ApprovalId, Digest, RunId, Timestamp};

/// What the digest of an act begins with; no other digest that is approved begins so.
const DOMAIN: &str = "cto-act-v1";

/// One act of an engine at work that waits for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PendingAct {
    /// The run in which it would happen.
    pub run_id: RunId,
    /// The request digest of the decision under which that run goes on.
    pub decision: Digest,
    /// The mark of the contract that it meets.
    pub rule: ActionId,
    /// The command and its folder, or the changes with their content, as JSON: exactly what is approved.
    pub exactly: String,
}

impl PendingAct {
    /// What an answer to it signs.
    #[must_use]
    pub fn digest(&self) -> Digest {
        act_digest(&self.run_id, self.decision, &self.rule, Digest::of(self.exactly.as_bytes()))
    }
}

/// What an answer to an act signs, from its parts; `exact` is the digest of its exact text.
#[must_use]
pub fn act_digest(run_id: &RunId, decision: Digest, rule: &ActionId, exact: Digest) -> Digest {
    let fields =
        [DOMAIN.to_owned(), run_id.to_string(), decision.to_string(), rule.to_string(), exact.to_string()];
    let mut bytes = Vec::new();
    for field in fields {
        bytes.extend((field.len() as u64).to_be_bytes());
        bytes.extend(field.as_bytes());
    }
    Digest::of(&bytes)
}

impl ApprovalFolder {
    /// A request for the same act that nobody used and that is still open: one that a run asked before its process
    /// died. Those that are asked right now (`asked`) are others, although they may be for the same act.
    pub fn open_act(
        &self,
        digest: Digest,
        account: &str,
        now: Timestamp,
        asked: impl Fn(&ApprovalId) -> bool,
    ) -> Result<Option<PendingRequest>, FolderError> {
        Ok(self.requests()?.into_iter().find(|request| {
            request.request_digest == digest
                && request.act.as_ref().is_some_and(|act| act.digest() == digest)
                && request.requester_account == account
                && request.expires_at > now
                && !asked(&request.request_id)
                && self.spending(&request.request_id) == Spending::Unspent
        }))
    }

    /// Every answer to one request, by the names of the files alone; nothing else is read. Nothing is checked yet.
    pub fn answers_to(&self, id: &ApprovalId) -> Result<FoundAnswers, FolderError> {
        let mut found = FoundAnswers::default();
        for answer in [ApprovalAnswer::Grant, ApprovalAnswer::Deny] {
            for name in self.answer_names(answer)? {
                if name.split_once('.').is_none_or(|(stem, _)| stem != id.as_str()) {
                    continue;
                }
                match self.one_answer(answer, &name) {
                    Ok(one) => found.answers.push(one),
                    Err(error) => found.unreadable.push(crate::vocab::shown(&error.to_string())),
                }
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::approval::SpentRecord;
    use crate::vocab::{MutationMode, RiskClass};

    fn act() -> PendingAct {
        PendingAct {
            run_id: RunId::new(),
            decision: Digest::of(b"decision"),
            rule: ActionId::parse("git.commit").unwrap(),
            exactly: "[\"git commit\",\"/workspace\"]".to_owned(),
        }
    }

    #[test]
    fn what_a_dead_run_asked_is_found_again_until_it_is_used_or_over() {
        let home = tempfile::tempdir().unwrap();
        let folder = ApprovalFolder::open(home.path()).unwrap();
        let (act, now) = (act(), Timestamp::now());
        let request = PendingRequest {
            request_id: ApprovalId::fresh().unwrap(),
            request_digest: act.digest(),
            mode: MutationMode::CopiedFixture,
            risk: RiskClass::Restricted,
            contract_digest: Digest::of(b"contract"),
            title: "T".to_owned(),
            created_at: now,
            expires_at: now.plus_seconds(60).unwrap(),
            requester_account: "1000:dev".to_owned(),
            requester: None,
            act: Some(act.clone()),
        };
        folder.post(&request).unwrap();
        let open = |act: &PendingAct, account: &str, now, asked: bool| {
            let found = folder.open_act(act.digest(), account, now, |_| asked).unwrap();
            found.map(|request| request.request_id)
        };
        let found = open(&act, "1000:dev", now, false);
        assert_eq!(found.as_ref(), Some(&request.request_id), "under its id");
        assert_eq!(open(&act, "1001:other", now, false), None);
        assert_eq!(open(&act, "1000:dev", now, true), None, "one that is asked right now is another one");
        assert_eq!(open(&act, "1000:dev", request.expires_at, false), None);
        let other = PendingAct { exactly: "[\"git commit -a\",\"/workspace\"]".to_owned(), ..act.clone() };
        assert_eq!(open(&other, "1000:dev", now, false), None);
        let spent = SpentRecord {
            request_id: request.request_id.clone(),
            request_digest: act.digest(),
            run_id: act.run_id.clone(),
            spent_at: now,
        };
        folder.spend(&spent).unwrap();
        assert_eq!(open(&act, "1000:dev", now, false), None, "a used one is asked again");
    }

    #[test]
    fn every_part_of_an_act_is_part_of_what_is_signed() {
        let act = act();
        let others = [
            PendingAct { run_id: RunId::new(), ..act.clone() },
            PendingAct { decision: Digest::of(b"another"), ..act.clone() },
            PendingAct { rule: ActionId::parse("git.merge").unwrap(), ..act.clone() },
            PendingAct { exactly: "[\"git commit \",\"/workspace\"]".to_owned(), ..act.clone() },
        ];
        assert_eq!(act.digest(), act.clone().digest());
        for other in others {
            assert_ne!(other.digest(), act.digest(), "{other:?}");
        }
    }
}
