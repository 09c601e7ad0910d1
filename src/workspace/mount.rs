//! How a prepared tree is to be laid into a sandbox: plain data that the sandbox carries out.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A tree and where it appears inside. All source paths are absolute host paths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeMount {
    /// Absolute path inside, `/workspace` for runs.
    pub at: PathBuf,
    /// What is laid there.
    pub form: TreeForm,
}

/// The forms a tree can take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "form", rename_all = "kebab-case")]
pub enum TreeForm {
    /// overlayfs: `lowers` uppermost first, changes in `upper`.
    Overlay {
        /// Read-only layers, uppermost first; may hold overlay whiteouts (char device 0:0) and opaque directories.
        lowers: Vec<PathBuf>,
        /// Where changes go.
        upper: Upper,
    },
    /// The same layers without any upper: every write fails.
    ReadOnly {
        /// Read-only layers, uppermost first.
        lowers: Vec<PathBuf>,
    },
    /// A private, writable directory (where overlay is not to be had).
    Private {
        /// The directory.
        dir: PathBuf,
    },
}

/// Where an overlay keeps its changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "upper", rename_all = "kebab-case")]
pub enum Upper {
    /// On disk: `dir` holds `upper/` and `work/`, both owned by the payload's uid.
    Disk {
        /// The directory that holds both.
        dir: PathBuf,
    },
    /// A tmpfs of its own, gone with the sandbox.
    Tmpfs {
        /// Its size.
        bytes: u64,
        /// Its inodes.
        inodes: u64,
    },
}
