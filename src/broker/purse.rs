//! The money of one run: nothing goes out before its worst is set aside, and every call is closed by what was used.

use super::desk::Desk;
use super::refuse::Refusal;
use super::schema::Size;
use super::spend::{Caps, Ledger, PricedModel, Request, Reserved, Usage};
use crate::event::{Draft, EventKind};
use crate::vocab::{MicroUsd, Reason, RunId, ThreadId};

use serde_json::json;

/// Who pays for a run's model calls, and how much.
#[derive(Debug, Clone)]
pub struct Purse {
    /// The one book.
    pub ledger: Ledger,
    /// The run.
    pub run: RunId,
    /// The thread that the harness opened; whatever a request names, it counts to this one.
    pub thread: ThreadId,
    /// What may be spent.
    pub caps: Caps,
    /// The model, with its prices.
    pub model: PricedModel,
}

/// How a call ended, as far as money goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallEnd {
    /// The provider's usage came.
    Used(Usage),
    /// The provider refused it at the door.
    Refused,
    /// Not a byte of it left.
    NotSent,
    /// It may have been answered, and no usage came.
    Lost,
}

impl Purse {
    /// Sets the worst of a call aside, on record; or refuses it so that the engine stops asking.
    pub(super) async fn reserve(&self, call: u64, size: &Size, desk: &Desk) -> Result<Reserved, Refusal> {
        let request = Request {
            run: self.run.clone(),
            thread: self.thread.clone(),
            caps: self.caps,
            model: self.model.clone(),
            worst_input_tokens: size.worst_input_tokens(),
            wanted_output_tokens: size.wanted_output_tokens,
        };
        let reserved = match self.ledger.reserve(request).await {
            Ok(Ok(reserved)) => reserved,
            Ok(Err(refused)) => return Err(Refusal::of(&refused.reason())),
            Err(error) => {
                let sentence =
                    format!("what may be spent could not be recorded: {}", first_line(&error.to_string()));
                let remedy =
                    "see that the state folder has room and is yours; `cto spend` shows whether it reads";
                return Err(Refusal::of(&Reason::observed("spend.ledger", sentence, remedy)));
            }
        };
        let data = json!({"call": call, "reservation": reserved.id.to_string(), "amount_micro_usd": reserved.amount,
            "worst_input_tokens": size.worst_input_tokens(), "max_output_tokens": reserved.max_output_tokens,
            "provider": self.model.provider, "model": self.model.model});
        if desk.record(Draft::brokered(EventKind::SpendReserved, data)).await {
            return Ok(reserved);
        }
        self.close(call, reserved, CallEnd::NotSent, desk).await;
        Err(Refusal::unrecorded())
    }

    /// Closes a reservation. What cannot be closed stays set aside, which is never too little.
    pub(super) async fn close(
        &self,
        call: u64,
        reserved: Reserved,
        end: CallEnd,
        desk: &Desk,
    ) -> Option<MicroUsd> {
        let done = match end {
            CallEnd::Used(usage) => self.settle(reserved, usage).await,
            CallEnd::Refused => self.settle(reserved, Usage::default()).await,
            CallEnd::NotSent => match self.ledger.release(reserved.id).await {
                Ok(Ok(())) => Ok((MicroUsd::ZERO, None)),
                Ok(Err(unfit)) => Err(unfit.to_string()),
                Err(error) => Err(error.to_string()),
            },
            CallEnd::Lost => {
                let dropped = self.ledger.drop_stream(reserved.id).await;
                let why = dropped.err().map(|error| error.to_string());
                Err(why.unwrap_or_else(|| "no usage came, so it counts in full".to_owned()))
            }
        };
        let (cost, over) = done.clone().map_or((None, None), |(cost, over)| (Some(cost), over));
        let data = json!({"call": call, "reservation": reserved.id.to_string(), "reserved_micro_usd": reserved.amount,
            "cost_micro_usd": cost, "over_reservation_micro_usd": over,
            "unsettled": done.err().map(|why| first_line(&why).to_owned())});
        desk.record(Draft::brokered(EventKind::SpendSettled, data)).await;
        cost
    }

    async fn settle(&self, reserved: Reserved, usage: Usage) -> Result<(MicroUsd, Option<MicroUsd>), String> {
        match self.ledger.settle(reserved.id, usage).await {
            Ok(Ok(settled)) => Ok((settled.cost, settled.over)),
            Ok(Err(unfit)) => Err(unfit.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Errors of the ledger carry their remedy on a second line.
fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or(text)
}
