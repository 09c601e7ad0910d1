//! The engine `case`: a gated one that says what it does in files, not on its streams (docs/adr/0024).
//!
//! The harness ships nothing of Case and knows it from the outside alone: an operator supplies an installation, and
//! this adapter writes the files that it wants to find, reads the event log that it writes, and keeps what it claims as
//! claims. Nothing here makes it eligible; the gates do not ask an adapter. Publishing is impossible for want of a
//! route, a credential and a remote; what stands in `PATH` under the names `gh` and `git` only shows that it was tried.

mod adapter;
mod events;
mod held;
mod log;
mod logs;
mod outcome;
mod plan;
mod publish;
mod recorded;
mod result;
mod shims;
mod task;
#[cfg(test)]
mod tests;
mod words;

pub use adapter::CaseAdapter;
pub use recorded::comes_of;

#[cfg(test)]
pub(super) use held::tests::Bent;

pub(super) use held::log_holds;
pub(super) use logs::{logs_hold, publishing_is_denied};
pub(super) use recorded::recorded_hold;
