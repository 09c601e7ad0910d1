//! What the kernel shows of a tree while it runs: each program that was executed, and how each process ended.
//!
//! It travels from the sandbox's observer (outside of the sandbox, see `sandbox::observe`) to the payload's owner over
//! a pipe of its own. Nothing inside holds an end of it. The last message is [`Seen::Sum`]; without it the
//! observation is incomplete, and whoever judges by it has to say so.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::vocab::Timestamp;

/// Most bytes of arguments that are told of one program.
pub const ARGUMENT_BYTES_MAX: usize = 16 * 1024;
/// Most programs that are told one by one; all are counted.
pub const TOLD_MAX: u64 = 20_000;

/// How often one refused call, or one address, is told; all are counted.
pub const TOLD_OF_ONE: u64 = 20;
/// Most different addresses that are counted by themselves.
pub const ADDRESSES_MAX: usize = 256;
/// Most different paths that are told where a sandbox learns; the rest is counted.
pub const PATHS_MAX: usize = 4096;

/// What a path was wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Want {
    /// To be read, or looked at.
    Read,
    /// To be made, changed or removed.
    Write,
    /// To be executed.
    Run,
}

impl Want {
    /// As a word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Run => "run",
        }
    }
}

/// One thing that the kernel showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Seen {
    /// A program was executed.
    Executed(Executed),
    /// A process that had executed a program ended.
    Ended {
        /// Which, by its number.
        process: u64,
        /// `exited:<code>` or `signal:<number>`.
        status: String,
        /// When.
        at: Timestamp,
    },
    /// A system call was refused.
    Refused {
        /// Which process asked, by its number; 0 when it is none that is known.
        process: u64,
        /// The call's name.
        call: String,
        /// When.
        at: Timestamp,
    },
    /// A process asked for an address that is not its own loopback. There is no route to any.
    Sought {
        /// Which process, as above.
        process: u64,
        /// The call's name.
        call: String,
        /// Address and port, as in a URL, or that it could not be read. Its memory held it when the call was made; it could
        /// change it meanwhile.
        address: String,
        /// When.
        at: Timestamp,
    },
    /// Only where the sandbox learns: a path was wanted that is not shown inside, or not writable there, or is one that
    /// was handed in. Each is told once for each way of wanting it.
    Wanted {
        /// Absolute, as seen inside, no link followed; as [`crate::vocab::shown_path`] writes it.
        path: String,
        /// What for.
        want: Want,
    },
    /// Only where the sandbox learns, and before the sum: what else was found out.
    Learned {
        /// Different paths that were wanted beyond [`PATHS_MAX`].
        left_out: u64,
        /// Calls whose path could not be read.
        unread: u64,
        /// The most processes and threads that there were at one moment.
        most_tasks: u64,
    },
    /// The tree is dead.
    Sum {
        /// Programs that were executed, also those that were not told.
        executed: u64,
        /// Processes that were made, without threads.
        processes: u64,
        /// How often each call was refused.
        refused: BTreeMap<String, u64>,
        /// How often each address was asked for.
        sought: BTreeMap<String, u64>,
    },
}

/// A program that was executed, as the kernel has it right after execve(2), before its first instruction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Executed {
    /// Number of the process, from 1 in the order in which they were made. It does not change by another execve.
    pub process: u64,
    /// Number of the nearest process above it that has executed a program itself; 0: the sandbox's PID 1.
    pub parent: u64,
    /// Its pid, as the host counts.
    pub pid: i32,
    /// The file that the kernel executes: of a script, its interpreter.
    pub program: String,
    /// The arguments as the kernel copied them, bytes that are not UTF-8 replaced.
    pub argv: Vec<String>,
    /// Whether arguments are missing, because they were more than [`ARGUMENT_BYTES_MAX`].
    pub cut: bool,
    /// Working folder, as seen inside.
    pub cwd: String,
    /// When.
    pub at: Timestamp,
}
