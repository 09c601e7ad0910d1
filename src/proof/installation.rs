//! An installation, looked at file by file: everything in it, with digest and mode, and nothing outside of it.
//!
//! Guarantees: names are listed and files opened beneath the folder's descriptor, no link is followed; a link that leads out,
//! a set-id bit, a special file or a name that cannot be shown is an error, and so is more than the bounds allow. Change
//! times, owners and attributes are not looked at: what runs is a copy that has none of them.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::beneath::{BeneathError, Dir, Entry, FileKind, Visit, WalkLimits};
use crate::vocab::{Digest, Hasher, shown_path};

/// Files, folders and links of the largest installation.
const MOST_OBJECTS: usize = 60_000;
/// Folders below one another.
const MOST_LEVELS: usize = 48;
/// Bytes of all its files.
const MOST_BYTES: u64 = 4 * 1024 * 1024 * 1024;
/// Differences that a sentence names.
const SHOWN: usize = 3;
/// Keeps the digest of a tree apart from every other one made here.
const DOMAIN: &str = "cto-installation-v1";

/// Everything in an installation, by its relative path.
pub type Objects = BTreeMap<String, Object>;

/// One thing in an installation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Object {
    /// A regular file.
    File {
        /// Permission bits, written in octal.
        #[serde(with = "octal")]
        mode: u32,
        /// Bytes.
        size: u64,
        /// Of its bytes.
        digest: Digest,
    },
    /// A link to something in the installation.
    Link {
        /// Its text.
        target: String,
    },
    /// A folder.
    Folder {
        /// Permission bits, written in octal.
        #[serde(with = "octal")]
        mode: u32,
    },
}

/// Permission bits as people read them.
mod octal {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference to the field")]
    pub(super) fn serialize<S: Serializer>(mode: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{mode:04o}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mode = u32::from_str_radix(&text, 8).ok().filter(|mode| *mode <= 0o777);
        mode.ok_or_else(|| D::Error::custom("not permission bits in octal"))
    }
}

/// Why an installation could not be looked at, held or used.
#[derive(Debug, thiserror::Error)]
pub enum InstallationError {
    /// The file system said no.
    #[error("the installation {}: {source}", path.display())]
    Beneath {
        /// Which.
        path: PathBuf,
        /// Why.
        source: BeneathError,
    },
    /// Something in it cannot be admitted.
    #[error("`{name}` in the installation {}", .why)]
    Object {
        /// Which.
        name: String,
        /// Why.
        why: String,
    },
    /// It is not the admitted one.
    #[error("it is not the admitted installation: {0}")]
    Differs(String),
    /// The copy could not be made.
    #[error("{}: {act} failed: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What was tried.
        act: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// A digest could not be made.
    #[error("it could not be put into JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl InstallationError {
    fn object(path: &Path, why: impl Into<String>) -> Self {
        use std::os::unix::ffi::OsStrExt as _;
        Self::Object { name: shown_path(path.as_os_str().as_bytes()), why: why.into() }
    }
}

/// What a walk ends with; the folder's name is added outside.
enum Stop {
    Beneath(BeneathError),
    Other(InstallationError),
}

impl From<BeneathError> for Stop {
    fn from(error: BeneathError) -> Self {
        Self::Beneath(error)
    }
}

/// Everything in the folder `root`.
pub fn look(root: &Path) -> Result<Objects, InstallationError> {
    let beneath = |source| InstallationError::Beneath { path: root.to_owned(), source };
    let dir = Dir::open_root(root).map_err(beneath)?;
    let (mut objects, mut left) = (Objects::new(), MOST_BYTES);
    let limits = WalkLimits { entries: MOST_OBJECTS, levels: MOST_LEVELS };
    let walked = dir.walk(limits, &mut |dir, path, entry| {
        let (name, object) = object(dir, path, entry, &mut left)?;
        objects.insert(name, object);
        Ok::<_, Stop>(Visit::Descend)
    });
    match walked {
        Ok(()) => Ok(objects),
        Err(Stop::Beneath(error)) => Err(beneath(error)),
        Err(Stop::Other(error)) => Err(error),
    }
}

