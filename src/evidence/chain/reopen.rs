//! Going on with a log whose writer died: what it left is checked from the first line to the last before a line is
//! added.
//!
//! Taken is a log that a kill leaves: whole lines, perhaps the beginning of one more, and heads by this machine's key
//! over its first lines. The torn end is cut off. Anything else (a line that does not follow the one before it, a head
//! that signs other lines or more of them, another key) was made by somebody else, or by a power cut, and is refused.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::sync::Arc;

use super::{Chain, MAX_EVENT_LINE, Redactor};
use crate::event::{Event, Source};
use crate::evidence::folder::MAX_FILE;
use crate::evidence::note::{SignedHead, TreeHead};
use crate::vocab::{Basis, RunId, SealingKey};

impl Chain {
    /// The log in `events`, signed in `checkpoints`, to be gone on with; both are positioned at their start and written
    /// at their end. `see` is shown every event. Also how many bytes of a torn line were cut off.
    pub(in crate::evidence) fn reopen(
        run: RunId,
        key: Arc<SealingKey>,
        redact: Redactor,
        events: File,
        checkpoints: File,
        see: &mut dyn FnMut(&Event),
    ) -> io::Result<(Self, u64)> {
        let mut chain = Self::new(run, key, redact, events, checkpoints);
        let heads = chain.take_heads()?;
        let cut = chain.take_lines(&heads, see)?;
        // What was written before this process learned anything is not known to be free of what it learns.
        chain.stale = chain.tree.size();
        Ok((chain, cut))
    }

    /// The signed heads; a torn one at the end is cut off.
    fn take_heads(&mut self) -> io::Result<Vec<SignedHead>> {
        let mut bytes = Vec::new();
        (&self.checkpoints).take(MAX_FILE).read_to_end(&mut bytes)?;
        let text = bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
        let heads = TreeHead::parse_prefix(text, &self.run);
        let whole: usize = text.split_inclusive('\n').take(heads.len() * TreeHead::LINES).map(str::len).sum();
        let rest = bytes.get(whole..).unwrap_or_default();
        if rest.split(|byte| *byte == b'\n').count() > TreeHead::LINES {
            return Err(refused("a checkpoint is none of this run"));
        }
        if heads.iter().any(|head| !head.is_signed_by(&self.key.public())) {
            return Err(refused(
                "its checkpoints are not signed by the sealing key that this machine has now",
            ));
        }
        if !rest.is_empty() {
            self.checkpoints.set_len(whole as u64)?;
        }
        self.notes.update(bytes.get(..whole).unwrap_or_default());
        self.heads = heads.iter().map(|head| (head.head.size, head.head.stage.clone())).collect();
        Ok(heads)
    }

    /// The lines, each in its place; a torn one at the end is cut off.
    fn take_lines(&mut self, heads: &[SignedHead], see: &mut dyn FnMut(&Event)) -> io::Result<u64> {
        let mut reader = BufReader::new(self.events.try_clone()?);
        reader.seek(SeekFrom::Start(0))?;
        let mut heads = heads.iter().peekable();
        let (mut whole, mut line) = (0_u64, Vec::new());
        loop {
            while let Some(head) = heads.next_if(|head| head.head.size == self.tree.size()) {
                if head.head.root != self.tree.root() {
                    return Err(refused("a checkpoint signs other events"));
                }
            }
            line.clear();
            let read = reader.by_ref().take(MAX_EVENT_LINE as u64 + 2).read_until(b'\n', &mut line)?;
            let Some((b'\n', text)) = line.split_last() else {
                if read > MAX_EVENT_LINE {
                    return Err(refused("a line is too long"));
                }
                break;
            };
            let event: Event = serde_json::from_slice(text).map_err(io::Error::from)?;
            self.follows(&event)?;
            self.trace.observe(&event);
            self.tree.push(text);
            for sum in [&mut self.written, &mut self.original] {
                sum.update(&line);
            }
            self.last = Some(event.time);
            whole += read as u64;
            see(&event);
        }
        if heads.next().is_some() {
            return Err(refused("a checkpoint signs more events than there are"));
        }
        if !line.is_empty() {
            self.events.set_len(whole)?;
        }
        Ok(line.len() as u64)
    }

