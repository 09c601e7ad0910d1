//! The base of a patch by hand: of a person's folder, exactly what a command changed in its view of it.
//!
//! The folder may be of any size, so it is never read as a whole: the view's own layer says what was touched, and
//! only where content differs does it become part of the base tree. What the folder's own ignore files ignore is
//! left out, unless its git index tracks it.

use std::collections::{BTreeMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::io::BufRead as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use git2::{Index, Oid, TreeBuilder};

use super::WorkspaceError;
use super::collect::{LEVELS, NAMES};
use super::folder::Stamps;
use super::git::Scratch;
use super::ignores::Ignores;
use super::names::is_git_like;
use super::tree::{EXECUTABLE, FOLDER, LINK, PLAIN};
use crate::beneath::{BeneathError, Dir, FileKind, Status};
use crate::vocab::shown_bytes;

/// Ignore files that are longer are not read.
const IGNORE_BYTES: u64 = 1 << 20;

/// What a view's layer is compared with.
pub(super) struct Before<'a> {
    pub(super) git: &'a Scratch,
    /// The folder's own git index, if it has one.
    pub(super) tracked: Option<Index>,
    /// What stood in the folder when the view was opened.
    pub(super) then: &'a Stamps,
    /// Of a private copy: what stood in it then.
    pub(super) copied: Option<&'a Stamps>,
    /// Bytes that the base may still take.
    pub(super) room: u64,
    /// Paths that the command left alone, or where it left what the folder holds: no change.
    pub(super) same: HashSet<Vec<u8>>,
}

/// One folder on both sides.
pub(super) struct Sides<'a> {
    /// The person's.
    pub(super) there: &'a Dir,
    /// The layer's; `None` where the command removed it.
    pub(super) layer: Option<&'a Dir>,
    /// What is not in the layer is gone.
    pub(super) whole: bool,
    /// Whether a folder on the way is ignored, so that only what is tracked counts.
    pub(super) only_tracked: bool,
    pub(super) level: usize,
}

