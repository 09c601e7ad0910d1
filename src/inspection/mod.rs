//! Is the change acceptable? Paths, actions, checks, secrets, and the verdict over everything observed.
//!
//! [`conclude`] is the only place where a verdict comes from; it is pure, so `cto verify` derives it again from
//! `report.json` alone. Everything else here turns observations into the rows it reads. Nothing here writes,
//! runs or asks the kernel anything.

mod actions;
mod asked;
mod expectations;
mod patch;
mod paths;
pub mod secrets;
mod verdict;

pub use actions::{ActionObservations, actions, attempts, every_action};
pub use asked::{AskedObservations, asked_first};
pub use expectations::expectations;
pub use patch::{AddedLine, ChangeView, PatchInspection, inspect_changes, inspect_patch};
pub use paths::inspect_paths;
pub use verdict::{Conclusion, conclude};

#[cfg(test)]
mod patch_tests;
#[cfg(test)]
mod verdict_tests;
