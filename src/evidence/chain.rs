//! The event log as it grows: one line an event, a Merkle tree over the lines, signed heads along the way.
//!
//! Every line is redacted, then written with one call, so a killed run leaves whole lines but for the last, and a head
//! comes after the events that it signs. A power cut is another matter: events are brought to disk every
//! [`EVENTS_PER_CHECKPOINT`], with the id of a thread, and when sealed, not at every stage, so an unsealed log that a
//! power cut shortened may be refused instead of being taken for a prefix; it is no result either way. After a write
//! that failed nothing more is taken, because the file's end is not known any more.
//!
//! When a secret was learned after lines that hold it, the log is written once more with those lines redacted, its
//! tree grown and its heads signed anew, and takes the place of the first. Killed in that moment, it is a log
//! without heads.

mod reopen;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, Write};
use std::sync::Arc;

use serde_json::{Value, json};

use super::note::TreeHead;
use super::redaction::{Redactor, redact_value};
use super::trace::TraceBuilder;
use super::tree::MerkleTree;
use crate::event::{Draft, Event, EventKind, EventSink, SinkError};
use crate::vocab::{Basis, Digest, Hasher, RunId, SealingKey, Timestamp};

/// Longest line of the event log, bytes without the newline. Longer data is replaced by its digest.
pub const MAX_EVENT_LINE: usize = 1 << 20;
/// Events between two signed heads when no stage ends.
pub const EVENTS_PER_CHECKPOINT: u64 = 256;

/// The event log of one run.
pub struct Chain {
    run: RunId,
    key: Arc<SealingKey>,
    redact: Redactor,
    events: File,
    checkpoints: File,
    tree: MerkleTree,
    /// Sizes and stages of the heads signed so far.
    heads: Vec<(u64, String)>,
    /// How many secrets were known at the last event, and how many events were written before the last of them.
    known: usize,
    stale: u64,
    last: Option<Timestamp>,
    /// After a failed write, and after the last head.
    broken: bool,
    written: Hasher,
    original: Hasher,
    notes: Hasher,
    rules: BTreeSet<String>,
    trace: TraceBuilder,
}

/// A finished log: what the bundle says about it.
pub(super) struct FinishedChain {
    pub(super) count: u64,
    pub(super) root: Digest,
    /// Of `events.normalized.jsonl`.
    pub(super) digest: Digest,
    /// Of `checkpoints`.
    pub(super) notes: Digest,
    pub(super) files: [File; 2],
    pub(super) trace: TraceBuilder,
}

impl Chain {
    pub(super) fn new(
        run: RunId,
        key: Arc<SealingKey>,
        redact: Redactor,
        events: File,
        checkpoints: File,
    ) -> Self {
        Self {
            trace: TraceBuilder::new(&run),
            run,
            key,
            redact,
            events,
            checkpoints,
            tree: MerkleTree::new(),
            heads: Vec::new(),
            known: 0,
            stale: 0,
            last: None,
            broken: false,
            written: Hasher::new(),
            original: Hasher::new(),
            notes: Hasher::new(),
            rules: BTreeSet::new(),
        }
    }

