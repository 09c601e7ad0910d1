//! One child, one owner: supervision, output with bounds, kill of the whole tree.
//!
//! A payload is the tree of processes below a sandbox's PID 1. Its owner gets one stream of events, in which
//! the exit comes last and only when the whole tree is dead. Limits of time and output are held here, on the
//! harness's side, where nothing inside can reach them. What the tree may touch is `sandbox`'s concern.

mod control;
mod launch;
mod lines;
mod observed;
mod output;
mod payload;
mod programs;
mod watch;

pub use launch::{LaunchError, Launched, StubProcess, spawn_stub};
pub use lines::LINE_MAX;
pub use observed::{ADDRESSES_MAX, ARGUMENT_BYTES_MAX, Executed, Seen, TOLD_MAX, TOLD_OF_ONE};
pub use output::{Exit, PayloadEvent, Stream};
pub use payload::{Payload, PayloadParts, ProcessError};
pub use programs::{ProcessTree, Program, ROW_TEXT_MAX, ROWS_MAX};

pub(crate) use control::{Down, Up, frame, receive, send};
