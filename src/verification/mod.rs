//! Did it work? Commands in a second, fresh, offline sandbox, and what is handed into it.

mod files;
mod fingerprint;
mod log;
mod provisions;
#[cfg(test)]
mod tests;
mod toolchains;
mod verify;

pub use files::verification_files;
pub use provisions::{Described, InputTree, ProvisionProblem, Provisions, Toolchain, keep_out};
pub use toolchains::{KNOWN, PLACE, SearchPlaces, discover};
pub(crate) use verify::replay;
pub use verify::{ReachedLimit, ReadyTree, Tree, Verification, Verified, outcome, shown_command, verify};
