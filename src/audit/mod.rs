//! Who asked, decided, approved, did: an append-only log, written before each act.

mod log;

pub use log::{Act, Audit, AuditError, Entry};
