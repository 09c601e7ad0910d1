//! A bundle that a later attempt of its run goes on with: what the earlier one wrote is set aside, and stays evidence.
//!
//! The event log goes on; every other file of the dead attempt moves into `attempt-<n>/`, as it is. What is only derived
//! when sealing is removed: nothing was sealed. Whole entries are moved, one rename each, and nothing of the next attempt
//! is written before all are, so that a kill in between leaves the rest to be moved by whoever comes next.

use std::ffi::OsStr;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::sync::Arc;

use super::bundle::{
    BundleError, BundleWriter, CHECKPOINTS, CONTRACT, CTRF, EVENTS, INPUTS_DIR, REPORT, ROOT, SARIF, SUMMARY,
    SUMS, TRACE,
};
use super::chain::Chain;
use super::folder::{MAX_FILE, MAX_NAMES, list};
use super::redaction::{RawLogs, Redactor};
use crate::beneath::{Dir, FileKind};
use crate::event::Event;
use crate::vocab::{Digest, Hasher, RunId, SealingKey};

/// Made anew when sealing.
const DERIVED: [&str; 6] = [REPORT, SUMMARY, TRACE, SARIF, CTRF, SUMS];
/// What stands where a secret stood.
const MARK: &[u8] = b"[redacted:";
const CHANGED: &str = "somebody else put something into it";

/// The folder of one attempt's files.
fn folder(attempt: u32) -> String {
    format!("attempt-{attempt}")
}

/// What earlier attempts left in a bundle.
#[derive(Debug, Default)]
pub struct Aside {
    /// Names of the files in which a secret was replaced.
    pub marked: Vec<String>,
    /// Every file and its bytes.
    sizes: Vec<(String, u64)>,
}

impl Aside {
    /// Bytes of the file `name` of all attempts together; 0 where none has one.
    #[must_use]
    pub fn bytes_of(&self, name: &str) -> u64 {
        let of_an_attempt =
            |full: &str| full.strip_prefix("attempt-").and_then(|rest| Some(rest.split_once('/')?.1 == name));
        self.sizes.iter().filter(|(full, _)| of_an_attempt(full) == Some(true)).map(|(_, size)| size).sum()
    }
}

impl BundleWriter {
    /// Reopens the bundle in the folder `path`, whose writer is dead. `see` is shown every event of the log, in order.
    /// Also how many bytes of a line that was being written were cut off. [`BundleWriter::set_aside`] comes next.
    pub fn reopen(
        path: &Path,
        run: RunId,
        redact: Redactor,
        key: Arc<SealingKey>,
        see: &mut dyn FnMut(&Event),
    ) -> Result<(Self, u64), BundleError> {
        let failed = |source| BundleError::Create { path: path.to_owned(), source };
        let name = path.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let dir = Dir::open_root(parent)?.open_dir(name)?;
        if dir.status(ROOT)?.is_some() {
            return Err(BundleError::Inconsistent("it is sealed already"));
        }
        let (events, notes) = (dir.open_file_to_go_on(EVENTS)?, dir.open_file_to_go_on(CHECKPOINTS)?);
        let (chain, cut) =
            Chain::reopen(run.clone(), Arc::clone(&key), Arc::clone(&redact), events, notes, see)
                .map_err(|source| BundleError::Write { name: EVENTS.to_owned(), source })?;
        let raw = RawLogs::new(Arc::clone(&redact));
        let path = path.to_owned();
        let (sums, withheld, gone_over, unsynced) = Default::default();
        let bundle = Self { dir, path, run, key, redact, chain, raw, sums, withheld, gone_over, unsynced };
        Ok((bundle, cut))
    }

    /// Shows every event that was recorded so far.
    pub fn events_so_far(&self, see: &mut dyn FnMut(&Event)) -> Result<(), BundleError> {
        let failed = |source| BundleError::Write { name: EVENTS.to_owned(), source };
        for line in BufReader::new(self.dir.open_file(EVENTS)?).split(b'\n') {
            let line = line.map_err(failed)?;
            see(&serde_json::from_slice(&line).map_err(|error| failed(error.into()))?);
        }
        Ok(())
    }

