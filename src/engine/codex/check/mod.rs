//! Whether an installed Codex is one that the adapter understands: its own schema, its greeting, and a whole scripted
//! turn (docs/adr/0022).
//!
//! The turn is an ordinary run against a scripted model. The first command of it makes the program write its own
//! schema and start once in a new home, inside the sandbox; everything is judged afterwards, from outside, by a pure
//! function.

mod home;
mod judge;
mod protocol;
mod script;

pub use home::{DATABASE_BYTES, DATABASE_FILES, NEW_HOME, is_database};
pub use judge::{Exercise, StepRow, judge};
pub use script::{CONTRACT, FOLDER, REPOSITORY, SCHEMA_FILE, TOKENS, VERSION_FILE, turns};
