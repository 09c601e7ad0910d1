//! Who said yes: principals, requests, signatures, expiry, separation of duties.
//!
//! Guarantees: an answer counts only with the signature of a principal's own key over exactly this request, by
//! somebody other than who asked, once. Answers are read from one folder of the harness's state and from nowhere
//! else, so nothing that an engine leaves in a work tree or bundle is one.
//! Does not: decide. What it finds becomes [`crate::eligibility::ApprovalFacts`], and the gate reads those.

mod act;
mod answer;
mod check;
mod folder;
mod principals;
#[cfg(test)]
mod principals_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_ssh;

pub use act::{PendingAct, act_digest};
pub use answer::{PendingRequest, SignedApproval, approval_message, sign_approval};
pub use check::{Against, check_approvals};
pub use folder::{ApprovalFolder, FolderError, Found, FoundAnswers, Spending, SpentRecord};
pub use principals::{Principal, Principals, PrincipalsError, Role};
