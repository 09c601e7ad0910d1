//! Where runs are remembered: one record a run, and what a dead process left is found and removed.

mod live;
mod record;

pub use live::LiveFolder;
pub use record::{Dead, LiveRun, RunRecord, RunState, Store, StoreError};
