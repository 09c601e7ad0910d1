//! The book: the journal under its lock. Many asks become durable together, with one write and one sync.
//!
//! Guarantees: asks are decided one after the other, across all processes that share the state folder, each with
//! everything counted that was answered before; an answer is handed out only when what it rests on is on disk.
//! It blocks: on the lock, as long as another process writes, and on the disk. [`super::Ledger`] is for async code.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::journal::Journal;
use super::offer::{Ask, Done};
use crate::vocab::Timestamp;

/// The ledger's folder, below the state folder.
const FOLDER: &str = "spend";
const LOCK: &str = "lock";

/// Why the ledger gave no answer. Nothing may be spent then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// A file operation failed.
    #[error("the spend ledger {path} could not be {act}: {why}\n  remedy: see that the disk has room and that the state folder is yours", path = path.display())]
    Io {
        /// What was tried.
        act: &'static str,
        /// Where.
        path: PathBuf,
        /// The system's answer.
        why: String,
    },
    /// A line is not as it was written.
    #[error("the spend ledger {path} is unreadable, line {line}: {why}\n  remedy: restore it; or look at the provider's bill and move the folder away, then counting begins anew", path = path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        why: &'static str,
    },
    /// The ledger that was answered from is not there any more.
    #[error("the spend ledger {path} was removed, or another one lies in its place\n  remedy: restore it, or end the runs that use it", path = path.display())]
    Replaced {
        /// Which file.
        path: PathBuf,
    },
    /// A write failed half-way and could not be undone.
    #[error("the spend ledger {path} could not be written, and what was written not be taken back: {why}\n  remedy: see to the disk, then start the run anew", path = path.display())]
    Torn {
        /// Which file.
        path: PathBuf,
        /// The system's answer to the write.
        why: String,
    },
    /// Whoever keeps it in this process is gone.
    #[error("the spend ledger of this process is closed\n  remedy: start the run anew")]
    Closed,
}

impl LedgerError {
    pub(super) fn io(act: &'static str, path: &Path, error: &std::io::Error) -> Self {
        Self::Io { act, path: path.to_owned(), why: error.to_string() }
    }
}

/// The folder of the ledger of a state folder.
pub(super) fn folder(state: &Path) -> PathBuf {
    state.join(FOLDER)
}

/// The ledger of one state folder, opened to be written.
pub struct Book {
    lock: File,
    lock_path: PathBuf,
    pub(super) journal: Journal,
    clock: Box<dyn Fn() -> Timestamp + Send>,
    /// After a write that could not be undone nothing is answered any more.
    broken: Option<LedgerError>,
}

impl std::fmt::Debug for Book {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Book").field("journal", &self.journal).finish_non_exhaustive()
    }
}

impl Book {
    /// Opens the ledger in `state`, and begins one where there is none. `clock` says what day it is.
    pub fn open(state: &Path, clock: impl Fn() -> Timestamp + Send + 'static) -> Result<Self, LedgerError> {
        let dir = folder(state);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&dir);
        made.map_err(|e| LedgerError::io("made", &dir, &e))?;
        let lock_path = dir.join(LOCK);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let lock = options.open(&lock_path).map_err(|e| LedgerError::io("locked", &lock_path, &e))?;
        let mut book =
            Self { lock, lock_path, journal: Journal::at(dir), clock: Box::new(clock), broken: None };
        book.commit(&[])?;
        Ok(book)
    }

    /// Does what is asked, in order, and answers when all of it is durable. On an error nothing was answered; what of it
    /// counts all the same is only ever a reservation.
    pub fn commit(&mut self, asks: &[Ask]) -> Result<Vec<Done>, LedgerError> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        let _held = Held::of(&self.lock, &self.lock_path)?;
        let now = (self.clock)();
        if !self.journal.refresh()? {
            self.journal.begin(now)?;
        }
        let (mut records, mut answers) = (Vec::new(), Vec::new());
        if let Some(accounts) = self.journal.accounts() {
            for ask in asks {
                let (record, done) = accounts.answer(ask, now.day());
                answers.push(done);
                let Some(record) = record else { continue };
                // It was made from these sums, so they take it in; if not, this program is wrong about itself.
                if let Err(why) = accounts.apply(record.clone()) {
                    let error = self.journal.inconsistent(why);
                    self.journal.forget();
                    return Err(error);
                }
                records.push(record);
            }
        }
        if !records.is_empty() {
            self.journal.append(&records).inspect_err(|error| {
                if matches!(error, LedgerError::Torn { .. }) {
                    self.broken = Some(error.clone());
                }
            })?;
        }
        if self.journal.is_long() {
            // What was asked is durable already; a disk that has no room for a second file is told by the next write.
            self.journal.compact().ok();
        }
        Ok(answers)
    }
}

/// The lock, until dropped.
struct Held<'a>(&'a File);

impl<'a> Held<'a> {
    fn of(lock: &'a File, path: &Path) -> Result<Self, LedgerError> {
        loop {
            match lock.lock() {
                Ok(()) => return Ok(Self(lock)),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(LedgerError::io("locked", path, &e)),
            }
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // A lock that cannot be given back goes with the descriptor.
        self.0.unlock().ok();
    }
}