    fn follows(&self, event: &Event) -> io::Result<()> {
        let fits = event.seq == self.tree.size() + 1
            && event.run_id == self.run
            && self.last.is_none_or(|last| last <= event.time)
            && (event.source != Source::Engine || event.basis == Basis::Claimed);
        if fits { Ok(()) } else { Err(refused("a line does not follow the one before it")) }
    }
}

fn refused(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::event::{Draft, EventKind, EventSink as _, Redact};

    struct Nothing;
    impl Redact for Nothing {
        fn redact(&self, _: &[u8]) -> Option<(Vec<u8>, Vec<String>)> {
            None
        }
    }

    struct Place {
        dir: tempfile::TempDir,
        run: RunId,
        key: Arc<SealingKey>,
    }

    impl Place {
        fn new() -> Self {
            let key = Arc::new(SealingKey::generate().unwrap());
            Self { dir: tempfile::tempdir().unwrap(), run: RunId::new(), key }
        }

        fn file(&self, name: &str) -> File {
            let mut options = File::options();
            options.read(true).append(true).create(true).open(self.dir.path().join(name)).unwrap()
        }

        fn chain(&self) -> Chain {
            let (events, notes) = (self.file("events"), self.file("notes"));
            Chain::new(self.run.clone(), Arc::clone(&self.key), Arc::new(Nothing), events, notes)
        }

        fn reopen(&self) -> io::Result<(Chain, u64)> {
            let (events, notes) = (self.file("events"), self.file("notes"));
            let key = Arc::clone(&self.key);
            Chain::reopen(self.run.clone(), key, Arc::new(Nothing), events, notes, &mut |_| {})
        }

        fn change(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
            let path = self.dir.path().join(name);
            let mut bytes = std::fs::read(&path).unwrap();
            change(&mut bytes);
            std::fs::write(path, bytes).unwrap();
        }
    }

    fn two(chain: &mut Chain) {
        for kind in [EventKind::RunStarted, EventKind::Message] {
            chain.append(Draft::observed(kind, json!({"n": 1}))).unwrap();
        }
    }

    #[test]
    fn it_goes_on_where_the_kill_came_and_gives_the_same_as_one_that_was_not_killed() {
        let place = Place::new();
        two(&mut place.chain());
        place.change("events", |bytes| bytes.extend(b"{\"seq\":3,\"ti"));
        place.change("notes", |bytes| bytes.extend("cto-harness/\u{2014}".as_bytes()));
        let (mut chain, cut) = place.reopen().unwrap();
        assert_eq!((chain.len(), cut), (2, 12));
        two(&mut chain);
        let finished = chain.finish().unwrap();
        assert_eq!(finished.count, 4);
        let bytes = std::fs::read(place.dir.path().join("events")).unwrap();
        assert_eq!(crate::vocab::Digest::of(&bytes), finished.digest);
        let notes = std::fs::read_to_string(place.dir.path().join("notes")).unwrap();
        assert_eq!(crate::vocab::Digest::of(notes.as_bytes()), finished.notes);
        let heads = TreeHead::parse_all(&notes, &place.run).unwrap();
        assert_eq!(heads.last().unwrap().head.root, finished.root);
    }

    #[test]
    fn what_somebody_changed_is_not_gone_on_with() {
        type Change = fn(&mut Vec<u8>);
        let changes: [(&str, Change); 5] = [
            ("events", |bytes| {
                let end = bytes.iter().position(|byte| *byte == b'\n').unwrap();
                bytes.drain(..=end);
            }),
            ("events", |bytes| bytes.clear()),
            ("events", |bytes| {
                let at = bytes.windows(5).position(|part| part == b"\"n\":1").unwrap();
                bytes[at + 4] = b'2';
            }),
            ("events", |bytes| bytes.extend(b"no event\n")),
            ("notes", |bytes| bytes.extend([b'\n'; 8])),
        ];
        for (index, (name, change)) in changes.into_iter().enumerate() {
            let place = Place::new();
            two(&mut place.chain());
            assert!(place.reopen().is_ok());
            place.change(name, change);
            assert!(place.reopen().is_err(), "{index}");
        }
        let mut place = Place::new();
        two(&mut place.chain());
        place.key = Arc::new(SealingKey::generate().unwrap());
        assert!(place.reopen().is_err(), "another key");
    }
}
