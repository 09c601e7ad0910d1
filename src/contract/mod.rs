//! What was asked: the wire form, the checked form, and the seal over it.
//!
//! No I/O and no clock: text and file bytes are handed in. `docs/contract.md` shows the form that people write.

pub mod actions;
mod alternatives;
mod ask_first;
mod check;
mod checks;
pub mod command;
#[cfg(test)]
mod door;
mod error;
mod fragment;
mod globs;
#[cfg(test)]
mod globs_oracle;
mod json;
pub mod limits;
mod located;
#[cfg(test)]
mod mistakes;
mod model;
mod output;
mod parse;
mod provisions;
mod rules;
mod schema;
mod seal;
pub mod shell;
mod source;
mod wire;

pub use actions::{Action, ActionError, ActionRule};
pub use checks::{CheckGroup, CheckPatterns};
pub use error::{Complaint, ContractError, FileProblem};
pub use fragment::Fragment;
pub use globs::{GlobError, PathGlobs};
pub use limits::Ceilings;
pub use model::{
    Authority, AuthorityKind, EngineChoice, Expect, Expectation, FileSource, Input, Permission, TaskContract,
    VerificationCommand, VerificationFile,
};
pub use output::{Output, OutputKind, in_a_tree};
pub use parse::{ContractFiles, MAX_ATTACHMENT_BYTES, NoFiles, parse, parse_within};
pub use provisions::MAX_VERIFICATION_FILES;
pub use schema::{schema_of, wire_schema};
pub use seal::{Attachments, SealedContract};
pub use source::{Format, MAX_CONTRACT_BYTES, WireSource};
