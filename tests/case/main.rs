//! An artificial Case behind the seam: real sandbox, real broker, real verification, and a model that recites.
//!
//! The gates are not what is tested here: the facts are those of a world in which everything was admitted, licensed,
//! enabled and proven, because nothing less gives a permit. What such a world must not give is trust.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    missing_docs,
    reason = "tests say what they expect by failing"
)]

mod attacks;
mod bench;
mod blocked;
mod model;
mod money;
mod recorded;
mod runs;
mod world;