impl Before<'_> {
    /// The base's tree of this folder; `None` when nothing in it changed.
    pub(super) fn folder(
        &mut self,
        sides: &Sides<'_>,
        ignores: &Ignores,
        path: &mut Vec<u8>,
    ) -> Result<Option<Oid>, WorkspaceError> {
        let git = || WorkspaceError::git("put the folder as it was together");
        if sides.level == LEVELS {
            let sentence = format!("{} lies more than {LEVELS} folders deep", shown_bytes(path));
            return Err(WorkspaceError::ByHand { sentence, remedy: "name a folder further down" });
        }
        let repo = self.git.repo();
        let mut builder = repo.treebuilder(None).map_err(git())?;
        self.ignore_file(sides.there, &mut builder, path)?;
        let tree = builder.write().and_then(|id| repo.find_tree(id)).map_err(git())?;
        let ignores = ignores.enter(self.git, Some(&tree), path).map_err(git())?;
        for (name, layer) in Self::names(sides)? {
            if sides.level == 0 && name == ".git" {
                continue;
            }
            let length = path.len();
            path.extend_from_slice(name.as_bytes());
            let base = self.entry(sides, &name, layer, &ignores, path)?;
            path.truncate(length);
            if let Some((mode, id)) = base {
                builder.insert(name.as_bytes(), id, mode).map_err(git())?;
            }
        }
        if builder.is_empty() { Ok(None) } else { builder.write().map(Some).map_err(git()) }
    }

    /// Names to look at, each with what the layer has there; a name that is gone has `None`.
    fn names(sides: &Sides<'_>) -> Result<BTreeMap<OsString, Option<Status>>, WorkspaceError> {
        let files = || WorkspaceError::files("read what the command changed");
        let mut names = BTreeMap::new();
        if sides.whole {
            for entry in sides.there.entries(NAMES).map_err(files())? {
                names.insert(entry.name, None);
            }
        }
        if let Some(layer) = sides.layer {
            for entry in layer.entries(NAMES).map_err(files())? {
                let gone = !sides.whole && entry.status.is_whiteout();
                names.insert(entry.name, (!gone).then_some(entry.status));
            }
        }
        Ok(names)
    }

    fn entry(
        &mut self,
        sides: &Sides<'_>,
        name: &OsStr,
        layer: Option<Status>,
        ignores: &Ignores,
        path: &mut Vec<u8>,
    ) -> Result<Option<(i32, Oid)>, WorkspaceError> {
        let there = sides.there.status(name).map_err(WorkspaceError::files("look at the folder"))?;
        if self.same.contains(path) {
            return Ok(None);
        }
        let Some(there) = there else { return Ok(None) };
        if is_git_like(name.as_bytes()) {
            // The folder's own nested repository: git carries none.
            self.same.insert(path.clone());
            return Ok(None);
        }
        // What came since then, alone or in a folder's place, is not the command's to replace or remove.
        let dir = FileKind::Directory;
        let Some(then) = self.then.get(path.as_slice()).map(|then| then.kind) else { return Ok(None) };
        if then == dir && there.kind != dir && layer.is_some_and(|layer| layer.kind == dir) {
            return Ok(None);
        }
        if layer.is_none() && self.copied.is_some_and(|then| !then.contains_key(path.as_slice())) {
            // It was not copied, so the command cannot have removed it.
            return Ok(None);
        }
        let is_folder = there.kind == FileKind::Directory;
        let only_tracked = sides.only_tracked || ignores.cover(path, is_folder);
        if only_tracked && !self.tracks(path, is_folder) {
            self.same.insert(path.clone());
            return Ok(None);
        }
        match there.kind {
            FileKind::Directory => {
                let sides = Sides { only_tracked, ..*sides };
                self.subfolder(&sides, name, layer, ignores, path)
            }
            FileKind::File => self.file(sides, name, &there, layer, path),
            FileKind::Link => {
                let text = sides.there.read_link(name).map_err(|error| unreadable(path, &error))?;
                self.blob(&text, path).map(|id| Some((LINK, id)))
            }
            _ => Ok(None),
        }
    }

    fn subfolder(
        &mut self,
        sides: &Sides<'_>,
        name: &OsStr,
        layer: Option<Status>,
        ignores: &Ignores,
        path: &mut Vec<u8>,
    ) -> Result<Option<(i32, Oid)>, WorkspaceError> {
        let files = || WorkspaceError::files("read what the command changed");
        let there = sides.there.open_dir(name).map_err(|error| unreadable(path, &error))?;
        let layer = match (sides.layer, layer) {
            (Some(above), Some(status)) if status.kind == FileKind::Directory => {
                Some(above.open_dir_by_force(name).map_err(files())?)
            }
            _ => None,
        };
        let whole = match &layer {
            Some(dir) if self.copied.is_none() => {
                let opaque = dir.own_attribute("user.overlay.opaque").map_err(files())?;
                sides.whole || opaque.as_deref() == Some(b"y")
            }
            _ => true,
        };
        path.push(b'/');
        let inner = Sides { there: &there, layer: layer.as_ref(), whole, level: sides.level + 1, ..*sides };
        let tree = self.folder(&inner, ignores, path);
        path.pop();
        Ok(tree?.map(|id| (FOLDER, id)))
    }

    fn file(
        &mut self,
        sides: &Sides<'_>,
        name: &OsStr,
        there: &Status,
        layer: Option<Status>,
        path: &[u8],
    ) -> Result<Option<(i32, Oid)>, WorkspaceError> {
        let executable = |status: &Status| status.mode & 0o100 != 0;
        if let (Some(dir), Some(layer)) = (sides.layer, layer)
            && layer.kind == FileKind::File
            && layer.size == there.size
            && executable(&layer) == executable(there)
            && same_content(sides.there, dir, name, path)?
        {
            self.same.insert(path.to_vec());
            return Ok(None);
        }
        if there.size > self.room {
            return Err(self.no_room(path));
        }
        let bytes = sides.there.read_file(name, self.room).map_err(|error| unreadable(path, &error))?;
        let mode = if executable(there) { EXECUTABLE } else { PLAIN };
        self.blob(&bytes, path).map(|id| Some((mode, id)))
    }

    fn blob(&mut self, bytes: &[u8], path: &[u8]) -> Result<Oid, WorkspaceError> {
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.room = self.room.checked_sub(size).ok_or_else(|| self.no_room(path))?;
        self.git.blob(bytes).map_err(WorkspaceError::git("keep a file as it was"))
    }

    fn no_room(&self, path: &[u8]) -> WorkspaceError {
        unreadable(path, &BeneathError::TooLarge { path: Path::new("").to_owned(), max: self.room })
    }

    fn ignore_file(
        &self,
        there: &Dir,
        builder: &mut TreeBuilder<'_>,
        path: &[u8],
    ) -> Result<(), WorkspaceError> {
        let git = || WorkspaceError::git("keep an ignore file");
        let name = ".gitignore";
        if !self.then.contains_key(&[path, name.as_bytes()].concat()) {
            return Ok(());
        }
        let Ok(bytes) = there.read_file(name, IGNORE_BYTES) else { return Ok(()) };
        let id = self.git.blob(&bytes).map_err(git())?;
        builder.insert(name, id, PLAIN).map(drop).map_err(git())
    }

    fn tracks(&self, path: &[u8], is_folder: bool) -> bool {
        let Some(index) = &self.tracked else { return false };
        if !is_folder {
            return index.get_path(Path::new(OsStr::from_bytes(path)), 0).is_some();
        }
        index.find_prefix(Path::new(OsStr::from_bytes(&[path, b"/"].concat()))).is_ok()
    }
}

/// What the command changed cannot be compared with what was there.
fn unreadable(path: &[u8], error: &BeneathError) -> WorkspaceError {
    let path = shown_bytes(path);
    match error {
        BeneathError::TooLarge { .. } => WorkspaceError::ByHand {
            sentence: format!(
                "no patch: with {path}, what the command replaced or removed is too large for one"
            ),
            remedy: "let an ignore file name what needs no patch, or name a folder further down",
        },
        error => WorkspaceError::ByHand {
            sentence: format!(
                "no patch: the command touched {path}, which cannot be read in the folder itself: {error}"
            ),
            remedy: "call `cto sandbox` as somebody who may read it, or have the command leave it alone",
        },
    }
}

fn same_content(there: &Dir, layer: &Dir, name: &OsStr, path: &[u8]) -> Result<bool, WorkspaceError> {
    let one = there.open_file(name).map_err(|error| unreadable(path, &error))?;
    let other =
        layer.open_file_by_force(name).map_err(WorkspaceError::files("read what the command changed"))?;
    let mut sides = [one, other].map(|file| std::io::BufReader::with_capacity(1 << 16, file));
    let [one, other] = &mut sides;
    let fail = || WorkspaceError::place("compare", Path::new(name));
    loop {
        let (left, right) = (one.fill_buf().map_err(fail())?, other.fill_buf().map_err(fail())?);
        let both = left.len().min(right.len());
        if both == 0 {
            return Ok(left.len() == right.len());
        }
        if left.get(..both) != right.get(..both) {
            return Ok(false);
        }
        one.consume(both);
        other.consume(both);
    }
}
