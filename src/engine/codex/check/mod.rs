//! Whether an installed Codex is one that the adapter understands: its own schema, its greeting, and a whole scripted
//! turn (docs/adr/0022).
//!
//! The turn is an ordinary run against a scripted model. The first command of it makes the program write its own
//! schema, inside the sandbox; everything is judged afterwards, from outside, by a pure function.

mod judge;
mod protocol;
mod script;

pub use judge::{Exercise, StepRow, judge};
pub use script::{FOLDER, SCHEMA_FILE, TOKENS, VERSION_FILE, turns};

/// The contract of the check.
pub const CONTRACT: &str = include_str!("../../../../engines/codex/check/contract.toml");
/// The one file of its repository: path and text.
pub const REPOSITORY: (&str, &str) =
    ("README.md", include_str!("../../../../engines/codex/check/repo/README.md"));
