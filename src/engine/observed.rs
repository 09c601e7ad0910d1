//! What was seen of an engine, and what it said: plain data for inspection and report.

use super::adapter::Claims;
use super::leave::Wish;
use super::trouble::Trouble;
use crate::broker::BrokerCounts;
use crate::evidence::{CallSums, EngineOutcome};
use crate::process::{ProcessTree, Used};
use crate::vocab::{LimitName, Timestamp};

/// Everything that is known of an engine that has ended.
#[derive(Debug, Clone)]
pub struct EngineObservations {
    /// The kernel's word: `exited:<code>`, `signal:<number>` or `not-started:<why>`.
    pub exit: String,
    /// How it ended: the adapter's reading, unless the harness ended it.
    pub outcome: EngineOutcome,
    /// The thread it named first (claimed).
    pub thread_id: Option<String>,
    /// Its last words, made visible and cut (claimed).
    pub message: Option<String>,
    /// Its last message, whole and as it came (claimed).
    pub last_words: Option<String>,
    /// What the kernel executed (observed).
    pub processes: ProcessTree,
    /// Limits that were reached, in order (observed).
    pub limits: Vec<LimitHit>,
    /// The signal that said stop, when somebody did (observed).
    pub stopped_by: Option<&'static str>,
    /// What it says it did (claimed).
    pub claims: Claims,
    /// What was counted (observed).
    pub counts: EngineCounts,
    /// What its model calls came to (observed).
    pub calls: CallSums,
    /// Requests that the broker refused, `METHOD target: reason`, the first [`EngineObservations::REFUSED_KEPT`]
    /// (observed).
    pub refused: Vec<String>,
    /// Refused requests that were a push in git's own words, however many others there were (observed).
    pub pushes: Vec<String>,
    /// What people said yes to (observed).
    pub yes: Vec<Yes>,
    /// What went wrong with the adapter itself (observed).
    pub trouble: Option<Trouble>,
}

/// That a person said yes to one act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Yes {
    /// Which.
    pub wish: Wish,
    /// The folder in which a command was to run.
    pub cwd: String,
    /// When: nothing that happened before rests on it.
    pub at: Timestamp,
}

impl EngineObservations {
    /// Refused requests that are kept word by word; all are counted.
    pub const REFUSED_KEPT: usize = 20;
}

/// A limit that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitHit {
    /// Which.
    pub name: LimitName,
    /// Its value, in the unit of the name.
    pub value: u64,
    /// When.
    pub at: Timestamp,
}

/// What was counted while an engine ran.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EngineCounts {
    /// Lines of output.
    pub lines: u64,
    /// Bytes of output, also those past the limit.
    pub output_bytes: u64,
    /// Events of the engine in the log.
    pub events: u64,
    /// Events of the engine that were too many for the log; the raw log has their lines.
    pub suppressed: u64,
    /// Lines that the adapter did not know.
    pub unrecognized: u64,
    /// Grants, by policy or by people.
    pub granted: u64,
    /// Declined: forbidden, too much, or not said yes to by a person.
    pub declined: u64,
    /// Wall time, microseconds.
    pub micros: u64,
    /// Largest resident set of one process, bytes; 0 when unknown.
    pub max_rss: u64,
    /// What the tree used besides; the whole of it only where the sandbox learns.
    pub used: Used,
    /// What the broker counted.
    pub broker: BrokerCounts,
}
