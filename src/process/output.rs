//! What a payload's owner sees, as plain data.

use super::learned::Used;
use super::observed::Seen;
use crate::vocab::{LimitName, Timestamp};

/// Which standard stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// As written in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// One thing that happened to a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PayloadEvent {
    /// A line of output, without its newline.
    Line {
        /// Where it was written.
        stream: Stream,
        /// The bytes, at most [`super::LINE_MAX`].
        bytes: Vec<u8>,
        /// Whether bytes of this line were dropped.
        truncated: bool,
    },
    /// A limit was reached. The payload is being ended; the exit follows.
    LimitReached {
        /// Which.
        name: LimitName,
        /// Its value, in the unit of the name.
        value: u64,
        /// When.
        at: Timestamp,
    },
    /// The kernel showed something.
    Seen(Seen),
    /// The last event: the payload and everything it started is dead, and was seen to be.
    Exited(Exit),
}

/// How a payload ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// `exited:<code>`, `signal:<number>` or `not-started:<why>`; `lost:<why>` when it was not held to its end: a limit
    /// could not be watched any more, its end was not seen, or its output could not be kept.
    pub status: String,
    /// Wall time, microseconds.
    pub micros: u64,
    /// Largest resident set of one process of the tree that was reaped, bytes; 0 when unknown.
    pub max_rss: u64,
    /// Bytes written to standard output and standard error together, also those past the limit.
    pub output_bytes: u64,
    /// What the tree was seen to use besides; the whole of it only where the sandbox learns.
    pub used: Used,
}

impl Exit {
    /// Whether the payload ended by itself with code 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.status == "exited:0"
    }

    /// The exit code, if it ended by itself.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.status.strip_prefix("exited:")?.parse().ok()
    }
}
