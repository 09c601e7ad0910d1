//! No core dump of this process or of what it starts: a dump would hold the endpoint's key.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// One byte: too small for a file, and the value at which Linux hands nothing to a program of `core_pattern` either,
/// which no limit but this one stops (`fs/coredump.c`).
const ONE_BYTE: u64 = 1;

/// Lowers the limit for good. Call it before a key is read; the environment may hold one from the beginning.
pub fn leave_no_core() -> io::Result<()> {
    let most = getrlimit(Resource::Core).maximum.map_or(ONE_BYTE, |hard| hard.min(ONE_BYTE));
    Ok(setrlimit(Resource::Core, Rlimit { current: Some(most), maximum: Some(most) })?)
}
