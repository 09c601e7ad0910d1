//! Where an engine's output goes as it came: the bundle's raw logs, which redact before they write.

use std::io;

use crate::evidence::RawLogs;

/// Which raw log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RawStream {
    /// What was sent to the engine.
    Stdin,
    /// Its standard output.
    Stdout,
    /// Its standard error.
    Stderr,
}

impl RawStream {
    /// Every raw log of an engine.
    pub const ALL: [Self; 3] = [Self::Stdin, Self::Stdout, Self::Stderr];

    /// Those that the engine writes.
    pub const OUTPUT: [Self; 2] = [Self::Stdout, Self::Stderr];

    /// Its name in the bundle.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stdin => "backend/stdin.log",
            Self::Stdout => "backend/stdout.log",
            Self::Stderr => "backend/stderr.log",
        }
    }
}

/// Takes raw output. An error ends the run.
pub trait RawLog {
    /// Appends bytes as they came.
    fn append(&mut self, stream: RawStream, bytes: &[u8]) -> io::Result<()>;
}

impl RawLog for RawLogs {
    fn append(&mut self, stream: RawStream, bytes: &[u8]) -> io::Result<()> {
        Self::append(self, stream.name(), bytes)
    }
}
