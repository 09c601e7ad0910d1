//! Did it work? Commands in a second, fresh, offline sandbox, and what is handed into it.

mod files;
mod fingerprint;
mod log;
mod provisions;
mod toolchains;
mod verify;

pub use files::verification_files;
pub use provisions::{Described, InputTree, ProvisionProblem, Provisions, Toolchain, keep_out};
pub use toolchains::{KNOWN, PLACE, SearchPlaces, discover};
pub use verify::{
    ReachedLimit, ReadyTree, Tree, Verification, Verified, outcome, replay, shown_command, verify,
};
