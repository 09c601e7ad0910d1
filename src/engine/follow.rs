//! Following files that a running engine writes, from outside: new lines in order, within bounds, never through a link.
//!
//! The files are the engine's, and it may do with them what it likes while they are read. What can be told by looking
//! (another file in its place, a shorter one, none at all, a link) ends the following of that file and is told; what was
//! read before stays read. At the end everything is read once more, so that what was changed behind the reader's back is
//! told, too. It decides nothing.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::adapter::LaunchPlan;
use super::lay_out::HOME_FOLDER;
use crate::beneath::{BeneathError, Dir, Entry, FileKind, Status};
use crate::vocab::Hasher;

/// Files of one folder that are followed; more are told and not read.
const FILES: usize = 16;
/// Entries of one folder that are looked at.
const ENTRIES: usize = 1_000;
/// Bytes of one file that are followed.
const FILE_BYTES: u64 = 64 << 20;
/// Bytes of one line; the rest of a longer one is left out, and that is told.
pub(super) const LINE_BYTES: usize = 1 << 20;
/// Bytes of one file that are read at one look, so that nothing else waits for long.
const LOOK_BYTES: usize = 1 << 20;

/// A folder of the home whose files are followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WatchedFolder {
    /// Relative to the home.
    pub folder: String,
    /// How the names of the files begin and end.
    pub named: (String, String),
}

/// A file that is followed: which of the plan's folders, and its number there in the order of its coming, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchedFile {
    /// Index into the plan's watched folders.
    pub folder: usize,
    /// Its number.
    pub number: usize,
}

/// What is wrong with a file or folder that is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileTrouble {
    /// Index into the plan's watched folders.
    pub folder: usize,
    /// The file; `None` where it is about the folder, or about one that was never followed.
    pub file: Option<WatchedFile>,
    /// What.
    pub what: FileFault,
    /// A sentence for people.
    pub sentence: String,
}

/// Ways in which a followed file can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFault {
    /// Another file, or something that is none, stands in its place.
    Replaced,
    /// It became shorter.
    Shrunk,
    /// Its name is gone.
    Gone,
    /// What was read of it is not what it holds now.
    Rewritten,
    /// It is not a regular file.
    NotAFile,
    /// There are too many.
    TooMany,
    /// It has more bytes than are followed.
    TooLong,
    /// A line had more bytes than are kept.
    LongLine,
    /// Its last line has no end.
    CutLine,
    /// It could not be read.
    Unreadable,
}

/// What a look brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News {
    /// One line without its newline, possibly cut.
    Line(WatchedFile, Vec<u8>),
    /// Something is wrong.
    Trouble(FileTrouble),
}

/// Follows the watched folders of one plan.
pub struct Follower {
    home: PathBuf,
    folders: Vec<Folder>,
}

struct Folder {
    watched: WatchedFolder,
    files: Vec<Followed>,
    /// Said once each.
    said: Vec<FileFault>,
    was_there: bool,
}

struct Followed {
    name: String,
    identity: (u64, u64),
    read: u64,
    hash: Hasher,
    partial: Vec<u8>,
    /// The rest of the line is left out.
    skipping: bool,
    long_line: bool,
    /// Nothing more is read of it.
    given_up: bool,
}

impl Follower {
    /// What `plan` watches, laid out in `run_folder`; `None` where it watches nothing.
    #[must_use]
    pub fn of(plan: &LaunchPlan, run_folder: &Path) -> Option<Self> {
        let folder = |watched: &WatchedFolder| Folder {
            watched: watched.clone(),
            files: Vec::new(),
            said: Vec::new(),
            was_there: false,
        };
        let folders: Vec<Folder> = plan.watched.iter().map(folder).collect();
        (!folders.is_empty()).then(|| Self { home: run_folder.join(HOME_FOLDER), folders })
    }

