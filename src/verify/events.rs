//! The event log, read once: hashed, grown into its tree, checked line by line, and made into a trace again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Take};
use std::sync::mpsc::{SyncSender, sync_channel};

use crate::beneath::Dir;
use crate::event::{EventKind, Source};
use crate::evidence::{CallSums, EVENTS, MAX_EVENT_LINE, MAX_FILE, MerkleTree, SignedHead, TraceBuilder};
use crate::vocab::{Basis, Digest, Hasher, RunId, Timestamp};

use super::attempts::Attempts;
use super::event_line;
use super::granted::Granted;
use super::layers::Layers;
use super::programs::Programs;

/// Bytes that are handed to the hashing thread at once, and how many such pieces may wait.
const PIECE: usize = 256 << 10;
const PIECES_AHEAD: usize = 8;
const LOST: &str = "the thread that hashes the event log died";

/// What reading the log showed.
pub(super) struct Log {
    pub(super) digest: Digest,
    pub(super) count: u64,
    pub(super) root: Digest,
    pub(super) first: Option<EventKind>,
    pub(super) last: Option<EventKind>,
    pub(super) trace: TraceBuilder,
    pub(super) programs: Programs,
    pub(super) layers: Layers,
    /// What model calls came to, by the broker's word.
    pub(super) calls: CallSums,
    pub(super) granted: Granted,
    pub(super) attempts: Attempts,
    /// What `verdict.reached` said, where it said one.
    pub(super) verdict: Option<String>,
    /// The first line that does not belong there, with its number.
    pub(super) problem: Option<(u64, String)>,
    /// Bytes after the last newline: a line that was being written.
    pub(super) unfinished: bool,
    roots: BTreeMap<u64, Digest>,
}

/// The log, opened once; its first line is read, because it names the run.
pub(super) struct Opened {
    reader: BufReader<Take<File>>,
    first: Vec<u8>,
}

/// Opens the log.
pub(super) fn open(dir: &Dir) -> Result<Opened, String> {
    let file = dir.open_file(EVENTS).map_err(|error| error.to_string())?;
    let mut reader = BufReader::with_capacity(256 << 10, file.take(MAX_FILE));
    let mut first = Vec::new();
    read_line(&mut reader, &mut first)?;
    Ok(Opened { reader, first })
}

/// One line with its newline, or one byte more than a line and its newline may have, so that a longer one shows.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> Result<usize, String> {
    let limit = MAX_EVENT_LINE as u64 + 2;
    let read = reader.by_ref().take(limit).read_until(b'\n', line);
    read.map_err(|error| format!("`{EVENTS}` cannot be read: {error}"))
}

impl Opened {
    /// The run that the first line names, when that is whole.
    pub(super) fn run(&self) -> Result<Option<RunId>, String> {
        let Some((b'\n', line)) = self.first.split_last() else { return Ok(None) };
        let event = event_line::read(line)
            .map_err(|error| format!("line 1 of the event log is no event: {error}"))?;
        Ok(Some(event.run_id))
    }

    /// Reads the log of `run`, taking note of the roots at the sizes that `heads` sign.
    pub(super) fn scan(mut self, run: &RunId, heads: &[SignedHead]) -> Result<Log, String> {
        let (hasher, pieces) = sync_channel::<Vec<u8>>(PIECES_AHEAD);
        std::thread::scope(|scope| {
            // The file's digest and the tree's leaves are two passes of SHA-256 over the same bytes: side by side.
            let digest = scope.spawn(move || {
                let mut whole = Hasher::new();
                for piece in pieces {
                    whole.update(&piece);
                }
                whole.finish()
            });
            let mut scan = Scan::new(run, heads, hasher);
            if !self.first.is_empty() {
                scan.take(&self.first)?;
            }
            scan.read_lines(&mut self.reader)?;
            let mut log = scan.finish()?;
            log.digest = digest.join().map_err(|_| LOST.to_owned())?;
            Ok(log)
        })
    }
}

struct Scan<'a> {
    run: &'a RunId,
    wanted: Vec<u64>,
    /// Where the file's bytes go to be hashed, and those that have not gone yet.
    hasher: SyncSender<Vec<u8>>,
    piece: Vec<u8>,
    tree: MerkleTree,
    time: Option<Timestamp>,
    log: Log,
}

impl<'a> Scan<'a> {
    fn new(run: &'a RunId, heads: &[SignedHead], hasher: SyncSender<Vec<u8>>) -> Self {
        let mut wanted: Vec<u64> = heads.iter().map(|signed| signed.head.size).collect();
        wanted.sort_unstable_by(|a, b| b.cmp(a));
        wanted.dedup();
        let tree = MerkleTree::new();
        let mut roots = BTreeMap::new();
        if wanted.last() == Some(&0) {
            wanted.pop();
            roots.insert(0, tree.root());
        }
        let log = Log {
            digest: Digest::of(b""),
            count: 0,
            root: tree.root(),
            first: None,
            last: None,
            trace: TraceBuilder::new(run),
            programs: Programs::default(),
            layers: Layers::default(),
            calls: CallSums::default(),
            granted: Granted::default(),
            attempts: Attempts::default(),
            verdict: None,
            problem: None,
            unfinished: false,
            roots,
        };
        Self { run, wanted, hasher, piece: Vec::new(), tree, time: None, log }
    }

