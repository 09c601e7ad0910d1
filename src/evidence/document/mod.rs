//! Documents as the work of a run that changes nothing: a plan, or a review (docs/adr/0021).
//!
//! Guarantees: what stands in a bundle was read strictly from the engine's last message, within bounds, has exactly
//! the members of its form, and hides no character. Does not: believe it. Its content is a claim of the engine's.

mod form;
mod read;
mod sarif;
mod section;

pub use form::{Document, PlanDocument, PlanStep, ReviewDocument, ReviewFinding, Severity};
pub use read::Unfit;
pub use sarif::{REVIEW_SARIF, review_sarif};
pub use section::{OutputSection, SetAside};
