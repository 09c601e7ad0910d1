//! What a limit rests on and cannot be read: then the limit is not held, and whoever it binds is not left running.
//!
//! A file of a process that is gone says that it is gone, which is an answer. A file that is hidden, is missing, or
//! holds nonsense is none.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Why a limit is not held.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("limits are not held, because {what} cannot be read: {why}")]
pub struct Unread {
    /// A file or folder.
    what: String,
    why: String,
}

impl Unread {
    pub(super) fn new(what: impl AsRef<Path>, why: &(impl ToString + ?Sized)) -> Self {
        Self { what: what.as_ref().display().to_string(), why: why.to_string() }
    }

    /// For `map_err`.
    pub(super) fn of<E: ToString>(what: impl AsRef<Path>) -> impl FnOnce(E) -> Self {
        move |why| Self::new(what, &why)
    }
}

/// Whether the reason is that a process is gone: its folder with it, or between opening and reading.
pub(super) fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(nix::errno::Errno::ESRCH as i32)
}

/// The text of a file of a process; `None` when the process is gone.
pub(super) fn of_process(path: &str) -> Result<Option<String>, Unread> {
    match told(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(Unread::new(path, &error)),
    }
}

/// Bytes of a file in `/proc` that are asked for at once; most answers fit.
const TOLD_BYTES: usize = 8 * 1024;

/// What the kernel says in a file of `/proc`, which never tells its length before.
pub(crate) fn told(path: &str) -> io::Result<String> {
    let (mut file, mut bytes, mut length) = (File::open(path)?, vec![0; TOLD_BYTES], 0_usize);
    loop {
        match file.read(bytes.get_mut(length..).unwrap_or_default())? {
            0 if length < bytes.len() => break,
            more => length = length.saturating_add(more),
        }
        if length == bytes.len() {
            bytes.resize(length.saturating_mul(2), 0);
        }
    }
    bytes.truncate(length);
    String::from_utf8(bytes).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_tells_no_length_is_read_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        for length in [0, 1, TOLD_BYTES - 1, TOLD_BYTES, TOLD_BYTES + 1, 5 * TOLD_BYTES] {
            let path = folder.path().join(length.to_string());
            std::fs::write(&path, "x".repeat(length)).unwrap();
            assert_eq!(told(path.to_str().unwrap()).unwrap().len(), length);
        }
        assert!(told("/proc/self/status").unwrap().contains("\nSeccomp:"));
    }

    #[test]
    fn who_is_gone_is_an_answer_and_what_is_hidden_is_none() {
        assert_eq!(of_process("/proc/0/stat"), Ok(None));
        let folder = of_process("/proc/self/fd").unwrap_err().to_string();
        assert!(
            folder.starts_with("limits are not held, because /proc/self/fd cannot be read: "),
            "{folder}"
        );
    }
}
