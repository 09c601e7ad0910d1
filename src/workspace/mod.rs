//! Where it runs: the base, the form for each mode, the patch out.
//!
//! The target repository is only ever read (a branch apart, when the contract permits it); an engine works on
//! a view of a cached checkout, and what it did is read from outside, by descriptor, after everything that
//! could write is dead. Git is data here: no git program, hook or filter runs.

mod base;
mod before;
mod by_hand;
#[cfg(test)]
mod by_hand_tests;
mod checkout;
mod clean;
#[cfg(test)]
mod clean_tests;
mod collect;
mod diff;
mod error;
mod fixture;
mod folder;
mod forms;
mod git;
mod ignores;
mod lay_base;
mod mount;
mod names;
mod oddity;
mod pack;
mod patch;
#[cfg(test)]
mod patch_tests;
mod prepare;
mod proof;
mod publish;
#[cfg(test)]
mod publish_tests;
mod read;
mod recorded;
mod repository;
mod result_commit;
mod target;
#[cfg(test)]
mod target_tests;
#[cfg(test)]
mod tests_bed;
mod throwaway;
mod tree;
mod trial;
mod uid;
mod verification;
mod wildmatch;

pub use base::{Base, remove_half_made_bases, trim_base_cache};
pub use by_hand::FolderView;
pub use clean::holds_tracked;
pub use error::WorkspaceError;
pub use fixture::{ImportedFixture, import_fixture};
pub use mount::{TreeForm, TreeMount, Upper};
pub use patch::{AddedLine, Change, Patch};
pub use prepare::{PATCH_BYTES, Placement, WORK_FOLDER, WORKSPACE, Workspace, remove_remains};
pub use publish::{PublishPlace, result_branch};
pub use read::{base_holds, read_base_file};
pub use result_commit::ResultCommit;
pub use target::{ObserveOptions, Target, TargetProblem, observe_target, observe_target_cached};
pub use trial::OverlayTrial;
pub use uid::{FIRST_SLOT, INSIDE_UID, LAST_SLOT, RunUid, RunUidLease, UidError};
pub use verification::{ProtectedFile, VerificationTree};
