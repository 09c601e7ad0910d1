//! Asking: what the engine asks leave for is judged by policy, or waits for a person while everything else goes on.
//!
//! Each question stands by itself and is answered by itself; the log has every question and every answer before the
//! engine hears of it. Nobody is waited for longer than the contract says, and nothing is granted once the engine is
//! being ended.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::Drive;
use crate::engine::adapter::Step;
use crate::engine::launch::EngineError;
use crate::engine::leave::Wish;
use crate::engine::observed::Yes;
use crate::engine::people::{Asked, Question, Said};
use crate::event::{Draft, EventKind};
use crate::vocab::{ActionId, Digest, PrincipalName, SignedWith, Timestamp};

/// How often it is looked whether somebody answered.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Questions that wait at the same time; each further one is declined.
const OPEN_MAX: usize = 32;

/// What waits for people, and what they said yes to.
#[derive(Default)]
pub(super) struct Asking {
    open: Vec<Open>,
    look: Option<Instant>,
    pub(super) yes: Vec<Yes>,
}

/// The engine's words for both answers.
pub(super) struct Words {
    pub(super) granted: Vec<u8>,
    pub(super) declined: Vec<u8>,
}

/// A question that waits.
struct Open {
    asked: Asked,
    rule: ActionId,
    digest: Digest,
    wish: Wish,
    cwd: String,
    until: Instant,
    words: Words,
}

/// How a question ended.
enum End {
    Yes(PrincipalName, SignedWith),
    No(PrincipalName, SignedWith),
    Nobody(String),
}

impl Asking {
    /// When it is looked next; never, when nothing waits.
    pub(super) const fn next_look(&self) -> Option<Instant> {
        self.look
    }
}

