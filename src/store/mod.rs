//! Where runs are remembered: one record a run, and what a dead process left is found and removed.

mod live;
mod record;
mod request;

pub use live::LiveFolder;
pub use record::{Dead, Held, LiveRun, RunRecord, RunState, Store, StoreError};
pub use request::{KeptInput, KeptRequest};