    /// Sets aside what the dead attempt `attempt` wrote, and takes the files of all earlier ones into the bundle; what
    /// they are.
    pub fn set_aside(&mut self, attempt: u32) -> Result<Aside, BundleError> {
        self.close_raw(attempt)?;
        let aside = self.dir.create_dir_all(folder(attempt), 0o700)?;
        for entry in self.dir.entries(MAX_NAMES)? {
            let Some(name) = entry.name.to_str() else { return Err(BundleError::Inconsistent(CHANGED)) };
            let written_again = name == CONTRACT || format!("{name}/") == INPUTS_DIR;
            if [EVENTS, CHECKPOINTS].contains(&name) || name.starts_with("attempt-") {
                continue;
            }
            if written_again || DERIVED.contains(&name) || is_partial(name) {
                self.dir.remove_tree(OsStr::new(name))?;
            } else {
                self.dir.move_into(OsStr::new(name), &aside)?;
            }
        }
        self.take_over()
    }

    /// Ends what this process wrote for the attempt: it is listed anew, by what it is on disk.
    fn close_raw(&mut self, attempt: u32) -> Result<(), BundleError> {
        let failed = |source| BundleError::Write { name: "backend/".to_owned(), source };
        self.raw.flush().map_err(failed)?;
        let replaced: Vec<_> =
            self.raw.logs.iter().filter_map(|(name, log)| Some((name.clone(), log.withheld()?))).collect();
        for (name, (digest, rules)) in replaced {
            self.note_withheld(&name, digest, rules);
        }
        self.raw.finish().map_err(failed)?;
        let stays =
            |name: &str| name == CONTRACT || name.starts_with(INPUTS_DIR) || name.starts_with("attempt-");
        for one in self.withheld.iter_mut().filter(|one| !stays(&one.name)) {
            one.name = format!("{}/{}", folder(attempt), one.name);
        }
        self.sums.clear();
        self.gone_over.clear();
        Ok(())
    }

    /// Every file that earlier attempts wrote, by what it is now.
    fn take_over(&mut self) -> Result<Aside, BundleError> {
        let (mut aside, listing) = (Aside::default(), list(&self.dir, MAX_NAMES)?);
        // A folder without a file belongs in no bundle; a kill may have come between the two.
        let empty = |folder: &str| {
            let holds = |name: &str| name.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
            !listing.iter().any(|one| one.kind != FileKind::Directory && holds(&one.name))
        };
        for listed in &listing {
            if listed.kind == FileKind::Directory && listed.well_named {
                if empty(&listed.name) {
                    let (above, own) = self.folder_of(&listed.name)?;
                    above.remove_tree(OsStr::new(&own))?;
                }
                continue;
            }
            if listed.kind != FileKind::File || !listed.well_named || listed.size > MAX_FILE {
                return Err(BundleError::Inconsistent(CHANGED));
            }
            let name = listed.name.clone();
            if [EVENTS, CHECKPOINTS].contains(&name.as_str()) {
                continue;
            }
            let file = self.dir.open_file(&name)?;
            let failed = |source| BundleError::Write { name: name.clone(), source };
            let (digest, with_mark) = look_through(&file).map_err(failed)?;
            if with_mark {
                aside.marked.push(name.clone());
            }
            self.keep(&name, file)?;
            aside.sizes.push((name.clone(), listed.size));
            self.sums.insert(name.clone(), digest);
            // It was redacted with what another process knew.
            self.gone_over.insert(name, 0);
        }
        Ok(aside)
    }
}

/// A copy that was to take a file's place.
fn is_partial(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "part")
}

/// The file's digest, and whether a mark stands in it.
fn look_through(file: &std::fs::File) -> io::Result<(Digest, bool)> {
    /// Bytes looked at together.
    const PIECE: u64 = 64 << 10;
    let mut reader = BufReader::new(file);
    let (mut whole, mut marked, mut held) = (Hasher::new(), false, Vec::new());
    loop {
        let before = held.len();
        if reader.by_ref().take(PIECE).read_to_end(&mut held)? == 0 {
            return Ok((whole.finish(), marked));
        }
        whole.update(held.get(before..).unwrap_or_default());
        marked |= held.windows(MARK.len()).any(|window| window == MARK);
        // A mark may lie over the end of a piece.
        held.drain(..held.len().saturating_sub(MARK.len()));
    }
}
