//! The journal: one file that is only appended to, until it is written anew in fewer lines and renamed over itself.
//!
//! Guarantees: what [`Journal::append`] returned for is on disk; a line that was cut off by a crash, which nobody was
//! answered for, is taken away before the next one is written; everything else that is not as it was written makes the
//! ledger unreadable. Several processes may have it open: what another one appended is read from where this one stopped,
//! and a file in its place is read from its beginning.
//! It locks nothing: whoever appends holds the ledger's lock ([`super::Book`]). Reading needs none, because a line counts
//! once its newline is there, and a new file is there as a whole.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::accounts::Accounts;
use super::book::LedgerError;
use super::lines::{Record, VERSION, beginning, decode, encode};
use crate::vocab::{Digest, Timestamp};

/// Written anew when it is larger than this and more than twice what it was when it was written anew last, bytes.
const COMPACT_BYTES: u64 = 4 << 20;
/// Largest journal that is read, bytes: rows of hundreds of thousands of runs.
const JOURNAL_BYTES: u64 = 256 << 20;
const NAME: &str = "journal";
const DRAFT: &str = "journal.new";

/// A journal, and what was read of it so far.
#[derive(Debug)]
pub(super) struct Journal {
    dir: PathBuf,
    seen: Option<Seen>,
    /// The ledger that this process has answered from; another one in its place is not taken for it.
    since: Option<Timestamp>,
    pub(super) compact_bytes: u64,
    /// Set by a test: what the next append fails at.
    #[cfg(test)]
    pub(super) fault: Option<Fault>,
}

/// A failure of the disk that a test wants.
#[cfg(test)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// So many bytes are written, and no more.
    Write(usize),
    /// All is written, and syncing fails.
    Sync,
}

#[derive(Debug)]
struct Seen {
    file: File,
    /// Up to here it was read; a line ends there.
    offset: u64,
    lines: usize,
    /// Its length when it was written anew.
    base: u64,
    sum: Digest,
    accounts: Accounts,
}

impl Journal {
    /// The journal in `dir`; nothing is opened yet.
    pub(super) const fn at(dir: PathBuf) -> Self {
        Self {
            dir,
            seen: None,
            since: None,
            compact_bytes: COMPACT_BYTES,
            #[cfg(test)]
            fault: None,
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.join(NAME)
    }

    /// Reads what the file says now; whether there is one.
    pub(super) fn refresh(&mut self) -> Result<bool, LedgerError> {
        let path = self.path();
        let there = match std::fs::metadata(&path) {
            Ok(meta) => meta,
            Err(e) if e.kind() == ErrorKind::NotFound && self.since.is_none() => return Ok(false),
            Err(e) if e.kind() == ErrorKind::NotFound => return Err(LedgerError::Replaced { path }),
            Err(e) => return Err(LedgerError::io("looked at", &path, &e)),
        };
        let same = match &self.seen {
            Some(seen) => {
                let own = seen.file.metadata().map_err(|e| LedgerError::io("looked at", &path, &e))?;
                (own.dev(), own.ino()) == (there.dev(), there.ino())
            }
            None => false,
        };
        if same {
            if let Some(seen) = &mut self.seen {
                read_on(seen, &path).inspect_err(|_| self.seen = None)?;
            }
        } else {
            self.seen = Some(read_all(&path, &to_append())?);
        }
        let since = self.seen.as_ref().map(|seen| seen.accounts.since);
        if self.since.is_some() && self.since != since {
            self.seen = None;
            return Err(LedgerError::Replaced { path });
        }
        self.since = since;
        Ok(true)
    }

    /// The sums, as they were read last.
    pub(super) fn accounts(&mut self) -> Option<&mut Accounts> {
        self.seen.as_mut().map(|seen| &mut seen.accounts)
    }

    /// What is wrong where a record does not follow from the lines before it, though this program made it.
    pub(super) fn inconsistent(&self, why: &'static str) -> LedgerError {
        let line = self.seen.as_ref().map_or(0, |seen| seen.lines).saturating_add(1);
        LedgerError::Damaged { path: self.path(), line, why }
    }

    /// The sums may hold what the file does not: they are read again.
    pub(super) fn forget(&mut self) {
        self.seen = None;
    }

    /// Appends records that the sums have taken in already. They are durable when this returns.
    pub(super) fn append(&mut self, records: &[Record]) -> Result<(), LedgerError> {
        let path = self.path();
        let Some(seen) = &mut self.seen else { return Err(LedgerError::Replaced { path }) };
        let (mut bytes, mut sum) = (Vec::new(), seen.sum);
        for record in records {
            let (line, next) =
                encode(record, sum).map_err(|e| LedgerError::io("written", &path, &e.into()))?;
            bytes.extend(line);
            sum = next;
        }
        #[cfg(test)]
        let fault = self.fault.take();
        let write = || -> std::io::Result<()> {
            // What a crash left behind the last line was answered to nobody.
            if seen.file.metadata()?.len() != seen.offset {
                seen.file.set_len(seen.offset)?;
            }
            #[cfg(test)]
            if let Some(Fault::Write(count)) = fault {
                (&seen.file).write_all(bytes.get(..count).unwrap_or(&bytes))?;
                return Err(ErrorKind::StorageFull.into());
            }
            (&seen.file).write_all(&bytes)?;
            #[cfg(test)]
            if fault == Some(Fault::Sync) {
                return Err(std::io::Error::other("made up"));
            }
            seen.file.sync_data()
        };
        if let Err(error) = write() {
            // Nobody is answered for what was not synced, so it goes; where it cannot, nothing is done any more. The
            // sums have it and the file does not, so they are read again.
            let undone = seen.file.set_len(seen.offset).and_then(|()| seen.file.sync_data());
            self.seen = None;
            return Err(match undone {
                Ok(()) => LedgerError::io("written", &path, &error),
                Err(_) => LedgerError::Torn { path, why: error.to_string() },
            });
        }
        seen.offset = seen.offset.saturating_add(bytes.len() as u64);
        seen.lines = seen.lines.saturating_add(records.len());
        seen.sum = sum;
        Ok(())
    }

    /// Whether it should be written anew.
    pub(super) fn is_long(&self) -> bool {
        let long = |seen: &Seen| seen.offset > self.compact_bytes.max(seen.base.saturating_mul(2));
        self.seen.as_ref().is_some_and(long)
    }

    /// Writes it anew, beginning with what it says now. A crash leaves the old file or the new one, and both say it.
    pub(super) fn compact(&mut self) -> Result<(), LedgerError> {
        match &self.seen {
            Some(seen) => self.publish(&seen.accounts.clone()),
            None => Ok(()),
        }
    }

    /// Begins a journal where there is none.
    pub(super) fn begin(&mut self, now: Timestamp) -> Result<(), LedgerError> {
        self.publish(&Accounts::new(now, 1))
    }

    fn publish(&mut self, accounts: &Accounts) -> Result<(), LedgerError> {
        let (path, draft) = (self.path(), self.dir.join(DRAFT));
        let write = || -> std::io::Result<()> {
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
            let (mut bytes, mut sum) = (Vec::new(), beginning());
            for record in accounts.compact() {
                let (line, next) = encode(&record, sum)?;
                bytes.extend(line);
                sum = next;
            }
            file.write_all(&bytes)?;
            file.sync_all()?;
            std::fs::rename(&draft, &path)?;
            File::open(&self.dir)?.sync_all()
        };
        write().map_err(|e| LedgerError::io("written anew", &path, &e))?;
        self.seen = Some(read_all(&path, &to_append())?);
        Ok(())
    }
}

fn to_append() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).append(true);
    options
}

