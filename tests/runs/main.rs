//! The `cto` program as its users call it: killed, interrupted, refused, approved, misused.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests say what they expect by failing"
)]

mod approvals;
mod bad_contracts;
mod bad_places;
mod bad_targets;
mod bench;
mod egress;
mod killed;
mod learn;
mod limits;
mod publish;
mod publish_killed;
mod rechecks;
#[path = "../support/reseal.rs"]
mod reseal;
mod schemas;
mod secrets;
mod side_by_side;
