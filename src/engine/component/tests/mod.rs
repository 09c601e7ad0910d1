//! Modules against the host: harmless ones, made by hand, and every way to misbehave, each contained and named.

mod contained;
pub(crate) mod made;
mod refused;
pub(crate) mod sample_tests;