/// Reads a journal from its beginning.
fn read_all(path: &Path, how: &OpenOptions) -> Result<Seen, LedgerError> {
    let file = how.open(path).map_err(|e| LedgerError::io("opened", path, &e))?;
    let bytes = whole_lines(&file, (0, 0), path)?;
    let mut lines = each(&bytes);
    let damaged = |line: usize, why: &'static str| LedgerError::Damaged { path: path.to_owned(), line, why };
    let first = lines.next().ok_or_else(|| damaged(1, "there is no whole line"))?;
    let (head, mut sum) = decode(first, beginning()).map_err(|why| damaged(1, why))?;
    let Record::Head { version: VERSION, since, next, rows, kept } = head else {
        return Err(damaged(1, "it is not the head of a journal that this version reads"));
    };
    let behind_head = rows.saturating_add(kept);
    let mut accounts = Accounts::new(since, next);
    let (mut base, mut count) = (first.len() as u64 + 1, 0_usize);
    for line in lines {
        let (record, next) = decode(line, sum).map_err(|why| damaged(count + 2, why))?;
        let belongs = match &record {
            Record::Row { .. } => count < rows,
            Record::Kept(_) => (rows..behind_head).contains(&count),
            _ => count >= behind_head,
        };
        if !belongs {
            return Err(damaged(count + 2, "it does not belong where it stands"));
        }
        accounts.apply(record).map_err(|why| damaged(count + 2, why))?;
        if count < behind_head {
            base = base.saturating_add(line.len() as u64 + 1);
        }
        (sum, count) = (next, count + 1);
    }
    if count < behind_head {
        return Err(damaged(count + 1, "it is the last one, and the head promises more"));
    }
    Ok(Seen { file, offset: bytes.len() as u64, lines: count + 1, base, sum, accounts })
}

/// Reads what was appended since.
fn read_on(seen: &mut Seen, path: &Path) -> Result<(), LedgerError> {
    let bytes = whole_lines(&seen.file, (seen.offset, seen.lines), path)?;
    for line in each(&bytes) {
        seen.lines += 1;
        let damaged = |why| LedgerError::Damaged { path: path.to_owned(), line: seen.lines, why };
        let (record, sum) = decode(line, seen.sum).map_err(damaged)?;
        seen.accounts.apply(record).map_err(damaged)?;
        seen.sum = sum;
    }
    seen.offset = seen.offset.saturating_add(bytes.len() as u64);
    Ok(())
}

fn each(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split_inclusive(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\n").unwrap_or(line))
}

/// The bytes behind `offset`, where `line` ends, up to the last newline.
fn whole_lines(mut file: &File, (offset, line): (u64, usize), path: &Path) -> Result<Vec<u8>, LedgerError> {
    let failed = |e: std::io::Error| LedgerError::io("read", path, &e);
    let length = file.metadata().map_err(failed)?.len();
    if length > JOURNAL_BYTES {
        return Err(failed(ErrorKind::FileTooLarge.into()));
    }
    let Some(more) = length.checked_sub(offset) else {
        let why = "it was there before, and the file ends above it";
        return Err(LedgerError::Damaged { path: path.to_owned(), line, why });
    };
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(offset)).map_err(failed)?;
    file.take(more).read_to_end(&mut bytes).map_err(failed)?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    bytes.truncate(whole);
    Ok(bytes)
}

/// The sums of the journal in `dir` as of now, without a lock and without changing anything; `None` where there is none.
pub(super) fn read(dir: &Path) -> Result<Option<Accounts>, LedgerError> {
    let path = dir.join(NAME);
    match std::fs::metadata(&path) {
        Ok(_) => Ok(Some(read_all(&path, OpenOptions::new().read(true))?.accounts)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(LedgerError::io("looked at", &path, &e)),
    }
}
