//! What a run changed, read from outside: the upper layer (or private tree) against the base tree.
//!
//! INVARIANT: everything that could write there is dead. Even so nothing is followed, nothing blocks, every
//! read is bounded, and content is hashed, never concluded from sizes or times. What no patch may carry becomes
//! an oddity and is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use git2::{ObjectType, Oid, Tree};

use super::WorkspaceError;
use super::git::Scratch;
use super::ignores::Ignores;
use super::names::{LinkReach, collision_key, is_git_like, link_reach};
use super::oddity::Oddities;
use super::repository;
use super::tree::{EXECUTABLE, FOLDER, LINK, PLAIN};
use crate::beneath::{BeneathError, Dir, Entry, FileKind};

/// Folders below one another.
pub(super) const LEVELS: usize = 200;
/// Bytes of a path: the system takes 4095 at once, and a part of them belongs to where the patch is applied.
const PATH_BYTES: usize = 4096 - 256;
/// Names read in one folder.
pub(super) const NAMES: usize = 200_000;

/// How much a patch may hold.
#[derive(Clone, Copy)]
pub(super) struct Bounds<'a> {
    /// Changed files.
    pub(super) files: u64,
    /// Bytes of one file.
    pub(super) file_bytes: u64,
    /// Bytes of all new content together.
    pub(super) total_bytes: u64,
    /// What is not the run's, by path: places that the harness mounted something on.
    pub(super) not_its: &'a dyn Fn(&[u8]) -> bool,
}

/// Lines of all changed files together: each is held and scanned on its own, outside of every limit of the run.
const LINES: usize = 1_000_000;
/// What was found.
pub(super) struct Collected {
    /// The result tree, in the scratch repository.
    pub(super) result: Oid,
    pub(super) oddities: Oddities,
    pub(super) ignored: u64,
    /// New content by id.
    pub(super) blobs: BTreeMap<Oid, Vec<u8>>,
}

/// Reads `dir`. `whole`: it is the whole tree, and what is missing there is gone; else it is an overlay's upper
/// layer, where only whiteouts and opaque folders delete.
pub(super) fn collect(
    git: &Scratch,
    base: &Tree<'_>,
    dir: &Dir,
    whole: bool,
    bounds: Bounds<'_>,
) -> Result<Collected, WorkspaceError> {
    let mut reader = Reader {
        git,
        bounds,
        changed: 0,
        held: 0,
        lines: 0,
        full: false,
        overlay: !whole,
        found: Collected {
            result: base.id(),
            oddities: Oddities::default(),
            ignored: 0,
            blobs: BTreeMap::new(),
        },
    };
    reader.found.oddities.top(dir, !whole).map_err(WorkspaceError::files("look at the top folder"))?;
    let folder = Folder { base: Some(base), whole, level: 0 };
    let result = reader.folder(dir, folder, &Ignores::default(), &mut Vec::new())?;
    let empty = || git.repo().treebuilder(None).and_then(|builder| builder.write());
    reader.found.result = match result {
        Some(id) => id,
        None => empty().map_err(WorkspaceError::git("write an empty tree"))?,
    };
    Ok(reader.found)
}

#[derive(Clone, Copy)]
struct Folder<'a> {
    /// The base's folder of this path, if it has one.
    base: Option<&'a Tree<'a>>,
    whole: bool,
    level: usize,
}

struct Reader<'a> {
    git: &'a Scratch,
    bounds: Bounds<'a>,
    changed: u64,
    held: u64,
    lines: usize,
    full: bool,
    /// What is read is an overlay's upper layer.
    overlay: bool,
    found: Collected,
}

