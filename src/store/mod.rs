//! Where runs are remembered: one record a run, and what a dead run left is found and removed.

mod record;

pub use record::{Dead, LiveRun, RunRecord, RunState, Store, StoreError};
