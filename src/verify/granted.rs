//! Yeses in the event log against the signed answers in the bundle: none may stand there that nobody signed.
//!
//! A yes to an act binds the run, the decision, the mark and the exact text of the act; the digest that was signed is
//! made again from the log and the decision, and the answer has to be over that.

use serde_json::Value;

use super::BundleContents;
use super::derive::Wrong;
use super::outcome::Check;
use crate::approval::{SignedApproval, act_digest};
use crate::eligibility::ApprovalAnswer;
use crate::event::{Event, EventKind, Source};
use crate::home::Trust;
use crate::vocab::{ActionId, ApprovalId, Digest, PublicKey};

const NAME: &str = super::outcome::GRANTED;
/// What of an event it is read from.
pub(super) const KEYS: [&str; 5] = ["action", "approval", "by", "digest", "principal"];
/// Yeses that are remembered; more are more than people give in one run.
const MOST: usize = 10_000;

/// What the log tells of answers by people.
#[derive(Default)]
pub(super) struct Granted {
    yes: Vec<Told>,
    too_many: bool,
    /// One that says less than it has to.
    unreadable: bool,
}

struct Told {
    id: ApprovalId,
    by: String,
    /// The mark and the exact text's digest; `None` where it is about the run itself.
    act: Option<(ActionId, Digest)>,
}

fn told(event: &Event) -> Option<Told> {
    let text = |name: &str| event.data.get(name).and_then(Value::as_str);
    let act = match (text("action"), text("digest")) {
        (None, None) => None,
        (rule, digest) => Some((ActionId::parse(rule?).ok()?, digest?.parse().ok()?)),
    };
    Some(Told { id: ApprovalId::parse(text("approval")?).ok()?, by: text("principal")?.to_owned(), act })
}

impl Granted {
    /// Takes the next event of the log.
    pub(super) fn observe(&mut self, event: &Event) {
        let human = event.data.get("by").and_then(Value::as_str) == Some("human");
        if event.kind != EventKind::ApprovalGranted || event.source != Source::Harness || !human {
            return;
        }
        if self.yes.len() >= MOST {
            self.too_many = true;
            return;
        }
        match told(event) {
            Some(told) => self.yes.push(told),
            None => self.unreadable = true,
        }
    }

    /// Holds them against the bundle's answers and, for acts, the approvers of the trust file.
    pub(super) fn check(
        &self,
        contents: &BundleContents,
        answers: Result<Vec<SignedApproval>, String>,
        trust: &Trust,
        sealer: Option<&PublicKey>,
    ) -> Check {
        let mut wrong = Wrong::default();
        wrong.unless(!self.too_many, "there are more yeses than people give");
        wrong.unless(!self.unreadable, "a yes does not say who gave it, or to what");
        let answers = match answers {
            Ok(answers) => answers,
            Err(why) => return Check::failed(NAME, why),
        };
        let mut unknown = None;
        for told in &self.yes {
            let digest = |decision| match &told.act {
                Some((rule, exact)) => act_digest(&contents.root.run_id, decision, rule, *exact),
                None => decision,
            };
            let signed = contents.decision.as_ref().map(|decision| digest(decision.request_digest));
            let answer = answers.iter().find(|answer| {
                answer.request_id == told.id
                    && answer.by.as_str() == told.by
                    && answer.answer == ApprovalAnswer::Grant
                    && signed.is_none_or(|signed| signed == answer.request_digest)
            });
            let Some(answer) = answer else {
                wrong.unless(false, format!("the yes {} by `{}` is not in the bundle", told.id, told.by));
                continue;
            };
            let own = sealer.is_some_and(|key| key.key_id() == answer.key);
            wrong.unless(!own, format!("the yes {} is signed with the sealing key", told.id));
            let known = trust.approver.iter().filter(|one| one.name == told.by);
            match known.map(|one| &one.key).find(|key| key.key_id() == answer.key) {
                Some(key) => {
                    if let Err(fault) = answer.check(key) {
                        let what =
                            format!("the signature of `{}` on {} does not hold: {fault}", told.by, told.id);
                        wrong.unless(false, what);
                    }
                }
                // The answers to the run itself are held against the trust file by another check.
                None if told.act.is_some() => unknown = Some(&told.by),
                None => {}
            }
        }
        let check = wrong.check(NAME, &format!("{} by people, each as signed", self.yes.len()));
        match unknown.filter(|_| check.state == super::outcome::CheckState::Ok) {
            Some(by) => Check::untrusted(NAME, format!("the trust file names no such approver: {by}")),
            None => check,
        }
    }
}
