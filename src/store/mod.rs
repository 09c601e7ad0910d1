//! Where runs are remembered: one record a run, and what a dead process left is found and removed.

mod again;
mod conformance;
#[cfg(test)]
mod conformance_tests;
mod live;
mod prepared;
mod publication;
mod record;
mod request;

pub use again::Held;
pub use conformance::{Conformance, ConformanceError, ConformanceRecord, ConformanceRecords};
pub use live::LiveFolder;
pub use prepared::PreparedRow;
pub use publication::Publication;
pub use record::{Dead, LiveRun, RunRecord, RunState, Store, StoreError};
pub use request::{KeptInput, KeptRequest};
