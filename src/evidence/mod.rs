//! What can be shown afterwards: records, chain, bundle, trace, sealing. Knows no stage.
//!
//! Guarantees: everything is redacted before it is written; a bundle's list of files is closed and signed; the
//! root appears last, by rename, after all else is durable; a killed run leaves signed heads of what it recorded.
//! Does not: decide anything, or read a bundle back (`verify` does).

mod action_rows;
mod again;
mod aside;
mod basis;
mod bundle;
mod chain;
mod ctrf;
mod document;
mod dsse;
mod folder;
mod money;
mod note;
mod proof;
mod redaction;
mod report;
mod sarif;
mod seal;
mod summary;
mod texts;
mod times;
mod trace;
mod tree;
mod work;

pub use action_rows::{ActionResult, ActionRow};
pub use aside::Aside;
pub use basis::{basis, basis_of};
pub use bundle::{
    APPROVALS_DIR, BundleError, BundleWriter, CHECKPOINTS, CONTRACT, CTRF, DECISION, EVENTS, INPUTS_DIR,
    LEARNED, PATCH, REPORT, ROOT, SARIF, SUMMARY, SUMS, TRACE,
};
pub use chain::{Chain, EVENTS_PER_CHECKPOINT, MAX_EVENT_LINE};
pub use ctrf::ctrf;
pub use document::{
    Document, OutputSection, PlanDocument, PlanStep, REVIEW_SARIF, ReviewDocument, ReviewFinding, SetAside,
    Severity, Unfit, review_sarif,
};
pub use dsse::{
    Envelope, EnvelopeError, EventsRoot, PAYLOAD_TYPE, PREDICATE_TYPE, RootPredicate, RootStatement,
    STATEMENT_TYPE, Subject, SubjectDigest, pae,
};
pub use folder::{Listed, MAX_DEPTH, MAX_FILE, MAX_NAMES, check_name, list};
pub use money::{CallSums, CountedSpend, MONEY_KEYS, Spend, SpendSums, Usage};
pub use note::{NoteError, SignedHead, TreeHead};
pub use proof::{ProofCell, ProofSection};
pub use redaction::{MAX_RAW_LOG, RawLogs, Redactor, redact_value};
pub use report::{
    CheckChange, ClaimRow, EngineOutcome, EngineSection, ExpectationRow, Finding, Holding, LayerRow,
    LearningSection, LimitReached, LimitRow, ProcessRow, ProcessSection, Report, SandboxSection, Sections,
    Withheld,
};
pub use sarif::sarif;
pub use seal::{SealStatement, SealedBundle, render_sums, subjects};
pub use summary::summary;
pub use times::{AttemptEnd, AttemptRow, RESUMED, Times};
pub use trace::{TRACE_KEYS, TraceBuilder};
pub use tree::MerkleTree;
pub use work::{
    ChangeKind, ChangedFile, CommandOutcome, CommandResult, CommandRow, PatchSection, VerificationSection,
};