    fn read_lines(&mut self, reader: &mut impl BufRead) -> Result<(), String> {
        let mut line = Vec::new();
        loop {
            line.clear();
            match read_line(reader, &mut line)? {
                0 => return Ok(()),
                _ => self.take(&line)?,
            }
        }
    }

    fn hand_on(&mut self) -> Result<(), String> {
        self.hasher.send(std::mem::take(&mut self.piece)).map_err(|_| LOST.to_owned())
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE {
            self.hand_on()?;
        }
        self.line(bytes);
        Ok(())
    }

    fn line(&mut self, bytes: &[u8]) {
        let Some((b'\n', line)) = bytes.split_last() else {
            let too_long = bytes.len() > MAX_EVENT_LINE && self.log.problem.is_none();
            if too_long {
                let problem = format!("it is longer than {MAX_EVENT_LINE} bytes");
                self.log.problem = Some((self.tree.size() + 1, problem));
            }
            self.log.unfinished = true;
            return;
        };
        self.tree.push(line);
        if self.wanted.last() == Some(&self.tree.size()) {
            self.wanted.pop();
            self.log.roots.insert(self.tree.size(), self.tree.root());
        }
        if self.log.problem.is_none()
            && let Err(problem) = self.check(line)
        {
            self.log.problem = Some((self.tree.size(), problem));
        }
    }

    fn check(&mut self, line: &[u8]) -> Result<(), String> {
        if line.len() > MAX_EVENT_LINE {
            return Err(format!("it is longer than {MAX_EVENT_LINE} bytes"));
        }
        let event = event_line::read(line).map_err(|error| format!("it is not an event: {error}"))?;
        if event.seq != self.tree.size() {
            return Err(format!("its number is {}", event.seq));
        }
        if event.run_id != *self.run {
            return Err(format!("it is of {}", event.run_id));
        }
        if self.time.is_some_and(|time| event.time < time) {
            return Err("it is older than the one before it".to_owned());
        }
        if event.source == Source::Engine && event.basis != Basis::Claimed {
            return Err("an engine's word stands as observed".to_owned());
        }
        self.time = Some(event.time);
        if self.log.first.is_none() {
            self.log.first = Some(event.kind);
        }
        self.log.last = Some(event.kind);
        if event.kind == EventKind::VerdictReached {
            self.log.verdict = event.data.get("verdict").and_then(|v| v.as_str()).map(str::to_owned);
        }
        self.log.trace.observe(&event);
        self.log.programs.observe(&event);
        self.log.layers.observe(&event);
        if (event.source, event.basis) == (Source::Broker, Basis::Observed) {
            self.log.calls.take(event.kind, &event.data);
        }
        self.log.granted.observe(&event);
        self.log.attempts.observe(&event);
        Ok(())
    }

    /// The log but for its digest. Dropping the sender ends the hashing.
    fn finish(mut self) -> Result<Log, String> {
        self.hand_on()?;
        self.log.count = self.tree.size();
        self.log.root = self.tree.root();
        Ok(self.log)
    }
}

impl Log {
    /// Whether the lines are what a run writes.
    pub(super) fn lines(&self) -> Result<String, String> {
        match &self.problem {
            Some((number, problem)) => {
                Err(format!("line {number} of the event log does not belong there: {problem}"))
            }
            None if self.unfinished => Err("the last line of the event log has no end".to_owned()),
            None => Ok(format!("{} events, without gaps and in order", self.count)),
        }
    }

    /// Whether every head is one of this log, sizes never shrink, and (for a sealed log) the last covers it all.
    pub(super) fn heads(&self, heads: &[SignedHead]) -> Result<u64, String> {
        let mut before = 0;
        for (index, signed) in heads.iter().enumerate() {
            let head = &signed.head;
            let number = index + 1;
            if head.size < before {
                return Err(format!("checkpoint {number} is of fewer events than the one before it"));
            }
            before = head.size;
            match self.roots.get(&head.size) {
                None => {
                    return Err(format!(
                        "checkpoint {number} signs {} events and the log has {}: it was cut",
                        head.size, self.count
                    ));
                }
                Some(root) if *root != head.root => {
                    return Err(format!(
                        "checkpoint {number} signs other events than the first {}",
                        head.size
                    ));
                }
                Some(_) => {}
            }
        }
        Ok(before)
    }
}
