//! Why a workspace could not be made, read or removed.

use std::io;
use std::path::{Path, PathBuf};

use crate::beneath::BeneathError;
use crate::vocab::shown_bytes;

/// An error means: nothing may be concluded about the tree. What an engine left there that is out of bounds is
/// not an error but a finding.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// libgit2 refused.
    #[error("cannot {act}: {}", source.message())]
    Git {
        /// What was tried.
        act: &'static str,
        /// Why.
        source: git2::Error,
    },
    /// A file operation below a held directory failed.
    #[error("cannot {act}: {source}")]
    Files {
        /// What was tried.
        act: &'static str,
        /// Why.
        source: BeneathError,
    },
    /// A file operation on a place of the harness failed.
    #[error("cannot {act} {}: {source}", path.display())]
    Place {
        /// What was tried.
        act: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The base tree holds a name that no checkout may have.
    #[error("the base tree holds {path:?}, which cannot be checked out safely")]
    UnsafeName {
        /// Its path, made visible.
        path: String,
    },
    /// The base tree holds an object that this version does not check out.
    #[error("the base tree holds {path:?} with git mode {mode:o}, which this version does not check out")]
    UnreadableForm {
        /// Its path, made visible.
        path: String,
        /// Its mode: a gitlink is 160000.
        mode: i32,
    },
    /// A folder that should hold plain files holds something else.
    #[error("{path:?} is neither file, folder nor link")]
    SpecialFile {
        /// Its path, made visible.
        path: String,
    },
    /// What was put together again from the recorded parts is not what was recorded.
    #[error("the recorded changes give the tree {found}, but {recorded} was recorded")]
    NotTheRecordedTree {
        /// What came out.
        found: String,
        /// What should have.
        recorded: String,
    },
    /// A folder cannot be viewed by hand, or what changed in the view be carried as a patch.
    #[error("{sentence}")]
    ByHand {
        /// Why, and where.
        sentence: String,
        /// What to do about it.
        remedy: &'static str,
    },
}

impl WorkspaceError {
    pub(super) fn git(act: &'static str) -> impl FnOnce(git2::Error) -> Self {
        move |source| Self::Git { act, source }
    }

    pub(super) fn files(act: &'static str) -> impl FnOnce(BeneathError) -> Self {
        move |source| Self::Files { act, source }
    }

    pub(super) fn place(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Place { act, path, source }
    }

    /// What a person can do about it.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::ByHand { remedy, .. } => remedy,
            _ => "see that the disk has room and that the cache folder is yours",
        }
    }

    pub(super) fn unsafe_name(path: &[u8]) -> Self {
        Self::UnsafeName { path: shown_bytes(path) }
    }
}

impl From<BeneathError> for WorkspaceError {
    fn from(source: BeneathError) -> Self {
        Self::Files { act: "look through a folder", source }
    }
}