impl Reader<'_> {
    /// The result's tree of this folder; `None` when it holds nothing that git tracks.
    fn folder(
        &mut self,
        dir: &Dir,
        folder: Folder<'_>,
        ignores: &Ignores,
        path: &mut Vec<u8>,
    ) -> Result<Option<Oid>, WorkspaceError> {
        let Folder { base, whole, level } = folder;
        let git = |act| WorkspaceError::git(act);
        let ignores = ignores.enter(self.git, base, path).map_err(git("read an ignore file of the base"))?;
        let entries = match dir.entries(NAMES) {
            Ok(entries) => entries,
            Err(BeneathError::TooMany { .. }) => {
                let sentence = format!("The folder holds more than {NAMES} names; its changes are left out.");
                self.found.oddities.block("patch.too-many-names", path, sentence);
                return Ok(base.map(Tree::id));
            }
            Err(error) => return Err(WorkspaceError::files("read the run's changes")(error)),
        };
        if self.is_new_bare_repository(&entries, folder, path) {
            return Ok(base.map(Tree::id));
        }
        let start = if whole { None } else { base };
        let mut builder = self.git.repo().treebuilder(start).map_err(git("start a tree"))?;
        let mut fresh = Vec::new();
        for entry in &entries {
            let name = entry.name.as_bytes();
            if level == 0 && name == b".git" {
                // The engine's own throw-away repository, whatever became of it.
                continue;
            }
            let length = path.len();
            path.extend_from_slice(name);
            let known = base
                .and_then(|base| base.get_name_bytes(name))
                .map(|known| Known { mode: known.filemode_raw(), id: known.id() });
            let now = self.entry(dir, entry, known, Folder { level, ..folder }, &ignores, path)?;
            path.truncate(length);
            match now {
                Now::Is { mode, id } => {
                    fresh.extend(known.is_none().then_some(name));
                    builder.insert(name, id, mode).map_err(git("add to a tree"))?;
                }
                Now::Gone if start.is_some() && known.is_some() => {
                    builder.remove(name).map_err(git("remove from a tree"))?;
                }
                Now::Gone => {}
            }
        }
        self.tell_collisions(&fresh, &builder, path)?;
        if builder.is_empty() {
            return Ok(None);
        }
        builder.write().map(Some).map_err(git("write a tree"))
    }

    fn entry(
        &mut self,
        dir: &Dir,
        entry: &Entry,
        known: Option<Known>,
        folder: Folder<'_>,
        ignores: &Ignores,
        path: &mut Vec<u8>,
    ) -> Result<Now, WorkspaceError> {
        let status = &entry.status;
        if status.is_whiteout() && !folder.whole {
            return Ok(Now::Gone);
        }
        let unchanged = known.map_or(Now::Gone, |Known { mode, id }| Now::Is { mode, id });
        if (self.bounds.not_its)(path) {
            return Ok(unchanged);
        }
        if is_git_like(entry.name.as_bytes()) {
            self.found.oddities.git_like(path, &entry.name);
            return Ok(unchanged);
        }
        let is_folder = status.kind == FileKind::Directory;
        let tracked = known.is_some_and(|known| !is_folder || known.mode == FOLDER);
        if !tracked && ignores.cover(path, is_folder) {
            self.found.ignored += 1;
            return Ok(Now::Gone);
        }
        if known.is_none() && path.len() > PATH_BYTES {
            self.found.oddities.path_too_long(path, PATH_BYTES);
            return Ok(Now::Gone);
        }
        let named = dir.attribute_names(&entry.name).map_err(WorkspaceError::files("list attributes"))?;
        self.found.oddities.attributes(path, &named, self.overlay);
        if status.kind != FileKind::Link {
            self.found.oddities.mode_bits(path, status);
        }
        match status.kind {
            FileKind::Directory => self.subfolder(dir, &entry.name, known, folder, ignores, path),
            FileKind::File => self.file(dir, entry, known, path),
            FileKind::Link => self.link(dir, entry, known, path),
            kind => {
                self.found.oddities.special(path, kind);
                Ok(Now::Gone)
            }
        }
    }

    fn subfolder(
        &mut self,
        dir: &Dir,
        name: &OsStr,
        known: Option<Known>,
        folder: Folder<'_>,
        ignores: &Ignores,
        path: &mut Vec<u8>,
    ) -> Result<Now, WorkspaceError> {
        let files = || WorkspaceError::files("read a folder that the run changed");
        if folder.level == LEVELS {
            let sentence = format!("Folders lie more than {LEVELS} deep; what is below is left out.");
            self.found.oddities.block("patch.too-deep", path, sentence);
            return Ok(known.map_or(Now::Gone, |Known { mode, id }| Now::Is { mode, id }));
        }
        let inner = dir.open_dir_by_force(name).map_err(files())?;
        let opaque = inner.own_attribute("user.overlay.opaque").map_err(files())?;
        let below = match known {
            Some(Known { mode: FOLDER, id }) => Some(
                self.git.repo().find_tree(id).map_err(WorkspaceError::git("read a folder of the base"))?,
            ),
            _ => None,
        };
        let whole = folder.whole || opaque.as_deref() == Some(b"y");
        path.push(b'/');
        let folder = Folder { base: below.as_ref(), whole, level: folder.level + 1 };
        let tree = self.folder(&inner, folder, &ignores.below(path), path)?;
        path.pop();
        Ok(tree.map_or(Now::Gone, |id| Now::Is { mode: FOLDER, id }))
    }

    fn file(
        &mut self,
        dir: &Dir,
        entry: &Entry,
        known: Option<Known>,
        path: &[u8],
    ) -> Result<Now, WorkspaceError> {
        let unchanged = known.map_or(Now::Gone, |Known { mode, id }| Now::Is { mode, id });
        let size = entry.status.size;
        let room = self.bounds.total_bytes.saturating_sub(self.held);
        let most = self.bounds.file_bytes.min(room);
        if size > most {
            let sentence =
                format!("The file has {size} bytes, more than the {most} that a patch has room for.");
            self.found.oddities.block("patch.too-large", path, sentence);
            return Ok(unchanged);
        }
        let bytes = match dir.read_file_by_force(&entry.name, most) {
            Ok(bytes) => bytes,
            Err(BeneathError::NotRegular { .. } | BeneathError::TooLarge { .. }) => {
                self.found.oddities.block("patch.unstable", path, "The file changed while it was read.");
                return Ok(unchanged);
            }
            Err(error) => return Err(WorkspaceError::files("read a file that the run changed")(error)),
        };
        let mode = if entry.status.mode & 0o100 != 0 { EXECUTABLE } else { PLAIN };
        self.content(bytes, mode, known, path)
    }

    fn link(
        &mut self,
        dir: &Dir,
        entry: &Entry,
        known: Option<Known>,
        path: &[u8],
    ) -> Result<Now, WorkspaceError> {
        let text =
            dir.read_link(&entry.name).map_err(WorkspaceError::files("read a link that the run changed"))?;
        let reach = link_reach(path, &text);
        let now = self.content(text, LINK, known, path)?;
        if known.is_none_or(|known| now != (Now::Is { mode: known.mode, id: known.id })) {
            match reach {
                LinkReach::Inside => {}
                LinkReach::Outside => {
                    let sentence = "The link leads out of the tree; the patch carries its text only.";
                    self.found.oddities.block("patch.escaping-link", path, sentence);
                }
                LinkReach::Git => {
                    let sentence = "The link leads into what passes for a git folder.";
                    self.found.oddities.block("patch.git-like-name", path, sentence);
                }
            }
        }
        Ok(now)
    }

    /// Hashes and keeps content; the same content and mode as in the base is no change.
    fn content(
        &mut self,
        bytes: Vec<u8>,
        mode: i32,
        known: Option<Known>,
        path: &[u8],
    ) -> Result<Now, WorkspaceError> {
        let id = Oid::hash_object(ObjectType::Blob, &bytes).map_err(WorkspaceError::git("hash a file"))?;
        let same_kind = |before: i32| {
            // Old repositories hold modes like 664, which mean 644.
            before == mode || (mode == PLAIN && before & 0o170_100 == 0o100_000)
        };
        if let Some(known) = known
            && known.id == id
            && same_kind(known.mode)
        {
            return Ok(Now::Is { mode: known.mode, id });
        }
        if self.changed > self.bounds.files {
            if !self.full {
                self.full = true;
                let sentence = format!(
                    "The run changed more than {} files; the patch holds the first ones only.",
                    self.bounds.files
                );
                self.found.oddities.fail("patch.incomplete", path, sentence);
            }
            return Ok(known.map_or(Now::Gone, |Known { mode, id }| Now::Is { mode, id }));
        }
        self.lines += bytes.split(|byte| *byte == b'\n').count();
        if self.lines > LINES {
            let sentence = format!("The changed files have more than {LINES} lines together.");
            self.found.oddities.block("patch.too-many-lines", path, sentence);
            return Ok(known.map_or(Now::Gone, |Known { mode, id }| Now::Is { mode, id }));
        }
        self.changed += 1;
        self.held += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.git.blob(&bytes).map_err(WorkspaceError::git("keep a file"))?;
        self.found.blobs.insert(id, bytes);
        Ok(Now::Is { mode, id })
    }

    fn is_new_bare_repository(&mut self, entries: &[Entry], folder: Folder<'_>, path: &[u8]) -> bool {
        let in_base = |name: &str| folder.base.is_some_and(|base| base.get_name(name).is_some());
        let same = |entry: &Entry, name: &str| {
            collision_key(entry.name.as_bytes()) == collision_key(name.as_bytes())
        };
        let in_dir = |name: &str| entries.iter().any(|e| same(e, name) && !e.status.is_whiteout());
        let new = folder.level > 0 && repository::is_new(&in_base, &in_dir, folder.whole);
        if new {
            let sentence = "The run made a bare repository inside the tree; it is left out of the patch.";
            self.found.oddities.block("patch.nested-repository", path, sentence);
        }
        new
    }

    fn tell_collisions(
        &mut self,
        fresh: &[&[u8]],
        builder: &git2::TreeBuilder<'_>,
        path: &mut Vec<u8>,
    ) -> Result<(), WorkspaceError> {
        if fresh.is_empty() || builder.len() < 2 {
            return Ok(());
        }
        let tree = builder.write().and_then(|id| self.git.repo().find_tree(id));
        let tree = tree.map_err(WorkspaceError::git("look for colliding names"))?;
        let mut seen: BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>> = BTreeMap::new();
        for entry in &tree {
            let name = entry.name_bytes();
            seen.entry(collision_key(name)).or_default().insert(name.to_vec());
        }
        for name in fresh {
            if seen.get(&collision_key(name)).is_some_and(|names| names.len() > 1) {
                let length = path.len();
                path.extend_from_slice(name);
                let sentence = "The name differs from another one only by case or Unicode form.";
                self.found.oddities.block("patch.collision", path, sentence);
                path.truncate(length);
            }
        }
        Ok(())
    }
}

/// What the base has at a path.
#[derive(Clone, Copy)]
struct Known {
    mode: i32,
    id: Oid,
}

/// What the result has at a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Now {
    Is { mode: i32, id: Oid },
    Gone,
}
