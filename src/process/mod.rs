//! One child, one owner: supervision, output with bounds, kill of the whole tree.
//!
//! A payload is the tree of processes below a sandbox's PID 1. Its owner gets one stream of events, in which
//! the exit comes last and only when the whole tree is dead. Limits of time and output are held here, on the
//! harness's side, where nothing inside can reach them. What the tree may touch is `sandbox`'s concern.

mod background;
mod census;
mod control;
mod copied;
mod core_dumps;
mod ear;
mod group;
mod launch;
mod learned;
mod lines;
mod observed;
mod output;
mod owner;
mod payload;
mod programs;
mod recall;
mod tree;
mod unread;
mod watch;
mod watchdog;

pub use background::in_background;
pub use copied::Copies;
pub use core_dumps::leave_no_core;
pub use group::{Bounds, Group, GroupError, Leftover, Version, remove_left_groups};
pub use launch::{LaunchError, Launched, StubProcess, spawn_stub};
pub use learned::{Learned, Used, Witnessed};
pub use lines::LINE_MAX;
pub use observed::{
    ADDRESSES_MAX, ARGUMENT_BYTES_MAX, Executed, PATHS_MAX, Seen, TOLD_MAX, TOLD_OF_ONE, Want,
};
pub use output::{Exit, PayloadEvent, Stream};
pub use owner::{ProcessIdentity, ask_to_stop};
pub use payload::{Payload, PayloadParts, ProcessError};
pub use programs::{ProcessTree, Program, ROW_TEXT_MAX, ROWS_MAX};
pub use tree::WatchedTree;
pub use unread::Unread;

pub(crate) use control::{Down, FDS_MAX, Up, frame, receive, send};
pub(crate) use unread::told;
pub(crate) use watch::end_and_wait;
pub(crate) use watchdog::{in_sight, pid_of};