    /// Number of events so far.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.tree.size()
    }

    /// Whether nothing was recorded yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.tree.size() == 0
    }

    /// Rules that matched in what stages wanted to write, and the digest of the log as it would have been.
    pub(super) fn withheld(&self) -> Option<(Digest, Vec<String>)> {
        (!self.rules.is_empty())
            .then(|| (self.original.clone().finish(), self.rules.iter().cloned().collect()))
    }

    /// Signs the head of the events so far. `stage` is one word.
    pub fn checkpoint(&mut self, stage: &str) -> Result<(), SinkError> {
        self.guarded(|chain| chain.sign_head(stage))
    }

    fn sign_head(&mut self, stage: &str) -> io::Result<()> {
        let head = TreeHead { size: self.tree.size(), root: self.tree.root(), stage: stage.to_owned() };
        let note = head.signed(&self.run, &self.key);
        self.checkpoints.write_all(note.as_bytes())?;
        self.notes.update(note.as_bytes());
        self.heads.push((self.tree.size(), stage.to_owned()));
        Ok(())
    }

    fn guarded(&mut self, act: impl FnOnce(&mut Self) -> io::Result<()>) -> Result<(), SinkError> {
        if self.broken {
            return Err(io::Error::other("an earlier write failed, or the log is sealed").into());
        }
        act(self).inspect_err(|_| self.broken = true).map_err(SinkError::from)
    }

    fn record(&mut self, draft: Draft) -> io::Result<()> {
        let now = Timestamp::now();
        // The clock may be set back while a run lasts; the log's order may not.
        let time = self.last.map_or(now, |last| last.max(now));
        self.last = Some(time);
        let mut event = Event {
            seq: self.tree.size() + 1,
            time,
            run_id: self.run.clone(),
            source: draft.source,
            kind: draft.kind,
            basis: draft.basis,
            data: object(draft.data),
        };
        let line = serde_json::to_vec(&event)?;
        self.original.update(&line);
        self.original.update(b"\n");
        let known = self.redact.learned();
        if known > self.known {
            (self.known, self.stale) = (known, self.tree.size());
        }
        self.redact_and_write(&mut event, line)?;
        let signed = self.heads.last().map_or(0, |(size, _)| *size);
        if event.kind == EventKind::ThreadStarted {
            // A thread can be gone on with only where its id outlives everything else.
            self.sign_head(event.kind.as_str())?;
            self.events.sync_data()?;
            self.checkpoints.sync_data()?;
        } else if ends_stage(event.kind) {
            self.sign_head(event.kind.as_str())?;
        } else if self.tree.size() - signed >= EVENTS_PER_CHECKPOINT {
            self.events.sync_data()?;
            self.sign_head("events")?;
        }
        Ok(())
    }

    /// Writes `event`, whose line is `line` unless something in it has to be replaced.
    fn redact_and_write(&mut self, event: &mut Event, mut line: Vec<u8>) -> io::Result<()> {
        let rules = redact_value(&mut event.data, &*self.redact);
        if !rules.is_empty() {
            self.rules.extend(rules);
            line = serde_json::to_vec(event)?;
        }
        if line.len() > MAX_EVENT_LINE {
            event.data = cut(&event.data)?;
            line = serde_json::to_vec(event)?;
        }
        self.trace.observe(event);
        self.tree.push(&line);
        line.push(b'\n');
        self.events.write_all(&line)?;
        self.written.update(&line);
        Ok(())
    }

    /// Whether any of the events that were written before the last of `known` secrets was learned holds one; they
    /// are not asked again for these. `lines`: the log as it is on disk.
    pub(super) fn holds_secret(&mut self, lines: impl BufRead, known: usize) -> Result<bool, SinkError> {
        let stale = if known > self.known { self.tree.size() } else { self.stale };
        (self.known, self.stale) = (known.max(self.known), 0);
        for line in lines.split(b'\n').take(usize::try_from(stale).unwrap_or(usize::MAX)) {
            let mut event: Event = serde_json::from_slice(&line?).map_err(io::Error::from)?;
            if !redact_value(&mut event.data, &*self.redact).is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Writes the log once more from `lines`, the log as it is on disk, into new files, with what is known now.
    /// The files that were written so far are not the log any more.
    pub(super) fn redo(&mut self, lines: impl BufRead, events: File, notes: File) -> Result<(), SinkError> {
        self.guarded(|chain| {
            let (key, redact) = (Arc::clone(&chain.key), Arc::clone(&chain.redact));
            let mut fresh = Self::new(chain.run.clone(), key, redact, events, notes);
            let (mut read, mut heads) = (MerkleTree::new(), chain.heads.iter().peekable());
            for line in lines.split(b'\n') {
                let line = line?;
                read.push(&line);
                let mut event: Event = serde_json::from_slice(&line)?;
                fresh.redact_and_write(&mut event, line)?;
                while let Some((_, stage)) = heads.next_if(|(size, _)| *size <= fresh.tree.size()) {
                    fresh.sign_head(stage)?;
                }
            }
            if read.root() != chain.tree.root() {
                return Err(io::Error::other("somebody else changed the event log while it was written"));
            }
            fresh.rules.extend(chain.rules.iter().cloned());
            (fresh.original, fresh.last) = (chain.original.clone(), chain.last);
            (fresh.known, fresh.stale) = (chain.known, chain.stale);
            // The old heads do not sign the new lines: until the new ones are in their place there are none.
            chain.checkpoints.set_len(0)?;
            *chain = fresh;
            Ok(())
        })
    }

    /// Signs the last head. Nothing can be appended after it.
    pub(super) fn finish(&mut self) -> Result<FinishedChain, SinkError> {
        self.checkpoint("sealed")?;
        self.broken = true;
        Ok(FinishedChain {
            count: self.tree.size(),
            root: self.tree.root(),
            digest: self.written.clone().finish(),
            notes: self.notes.clone().finish(),
            files: [self.events.try_clone()?, self.checkpoints.try_clone()?],
            trace: std::mem::replace(&mut self.trace, TraceBuilder::new(&self.run)),
        })
    }
}

impl EventSink for Chain {
    fn append(&mut self, draft: Draft) -> Result<(), SinkError> {
        // INVARIANT: nothing an engine said is ever recorded as seen.
        let claimed = draft.source != crate::event::Source::Engine || draft.basis == Basis::Claimed;
        let draft = if claimed { draft } else { Draft { basis: Basis::Claimed, ..draft } };
        self.guarded(|chain| chain.record(draft))
    }
}

/// Data is an object in every event.
fn object(data: Value) -> Value {
    match data {
        Value::Object(_) => data,
        other => json!({"value": other}),
    }
}

/// Data that is too long for a line: how long it was, and its digest.
fn cut(data: &Value) -> serde_json::Result<Value> {
    let bytes = serde_json::to_vec(data)?;
    Ok(json!({"cut": true, "bytes": bytes.len(), "digest": Digest::of(&bytes)}))
}

const fn ends_stage(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::RunStarted
            | EventKind::DecisionEmitted
            | EventKind::WorkspacePrepared
            | EventKind::SandboxEstablished
            | EventKind::EngineFinished
            | EventKind::VerificationFinished
            | EventKind::VerdictReached
    )
}
