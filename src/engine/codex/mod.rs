//! The engine `codex`: the real CLI, spoken to by `codex app-server` over stdio (JSON lines).
//!
//! Its own sandbox is off, because it runs inside ours; what it asks leave for is granted, because the sandbox bounds
//! it; its home is private to the run, and its only way out is the broker's listener, which holds the key.

mod adapter;
pub mod check;
mod config;
mod items;
mod protocol;
mod resume;
#[cfg(test)]
mod resume_tests;
#[cfg(test)]
pub(super) mod tests;

pub use adapter::CodexAdapter;
