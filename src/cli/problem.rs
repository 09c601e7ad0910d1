//! Why a command could not give an answer: the sentence, the remedy, and the exit code that follows.

use std::path::PathBuf;

use super::Exit;
use crate::approval::{FolderError, PrincipalsError};
use crate::audit::AuditError;
use crate::broker::spend::LedgerError;
use crate::engine::{CatalogError, InstallError};
use crate::home::HomeError;
use crate::proof::{InstallationError, RecordError};
use crate::run::RunError;
use crate::sandbox::SandboxError;
use crate::store::StoreError;
use crate::verify::VerifyError;
use crate::vocab::{Reason, shown};
use crate::workspace::{UidError, WorkspaceError};

/// Everything that ends a command without an answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    /// The call makes no sense.
    #[error("{sentence}\n  remedy: {remedy}")]
    Usage {
        /// What is wrong.
        sentence: String,
        /// What to write instead.
        remedy: String,
    },
    /// A verb of a later version.
    #[error("`{0}` is not yet in this version\n  remedy: see `cto --help` for what there is")]
    NotYet(&'static str),
    /// The installation's own files.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// There is no outcome of a run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The records of runs.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The spend ledger, with its own remedy.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The audit log.
    #[error("{0}\n  remedy: see that the disk has room and that the state folder is yours")]
    Audit(#[from] AuditError),
    /// The registered engines.
    #[error("{0}\n  remedy: correct or remove the manifest in the configuration's `engines` folder")]
    Catalog(#[from] CatalogError),
    /// A module that is not to be installed or removed.
    #[error("{0}\n  remedy: {remedy}", remedy = .0.remedy())]
    Install(#[from] InstallError),
    /// The file of principals.
    #[error("{0}\n  remedy: correct principals.toml in the configuration folder; see `cto principal --help`")]
    Principals(#[from] PrincipalsError),
    /// The folder of requests and answers.
    #[error("{0}\n  remedy: see the `approvals` folder in the state folder")]
    Approvals(#[from] FolderError),
    /// The sandbox could not be established, or the command in it not be owned.
    #[error("{0}\n  remedy: `cto doctor` tells what this machine lacks")]
    Sandbox(#[from] SandboxError),
    /// No host uid for the payload.
    #[error("{0}\n  remedy: see that this folder is yours alone and that its disk has room")]
    Uid(#[from] UidError),
    /// The event loop could not be started.
    #[error("the event loop could not be started: {0}\n  remedy: raise the limit on open files (ulimit -n)")]
    Loop(#[source] std::io::Error),
    /// A record of a gated engine, or an installation, that cannot count.
    #[error("{0}\n  remedy: see `cto proof show`, which says what is wanted next")]
    Record(#[from] RecordError),
    /// An installation that cannot be admitted.
    #[error(
        "{0}\n  remedy: admit a folder with nothing in it but the engine's own files, folders and inner links"
    )]
    Installation(#[from] InstallationError),
    /// A bundle that cannot even be looked at.
    #[error("{0}\n  remedy: name a bundle's folder; `cto runs` lists them")]
    Verify(#[from] VerifyError),
    /// A tree could not be prepared or compared.
    #[error("{0}\n  remedy: {remedy}", remedy = .0.remedy())]
    Workspace(#[from] WorkspaceError),
    /// A file that the caller named.
    #[error("cannot read {}: {source}\n  remedy: {remedy}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
        /// What to do.
        remedy: &'static str,
    },
    /// A file that the caller wants written.
    #[error("cannot write {}: {source}\n  remedy: see that the folder exists, is yours, and that the disk has room", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A document of a bundle that is not what it should be.
    #[error("{} is not readable: {problem}\n  remedy: `cto verify` tells whether the bundle is intact", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

impl Problem {
    /// A call that makes no sense.
    pub(super) fn usage(sentence: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Usage { sentence: sentence.into(), remedy: remedy.into() }
    }

    /// What a program reads: the sentence and the remedy apart, and a code that follows from the exit code.
    pub(super) fn reason(&self) -> Reason {
        let text = self.to_string();
        let (sentence, remedy) = text.split_once("\n  remedy: ").unwrap_or((&text, ""));
        let code = match self.exit() {
            Exit::Invalid => "call.invalid",
            Exit::Blocked => "call.blocked",
            Exit::Unrecorded => "call.unrecorded",
            _ => "call.failed",
        };
        Reason::observed(code, shown(sentence), shown(remedy))
    }

    /// How the program ends.
    pub(super) const fn exit(&self) -> Exit {
        match self {
            Self::Home(error) | Self::Run(RunError::Home(error)) if error.is_configuration() => Exit::Invalid,
            Self::Sandbox(SandboxError::Policy(_)) | Self::Workspace(WorkspaceError::ByHand { .. }) => {
                Exit::Invalid
            }
            // Nothing may be spent from a ledger that does not read.
            Self::Sandbox(_) | Self::Uid(_) | Self::Ledger(_) | Self::Record(RecordError::Refused(_)) => {
                Exit::Blocked
            }
            Self::Damaged { .. } => Exit::Fail,
            Self::Home(_)
            | Self::Store(StoreError::Io { .. })
            | Self::Approvals(FolderError::Make { .. } | FolderError::Write { .. })
            | Self::Run(RunError::Unrecorded { .. } | RunError::Home(_))
            | Self::Record(RecordError::Io { .. })
            | Self::Audit(_)
            | Self::Write { .. }
            | Self::Loop(_)
            | Self::Workspace(_) => Exit::Unrecorded,
            _ => Exit::Invalid,
        }
    }
}