impl Drive<'_> {
    /// Judges one wish, or puts it to a person. On record before the engine hears of it.
    pub(super) async fn ask(
        &mut self,
        wish: Wish,
        asked: Value,
        exactly: String,
        words: Words,
    ) -> Result<(), EngineError> {
        let digest = Digest::of(exactly.as_bytes());
        let cwd = asked.get("cwd").and_then(Value::as_str).unwrap_or_default().to_owned();
        let Some(asked) = self.gate.ask(asked) else {
            self.counts.declined = self.counts.declined.saturating_add(1);
            return self.decline(&words, "it asks for too much").await;
        };
        let forbidden = self.leave.forbids(&wish).cloned();
        let marked = self.leave.marks(&wish).cloned().filter(|_| forbidden.is_none());
        if let Some(rule) = marked {
            let question = Question { rule: rule.clone(), exactly };
            let put = self.put(&wish, &question);
            let mut requested = json!({"digest": digest, "asked": asked, "action": rule});
            if let (Ok(put), Some(data)) = (&put, requested.as_object_mut()) {
                data.insert("approval".to_owned(), json!(put.id));
                data.insert("request_digest".to_owned(), json!(put.request_digest));
                data.insert("expires_at".to_owned(), json!(put.expires_at));
                data.insert("key_kinds".to_owned(), json!(put.key_kinds));
            }
            self.sink.append(Draft::observed(EventKind::ApprovalRequested, requested))?;
            return match put {
                Ok(asked) => {
                    let now = Instant::now();
                    let until = now + Duration::from_secs(asked.seconds);
                    self.asking.open.push(Open { asked, rule, digest, wish, cwd, until, words });
                    self.asking.look.get_or_insert(now + LOOK_EVERY);
                    Ok(())
                }
                Err(why) => self.by_policy(digest, Some(&rule), Some(&why), &words).await,
            };
        }
        let requested = json!({"digest": digest, "asked": asked});
        self.sink.append(Draft::observed(EventKind::ApprovalRequested, requested))?;
        let why = forbidden.as_ref().map(|action| format!("the contract forbids `{action}`"));
        self.by_policy(digest, forbidden.as_ref(), why.as_deref(), &words).await
    }

    /// What no engine may: on record as asked for and denied, and nobody is told.
    pub(super) fn deny(&mut self, asked: Value, exactly: &str, why: &str) -> Result<(), EngineError> {
        self.counts.declined = self.counts.declined.saturating_add(1);
        let Some(asked) = self.gate.ask(asked) else { return Ok(()) };
        let digest = Digest::of(exactly.as_bytes());
        let requested = json!({"digest": digest, "asked": asked});
        self.sink.append(Draft::observed(EventKind::ApprovalRequested, requested))?;
        let denied = json!({"by": "policy", "digest": digest, "reason": why});
        Ok(self.sink.append(Draft::observed(EventKind::ApprovalDenied, denied))?)
    }

    fn put(&mut self, wish: &Wish, question: &Question) -> Result<Asked, String> {
        if *wish == Wish::Change(None) {
            return Err("it does not say which files it changes, so nobody can say yes to it".to_owned());
        }
        if self.asking.open.len() >= OPEN_MAX {
            return Err("too many requests wait for a person already".to_owned());
        }
        self.leave.people().ok_or_else(nobody)?.put(question)
    }

    /// Looks whether somebody answered, or had his time.
    pub(super) async fn look(&mut self) -> Result<(), EngineError> {
        if self.ended_by_us || self.done {
            return self.abandon();
        }
        self.payload.not_idle();
        for open in std::mem::take(&mut self.asking.open) {
            let said = match self.leave.people() {
                Some(people) => people.look(&open.asked.id),
                None => Err(nobody()),
            };
            match self.read(&open, said)? {
                Some(end) => self.settle(open, end).await?,
                None => self.asking.open.push(open),
            }
        }
        self.asking.look = (!self.asking.open.is_empty()).then(|| Instant::now() + LOOK_EVERY);
        Ok(())
    }

    /// How `open` ends by what was said; `None` while it waits.
    fn read(&mut self, open: &Open, said: Result<Said, String>) -> Result<Option<End>, EngineError> {
        let said = match said {
            Ok(said) => said,
            Err(why) => {
                return Ok(Some(End::Nobody(format!("whether somebody answered is not known: {why}"))));
            }
        };
        for (by, reasons) in said.refused {
            let data = json!({"by": "human", "principal": by, "approval": open.asked.id, "digest": open.digest,
                "action": open.rule, "counts": false, "refused": reasons});
            self.sink.append(Draft::observed(EventKind::ApprovalDenied, data))?;
        }
        let late = Instant::now() >= open.until;
        Ok(match said.answer {
            Some((by, with, true)) => Some(End::Yes(by, with)),
            Some((by, with, false)) => Some(End::No(by, with)),
            None => late.then(|| End::Nobody(format!("nobody answered within {} s", open.asked.seconds))),
        })
    }

    /// Uses the request up, puts its end on record, and tells the engine.
    async fn settle(&mut self, open: Open, end: End) -> Result<(), EngineError> {
        let closed = self.leave.people().ok_or_else(nobody).and_then(|people| people.close(&open.asked.id));
        let end = match (end, closed) {
            (End::Yes(..), Err(why)) => End::Nobody(format!("the yes could not be used: {why}")),
            (end, _) => end,
        };
        let mut data = json!({"approval": open.asked.id, "digest": open.digest, "action": open.rule});
        let mut put =
            |key: &str, value: Value| data.as_object_mut().map(|data| data.insert(key.to_owned(), value));
        let refusal = match end {
            End::Yes(by, with) => {
                put("principal", json!(by));
                put("signed_with", json!(with));
                None
            }
            End::No(by, with) => {
                put("principal", json!(by));
                put("signed_with", json!(with));
                Some(("human", format!("{by} said no")))
            }
            End::Nobody(why) => Some(("policy", why)),
        };
        put("by", json!(refusal.as_ref().map_or("human", |(by, _)| by)));
        put("counts", json!(true));
        put("reason", json!(refusal.as_ref().map(|(_, why)| why)));
        match refusal {
            None => {
                self.counts.granted = self.counts.granted.saturating_add(1);
                self.sink.append(Draft::observed(EventKind::ApprovalGranted, data))?;
                self.asking.yes.push(Yes { wish: open.wish, cwd: open.cwd, at: Timestamp::now() });
                self.send(&open.words.granted).await
            }
            Some((_, why)) => {
                self.counts.declined = self.counts.declined.saturating_add(1);
                self.sink.append(Draft::observed(EventKind::ApprovalDenied, data))?;
                self.decline(&open.words, &why).await
            }
        }
    }

    /// The engine ends: nobody is waited for any more, and no later answer counts.
    pub(super) fn abandon(&mut self) -> Result<(), EngineError> {
        self.asking.look = None;
        for open in std::mem::take(&mut self.asking.open) {
            if let Some(people) = self.leave.people() {
                // One that cannot be closed ends by itself at its time.
                people.close(&open.asked.id).ok();
            }
            self.counts.declined = self.counts.declined.saturating_add(1);
            let data = json!({"by": "policy", "approval": open.asked.id, "digest": open.digest,
                "action": open.rule, "reason": "the engine ended before anybody answered"});
            self.sink.append(Draft::observed(EventKind::ApprovalDenied, data))?;
        }
        Ok(())
    }

    async fn by_policy(
        &mut self,
        digest: Digest,
        action: Option<&ActionId>,
        why: Option<&str>,
        words: &Words,
    ) -> Result<(), EngineError> {
        let (kind, count) = match why {
            None => (EventKind::ApprovalGranted, &mut self.counts.granted),
            Some(_) => (EventKind::ApprovalDenied, &mut self.counts.declined),
        };
        *count = count.saturating_add(1);
        let answer = json!({"by": "policy", "digest": digest, "action": action, "reason": why});
        self.sink.append(Draft::observed(kind, answer))?;
        match why {
            None => self.send(&words.granted).await,
            Some(why) => self.decline(words, why).await,
        }
    }

    async fn decline(&mut self, words: &Words, why: &str) -> Result<(), EngineError> {
        self.send(&words.declined).await?;
        for step in self.adapter.declined(why) {
            if let Step::Send(bytes) = step {
                self.send(&bytes).await?;
            }
        }
        Ok(())
    }
}

fn nobody() -> String {
    "there is nobody to ask".to_owned()
}
