//! Gated engines from nothing on record to what they have earned, and back down: by the program, as people call it.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "a test says what it expects by failing"
)]

mod bench;
mod case;
mod checked;
mod climbing;
mod default_deny;
mod falling;
#[expect(dead_code, reason = "other tests use the rest of it")]
#[path = "../case/model.rs"]
mod model;
mod nothing_else;
mod permits;
#[path = "../support/reseal.rs"]
mod reseal;
mod settings;