    /// What is new. True where there is more to be had at once.
    pub(super) fn look(&mut self) -> (Vec<News>, bool) {
        let (mut news, mut more) = (Vec::new(), false);
        for (index, folder) in self.folders.iter_mut().enumerate() {
            match open(&self.home, &folder.watched.folder) {
                Ok(dir) => {
                    folder.was_there = true;
                    more |= folder.look(index, &dir, &mut news);
                }
                Err(error) if error.is_absent() && !folder.was_there => {}
                Err(error) => {
                    let what = if error.is_absent() { FileFault::Gone } else { FileFault::Unreadable };
                    folder.say(index, what, &format!("the folder cannot be read: {error}"), &mut news);
                    folder.give_up_all(index, what, &mut news);
                }
            }
        }
        (news, more)
    }

    /// The last look, once everything that could write is dead: what has no end, and what is not as it was read.
    pub(super) fn last_look(&mut self) -> Vec<News> {
        let mut news = Vec::new();
        for (index, folder) in self.folders.iter_mut().enumerate() {
            let Ok(dir) = open(&self.home, &folder.watched.folder) else { continue };
            for (number, file) in folder.files.iter_mut().enumerate().filter(|(_, file)| !file.given_up) {
                let which = WatchedFile { folder: index, number };
                if !file.partial.is_empty() || file.skipping {
                    let text = format!("its last line of {} bytes has no end", file.partial.len());
                    news.push(trouble(which, FileFault::CutLine, &file.name, &text));
                }
                if !file.is_as_it_was_read(&dir) {
                    file.given_up = true;
                    let text = "what was read of it is not what it holds";
                    news.push(trouble(which, FileFault::Rewritten, &file.name, text));
                }
            }
        }
        news
    }
}

fn open(home: &Path, folder: &str) -> Result<Dir, BeneathError> {
    Dir::open_root(home)?.open_dir(folder)
}

fn trouble(file: WatchedFile, what: FileFault, name: &str, text: &str) -> News {
    let sentence = format!("the engine's file `{name}`: {text}");
    News::Trouble(FileTrouble { folder: file.folder, file: Some(file), what, sentence })
}

impl Folder {
    fn look(&mut self, index: usize, dir: &Dir, news: &mut Vec<News>) -> bool {
        match dir.entries(ENTRIES) {
            Ok(entries) => self.find(index, &entries, news),
            Err(error) => {
                let what = match error {
                    BeneathError::TooMany { .. } => FileFault::TooMany,
                    _ => FileFault::Unreadable,
                };
                self.say(index, what, &format!("the folder cannot be listed: {error}"), news);
            }
        }
        let mut more = false;
        for (number, file) in self.files.iter_mut().enumerate().filter(|(_, file)| !file.given_up) {
            let which = WatchedFile { folder: index, number };
            match file.read_on(dir, which, news) {
                Ok(left) => more |= left,
                Err((what, text)) => {
                    file.given_up = true;
                    news.push(trouble(which, what, &file.name, &text));
                }
            }
        }
        more
    }

    /// Takes up files that were not there before.
    fn find(&mut self, index: usize, entries: &[Entry], news: &mut Vec<News>) {
        for entry in entries {
            let Some(name) = entry.name.to_str() else { continue };
            let (begin, end) = &self.watched.named;
            let asked = name.starts_with(begin) && name.ends_with(end);
            if !asked || self.files.iter().any(|known| known.name == name) {
                continue;
            }
            if self.files.len() >= FILES {
                return self.say(index, FileFault::TooMany, "there are more files than are followed", news);
            }
            let mut file = Followed::new(name, &entry.status);
            if entry.status.kind != FileKind::File {
                file.given_up = true;
                let which = WatchedFile { folder: index, number: self.files.len() };
                news.push(trouble(which, FileFault::NotAFile, name, "it is not a regular file"));
            }
            self.files.push(file);
        }
    }

    fn say(&mut self, index: usize, what: FileFault, text: &str, news: &mut Vec<News>) {
        if !self.said.contains(&what) {
            self.said.push(what);
            let sentence = format!("the engine's folder `{}`: {text}", self.watched.folder);
            news.push(News::Trouble(FileTrouble { folder: index, file: None, what, sentence }));
        }
    }

