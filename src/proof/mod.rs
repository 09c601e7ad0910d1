//! What a gated engine has earned: signed records, and the stage that follows from them.
//!
//! Guarantees: nothing is remembered as earned. Each time, the records are read, their signatures held against the file
//! of principals as it is now, the installation hashed file by file, and the evidence of every promotion verified as
//! hostile input; a record that does not hold counts as none, and the stage falls to the last one that holds. The
//! records of one engine lie in one folder (`proof/<engine>/` of the configuration) that can be carried in git.
//! Does not: decide. What is found becomes facts, and the gates read those (docs/adr/0023).

mod copies;
mod evidence;
mod folder;
mod grounds;
mod installation;
mod promote;
mod records;
mod signed;
mod stage;
#[cfg(test)]
mod tests;

pub use copies::InstallationStore;
pub use evidence::{Shown, Wanted, judge};
pub use folder::{Kept, ProofFolder};
pub use grounds::Grounds;
pub use installation::{InstallationError, Object, Objects, difference, look, tree_digest};
pub use promote::{Asking, promotion};
pub use records::{
    AdmissionRecord, EnablingRecord, EvidenceRef, GateRecord, LicenceNote, PromotionRecord, StageRule,
};
pub use signed::{HeldAgainst, Record, RecordError, Signed, sign};
pub use stage::{Earned, earned, next_rule};