fn object(dir: &Dir, path: &Path, entry: &Entry, left: &mut u64) -> Result<(String, Object), Stop> {
    let refuse = |why: &str| Stop::Other(InstallationError::object(path, why));
    let name = path.to_str().filter(|name| shown_path(name.as_bytes()) == **name);
    let name = name.ok_or_else(|| refuse("has a name that cannot be shown"))?.to_owned();
    let status = &entry.status;
    if status.kind != FileKind::Link && status.mode & 0o6000 != 0 {
        return Err(refuse("has a set-id bit"));
    }
    let mode = status.mode & 0o777;
    match status.kind {
        FileKind::Directory => Ok((name, Object::Folder { mode })),
        FileKind::File => {
            let (size, digest) = hash(dir, entry, path, left)?;
            Ok((name, Object::File { mode, size, digest }))
        }
        FileKind::Link => {
            let text = dir.read_link(&entry.name)?;
            let target = String::from_utf8(text).ok().filter(|target| stays_inside(path, target));
            let target = target.ok_or_else(|| refuse("is a link that leads out"))?;
            Ok((name, Object::Link { target }))
        }
        _ => Err(refuse("is neither file, folder nor link")),
    }
}

fn hash(dir: &Dir, entry: &Entry, path: &Path, left: &mut u64) -> Result<(u64, Digest), Stop> {
    let mut file = dir.open_file(&entry.name)?;
    let (mut hasher, mut size, mut buffer) = (Hasher::new(), 0_u64, vec![0_u8; 256 << 10]);
    loop {
        let count = match file.read(&mut buffer) {
            Ok(0) => return Ok((size, hasher.finish())),
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(source) => {
                let (path, act) = (path.to_owned(), "reading it");
                return Err(Stop::Other(InstallationError::Io { path, act, source }));
            }
        };
        let bytes = buffer.get(..count).unwrap_or(&buffer);
        hasher.update(bytes);
        size = size.saturating_add(bytes.len() as u64);
        *left = left.checked_sub(bytes.len() as u64).ok_or_else(|| {
            Stop::Other(InstallationError::object(path, "is more than an installation may have (4 GiB)"))
        })?;
    }
}

/// Whether a link at `path` leads to something in the same installation: up first and only as far as its folders go, then
/// down. Behind a name no `..` follows, so that it stays inside through other links, too, of which the same is true.
fn stays_inside(path: &Path, target: &str) -> bool {
    let mut above = path.components().count().saturating_sub(1);
    let mut down = false;
    for part in Path::new(target).components() {
        match part {
            Component::ParentDir if down || above == 0 => return false,
            Component::ParentDir => above -= 1,
            Component::Normal(_) => down = true,
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    !target.is_empty() && shown_path(target.as_bytes()) == target
}

/// Digest of everything in an installation.
pub fn tree_digest(objects: &Objects) -> Result<Digest, serde_json::Error> {
    Digest::of_json(&(DOMAIN, objects))
}

/// What is another in `found` than was `admitted`, as a sentence; `None` where nothing is.
#[must_use]
pub fn difference(admitted: &Objects, found: &Objects) -> Option<String> {
    let missing = admitted.keys().filter(|name| !found.contains_key(*name));
    let missing = missing.map(|name| format!("`{name}` is missing"));
    let other = found.iter().filter_map(|(name, now)| match (admitted.get(name), now) {
        (None, _) => Some(format!("`{name}` was added")),
        (Some(was), now) if was == now => None,
        (Some(Object::File { digest: was, .. }), Object::File { digest: now, .. }) if was == now => {
            Some(format!("`{name}` has another mode"))
        }
        (Some(Object::Folder { .. }), Object::Folder { .. }) => Some(format!("`{name}` has another mode")),
        (Some(_), _) => Some(format!("`{name}` was changed")),
    });
    let all: Vec<String> = missing.chain(other).collect();
    let more = all.len().saturating_sub(SHOWN);
    let told = all.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match (all.is_empty(), more) {
        (true, _) => None,
        (false, 0) => Some(told),
        (false, more) => Some(format!("{told}, and {more} more")),
    }
}
