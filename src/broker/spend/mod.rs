//! The spend ledger: the one place that counts money, and that says before a request goes out what it may cost.
//!
//! Guarantees: what is reserved, settled or unsettled under a cap never sums to more than the cap, unless a provider
//! claims more than was reserved for it, which is counted and told; an answer is given only when its line is durable;
//! processes that share a state folder share one count; a crash at any step loses nothing that was answered; a ledger
//! that cannot be read in full allows nothing (docs/adr/0016).
//! What it does not do: it forwards nothing, knows no HTTP, and does not choose caps.
//!
//! How a request is carried out with it:
//! 1. [`worst_input_tokens`] of the body that will go out; [`Ledger::reserve`] with the caps of the run. Refused: the
//!    request is refused, with [`Refused::reason`].
//! 2. The body's `max_output_tokens` is set to [`Reserved::max_output_tokens`], whatever the client wrote.
//! 3. Connecting failed before the first byte was written: [`Ledger::release`]. Nothing else may release.
//! 4. The provider's usage came: [`Ledger::settle`]. Where the client hung up, the answer is read on to its end for it.
//! 5. No usage came: [`Ledger::drop_stream`]; it counts in full until a usage comes after all.
//! 6. A retry is a new reservation. When the run ends, [`Ledger::abandon`].

mod accounts;
mod amounts;
mod book;
mod estimate;
mod journal;
mod ledger;
mod lines;
mod offer;
mod prices;
mod statement;
#[cfg(test)]
mod tests;

pub use accounts::Counted;
pub use amounts::{LongContext, Rates, Usage};
pub use book::{Book, LedgerError};
pub use estimate::{IMAGE_TOKENS, MESSAGE_TOKENS, REQUEST_TOKENS, TOOL_TOKENS, worst_input_tokens};
pub use ledger::Ledger;
pub use offer::{
    Ask, Cap, Caps, Done, LEAST_OUTPUT_TOKENS, Refused, Request, ReservationId, Reserved, Settled, Unfit,
};
pub use prices::{PriceTable, PricedModel, PricesError};
pub use statement::{Group, Line, Selection, Statement};
