//! A bundle as hostile input: is it intact, who sealed it, and does it follow from itself?
//!
//! Guarantees: trust comes from the caller's trust file, never from the bundle; nothing is opened through a link;
//! every file is read once and parsed from the bytes that were hashed; sizes, counts, depths and line lengths
//! have ceilings; everything derivable is derived again, and what was not is said. Without a trusted key the
//! answer is never `verified`.
//! Does not: touch the target repository or run anything. `run` joins `--repo` and `--replay` on, with what
//! [`VerifyReport::contents`] hands out.

mod approvals;
mod asked;
mod attempts;
mod content;
mod derive;
mod document;
mod event_line;
mod events;
mod expect;
mod granted;
mod incomplete;
mod integrity;
mod layers;
mod money;
mod outcome;
mod programs;
mod proof;
mod read;
mod script;

pub use content::BundleContents;
pub use expect::{Expect, ExpectError};
pub use integrity::verify;
pub use outcome::{Check, CheckState, Outcome, VerifyError, VerifyReport};
pub use script::script;