    fn give_up_all(&mut self, index: usize, what: FileFault, news: &mut Vec<News>) {
        for (number, file) in self.files.iter_mut().enumerate().filter(|(_, file)| !file.given_up) {
            file.given_up = true;
            let which = WatchedFile { folder: index, number };
            news.push(trouble(which, what, &file.name, "its folder cannot be read any more"));
        }
    }
}

type Stopped = (FileFault, String);

fn unreadable(error: impl std::fmt::Display) -> Stopped {
    (FileFault::Unreadable, error.to_string())
}

impl Followed {
    fn new(name: &str, status: &Status) -> Self {
        Self {
            name: name.to_owned(),
            identity: (status.device, status.inode),
            read: 0,
            hash: Hasher::new(),
            partial: Vec::new(),
            skipping: false,
            long_line: false,
            given_up: false,
        }
    }

    /// Reads what is new. True where there is more.
    fn read_on(&mut self, dir: &Dir, which: WatchedFile, news: &mut Vec<News>) -> Result<bool, Stopped> {
        let size = match dir.status(&self.name).map_err(unreadable)? {
            None => return Err((FileFault::Gone, "its name is gone".to_owned())),
            Some(now) if now.kind != FileKind::File || (now.device, now.inode) != self.identity => {
                return Err((FileFault::Replaced, "something else stands in its place".to_owned()));
            }
            Some(now) => now.size,
        };
        if size < self.read {
            let text = format!("it has {size} bytes, and {} were read of it", self.read);
            return Err((FileFault::Shrunk, text));
        }
        if size == self.read {
            return Ok(false);
        }
        if self.read >= FILE_BYTES {
            return Err((
                FileFault::TooLong,
                format!("it has more than the {FILE_BYTES} bytes that are followed"),
            ));
        }
        let bytes = self.chunk(dir).map_err(unreadable)?;
        self.read = self.read.saturating_add(bytes.len() as u64);
        self.hash.update(&bytes);
        self.lines(&bytes, which, news);
        Ok(!bytes.is_empty() && self.read < size)
    }

    fn chunk(&self, dir: &Dir) -> std::io::Result<Vec<u8>> {
        use std::os::unix::fs::MetadataExt as _;
        let mut file = dir.open_file(&self.name).map_err(std::io::Error::other)?;
        let now = file.metadata()?;
        if (now.dev(), now.ino()) != self.identity {
            // Replaced between two looks; the next one says so.
            return Ok(Vec::new());
        }
        file.seek(SeekFrom::Start(self.read))?;
        let most = FILE_BYTES.saturating_sub(self.read).min(LOOK_BYTES as u64);
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn lines(&mut self, bytes: &[u8], which: WatchedFile, news: &mut Vec<News>) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            if !self.skipping {
                let room = LINE_BYTES.saturating_sub(self.partial.len());
                self.partial.extend_from_slice(text.get(..room).unwrap_or(text));
                if text.len() > room {
                    self.skipping = true;
                    if !std::mem::replace(&mut self.long_line, true) {
                        let text = format!("a line has more than {LINE_BYTES} bytes; its rest is left out");
                        news.push(trouble(which, FileFault::LongLine, &self.name, &text));
                    }
                }
            }
            if ends {
                self.skipping = false;
                news.push(News::Line(which, std::mem::take(&mut self.partial)));
            }
        }
    }

    fn is_as_it_was_read(&self, dir: &Dir) -> bool {
        let read = || -> std::io::Result<Hasher> {
            let file = dir.open_file_by_force(&self.name).map_err(std::io::Error::other)?;
            let (mut file, mut hash) = (file.take(self.read), Hasher::new());
            let mut buffer = vec![0; 64 * 1024];
            loop {
                let count = file.read(&mut buffer)?;
                if count == 0 {
                    return Ok(hash);
                }
                hash.update(buffer.get(..count).unwrap_or_default());
            }
        };
        read().is_ok_and(|now| now.finish() == self.hash.clone().finish())
    }
}

#[cfg(test)]
#[path = "follow_tests.rs"]
mod tests;
