//! What can go wrong below a directory descriptor: each variant names the act and the path.

use std::io;
use std::path::{Path, PathBuf};

use crate::vocab::shown_bytes;

/// Why an act below a directory did not happen.
#[derive(Debug, thiserror::Error)]
pub enum BeneathError {
    /// A system call failed.
    #[error("cannot {act} {}: {source}", shown_path(path))]
    Act {
        /// What was tried: `open`, `read`, `create` …
        act: &'static str,
        /// Where, relative to the directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is there, but not a regular file.
    #[error("{} is not a regular file", shown_path(path))]
    NotRegular {
        /// Where.
        path: PathBuf,
    },
    /// It is longer than the caller allows.
    #[error("{} is larger than {max} bytes", shown_path(path))]
    TooLarge {
        /// Where.
        path: PathBuf,
        /// The bound.
        max: u64,
    },
    /// A tree has more entries or levels than the caller allows.
    #[error("{} holds more than {max} {what}", shown_path(path))]
    TooMany {
        /// Where.
        path: PathBuf,
        /// The bound.
        max: u64,
        /// `entries` or `levels`.
        what: &'static str,
    },
}

impl BeneathError {
    /// Whether the reason is that nothing is there.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.kind() == Some(io::ErrorKind::NotFound)
    }

    /// Whether the path leads out of the directory or through a link: openat2 says EXDEV or ELOOP.
    #[must_use]
    pub fn leads_out(&self) -> bool {
        use rustix::io::Errno;
        let raw = match self {
            Self::Act { source, .. } => source.raw_os_error(),
            _ => None,
        };
        raw == Some(Errno::XDEV.raw_os_error()) || raw == Some(Errno::LOOP.raw_os_error())
    }

    /// The kernel's answer, where it was the kernel that refused.
    #[must_use]
    pub fn kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Act { source, .. } => Some(source.kind()),
            _ => None,
        }
    }

    pub(super) fn act(act: &'static str, path: &Path, errno: rustix::io::Errno) -> Self {
        Self::Act { act, path: path.to_owned(), source: errno.into() }
    }

    pub(super) fn io(act: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Act { act, path: path.to_owned(), source }
    }
}

fn shown_path(path: &Path) -> String {
    if path.as_os_str().is_empty() {
        ".".to_owned()
    } else {
        shown_bytes(path.as_os_str().as_encoded_bytes())
    }
}
