//! The door of evidence: bundles are made, sealed, tampered with in every way, and refused with their reason, by
//! `verify` and, in its part, by `verify.sh`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what it expects by failing"
)]

mod asked;
#[path = "../support/authenticator.rs"]
mod authenticator;
mod killed;
mod made_up;
mod mutations;
mod people;
#[path = "../support/reseal.rs"]
mod reseal;
mod resealed;
mod script;
mod sealed;
mod trace;
