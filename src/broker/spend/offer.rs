//! What is asked of the ledger and what it answers. A refusal is a value: it says which cap, what is left of it, what the
//! request needed, and what can be done.

use serde::{Deserialize, Serialize};

use super::amounts::Usage;
use super::prices::PricedModel;
use crate::vocab::{MicroUsd, Reason, RunId, ThreadId};

/// Output tokens that caps must leave room for, unless the client or the model wants fewer. With less a model that
/// thinks before it speaks uses them up and says nothing: all of it is paid, and nothing is had.
pub const LEAST_OUTPUT_TOKENS: u64 = 1_024;

/// The number of a reservation: unique in its ledger, in the order of making.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReservationId(pub(super) u64);

impl std::fmt::Display for ReservationId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "rsv-{}", self.0)
    }
}

/// What may be spent, micro-dollars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caps {
    /// By this run.
    pub run: MicroUsd,
    /// By its thread, over all runs.
    pub thread: MicroUsd,
    /// By all runs of the day (UTC).
    pub day: MicroUsd,
}

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cap {
    /// The run's.
    Run,
    /// The thread's.
    Thread,
    /// The day's.
    Day,
}

impl Cap {
    /// As in reasons and tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Thread => "thread",
            Self::Day => "day",
        }
    }
}

/// One model request that is about to go out.
#[derive(Debug, Clone)]
pub struct Request {
    /// The run that it is for.
    pub run: RunId,
    /// The thread that the harness opened. Whatever thread a request names, it counts to this one.
    pub thread: ThreadId,
    /// What may be spent.
    pub caps: Caps,
    /// The model, with its prices.
    pub model: PricedModel,
    /// Bound of the input tokens: [`super::worst_input_tokens`].
    pub worst_input_tokens: u64,
    /// The most output tokens that the client wants, if it said so.
    pub wanted_output_tokens: Option<u64>,
}

/// Money that is set aside. It counts in full until it is settled, whatever becomes of whoever holds this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reserved {
    /// Which reservation.
    pub id: ReservationId,
    /// What the request's `max_output_tokens` is to be.
    pub max_output_tokens: u64,
    /// What was set aside.
    pub amount: MicroUsd,
}

/// Why nothing was set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// The cap that leaves least.
    pub cap: Cap,
    /// What it leaves.
    pub left: MicroUsd,
    /// What the request needed at least: its input at the worst, and the fewest output tokens worth paying for.
    pub needed: MicroUsd,
}

impl Refused {
    /// Code, sentence, way out.
    #[must_use]
    pub fn reason(&self) -> Reason {
        let Self { cap, left, needed } = self;
        let name = cap.as_str();
        let sentence = format!(
            "the cap of the {name} leaves {left} dollars, and the request could cost {needed} at the least that is \
             worth its price"
        );
        let remedy = match cap {
            Cap::Run => "raise `limits.spend.run_usd` in the contract; `cto spend` shows what was spent",
            Cap::Thread => "raise `limits.spend.thread_usd` in the contract, or begin a new thread",
            Cap::Day => "wait for the next day (UTC), or raise `[spend] day_usd` in config.toml",
        };
        Reason::observed(format!("spend.cap.{name}"), sentence, remedy)
    }
}

/// What a settled reservation came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// What it cost by the provider's usage and the reservation's prices.
    pub cost: MicroUsd,
    /// What had been set aside.
    pub reserved: MicroUsd,
    /// By how much the cost is more than that. It is counted, so later requests find less, and it is a finding of its
    /// own (`over_reservation`): the provider used more than the request allowed.
    pub over: Option<MicroUsd>,
}

/// Why a reservation could not be settled, dropped or released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// This ledger has no such reservation, or has long closed it.
    #[error("{0} is no reservation that this ledger still keeps")]
    Unknown(ReservationId),
    /// It is settled by another usage.
    #[error("{0} is settled already, by another usage")]
    Settled(ReservationId),
    /// It was released: nothing was sent for it.
    #[error("{0} was released, because nothing had been sent for it")]
    Released(ReservationId),
    /// Its request may have left, so it cannot be released.
    #[error("{0} was given up after its request may have left; it counts until a usage settles it")]
    MayHaveLeft(ReservationId),
    /// The usage is not one of a single answer.
    #[error(
        "the usage for {0} is not one of a single answer: more cached than input tokens, or absurdly many"
    )]
    Usage(ReservationId),
}

/// One thing that the ledger is asked to do.
#[derive(Debug, Clone)]
pub enum Ask {
    /// Set money aside.
    Reserve(Box<Request>),
    /// The provider said what an answer used.
    Settle(ReservationId, Usage),
    /// The answer broke off without a usage.
    Drop(ReservationId),
    /// Nothing was sent, provably.
    Release(ReservationId),
    /// The run is over, or its process is dead: whatever it holds open is unsettled.
    Abandon(RunId),
}

/// What came of an [`Ask`]; durable when it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// To `Reserve`.
    Reserved(Reserved),
    /// To `Reserve`.
    Refused(Refused),
    /// To `Settle`; the same again for the same usage.
    Settled(Settled),
    /// To `Drop`, `Release` and `Abandon`: it is so, since now or already.
    Closed,
    /// To `Settle`, `Drop` and `Release`: nothing was changed.
    Unfit(Unfit),
}
