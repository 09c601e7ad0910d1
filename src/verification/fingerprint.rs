//! Digests of trees that are handed in: of their bytes, or of what the kernel knows about them.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::beneath::{BeneathError, Dir, Entry, FileKind, Visit, WalkLimits};
use crate::vocab::{Digest, Hasher};

use super::provisions::ProvisionProblem;

/// A toolchain or input with more than this is refused rather than walked for minutes.
const BOUNDS: WalkLimits = WalkLimits { entries: 500_000, levels: 64 };
/// Bytes of one file of an input.
const LARGEST_FILE: u64 = 1024 * 1024 * 1024;
/// Mode bits that decide whether a file can be executed.
const EXECUTABLE: u32 = 0o111;

/// Digest over path, kind, executable bit and bytes of everything in the folder `root`.
pub(super) fn content(root: &Path) -> Result<Digest, ProvisionProblem> {
    let mut hasher = Hasher::new();
    walk(root, &mut |dir, path, entry| {
        let (kind, bytes) = match entry.status.kind {
            FileKind::Directory => (b'd', Vec::new()),
            FileKind::Link => (b'l', dir.read_link(&entry.name)?),
            FileKind::File if entry.status.mode & EXECUTABLE != 0 => {
                (b'x', dir.read_file(&entry.name, LARGEST_FILE)?)
            }
            FileKind::File => (b'f', dir.read_file(&entry.name, LARGEST_FILE)?),
            _ => return Err(Stop::Special(path.display().to_string())),
        };
        record(&mut hasher, kind, path.as_os_str().as_bytes(), &[&Digest::of(&bytes).bytes()[..]]);
        Ok(())
    })?;
    Ok(hasher.finish())
}

/// Digest over path, kind, mode, size, times and link target of everything in the folder `root`, or of the one
/// file that it is.
pub(super) fn metadata(root: &Path, hasher: &mut Hasher) -> Result<(), ProvisionProblem> {
    if !root.is_dir() {
        return one_file(root, hasher);
    }
    walk(root, &mut |dir, path, entry| {
        let status = &entry.status;
        // Where the host has no overlay, a socket could be connected to through a read-only mount.
        if !matches!(status.kind, FileKind::Directory | FileKind::Link | FileKind::File) {
            return Err(Stop::Special(path.display().to_string()));
        }
        let target = if status.kind == FileKind::Link { dir.read_link(&entry.name)? } else { Vec::new() };
        let numbers = if status.kind == FileKind::Directory {
            format!("d {:o}", status.mode)
        } else {
            format!(
                "{:?} {:o} {} {:?} {:?}",
                status.kind, status.mode, status.size, status.modified, status.changed
            )
        };
        record(hasher, b'm', path.as_os_str().as_bytes(), &[numbers.as_bytes(), &target]);
        Ok(())
    })
}

fn one_file(path: &Path, hasher: &mut Hasher) -> Result<(), ProvisionProblem> {
    use std::os::unix::fs::MetadataExt as _;
    let stat = path.metadata().map_err(|error| unreadable(path, &error.to_string()))?;
    let numbers = format!(
        "{:o} {} {}.{} {}.{}",
        stat.mode(),
        stat.size(),
        stat.mtime(),
        stat.mtime_nsec(),
        stat.ctime(),
        stat.ctime_nsec()
    );
    record(hasher, b'o', path.as_os_str().as_bytes(), &[numbers.as_bytes()]);
    Ok(())
}

/// One record; lengths stand before texts, so that no two different lists of records are the same bytes.
fn record(hasher: &mut Hasher, kind: u8, path: &[u8], parts: &[&[u8]]) {
    hasher.update(&[kind]);
    for part in std::iter::once(&path).chain(parts) {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
}

enum Stop {
    Beneath(BeneathError),
    Special(String),
}

impl From<BeneathError> for Stop {
    fn from(error: BeneathError) -> Self {
        Self::Beneath(error)
    }
}

type Look<'a> = dyn FnMut(&Dir, &Path, &Entry) -> Result<(), Stop> + 'a;

fn walk(root: &Path, look: &mut Look<'_>) -> Result<(), ProvisionProblem> {
    let dir = Dir::open_root(root).map_err(|error| unreadable(root, &error.to_string()))?;
    let walked = dir.walk(BOUNDS, &mut |dir, path, entry| look(dir, path, entry).map(|()| Visit::Descend));
    walked.map_err(|stop| match stop {
        Stop::Beneath(error) => unreadable(root, &error.to_string()),
        Stop::Special(path) => unreadable(root, &format!("{path} is neither a file, a folder nor a link")),
    })
}

fn unreadable(root: &Path, why: &str) -> ProvisionProblem {
    let sentence = format!("{} cannot be read as a whole: {why}", root.display());
    ProvisionProblem::new("provision.unreadable", sentence, "make all of it readable, or name another")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn of(root: &Path) -> (Digest, Digest) {
        let mut hasher = Hasher::new();
        metadata(root, &mut hasher).unwrap();
        (content(root).unwrap(), hasher.finish())
    }

    #[test]
    fn each_kind_of_change_shows() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("a");
        std::fs::write(&file, "one").unwrap();
        let mut seen = vec![of(place.path())];
        assert_eq!(seen[0], of(place.path()));
        std::fs::write(&file, "two").unwrap();
        seen.push(of(place.path()));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        seen.push(of(place.path()));
        std::fs::rename(&file, place.path().join("b")).unwrap();
        seen.push(of(place.path()));
        std::os::unix::fs::symlink("b", place.path().join("c")).unwrap();
        seen.push(of(place.path()));
        for (i, one) in seen.iter().enumerate() {
            for other in &seen[i + 1..] {
                assert!(one.0 != other.0 && one.1 != other.1, "{i}");
            }
        }
    }

    #[test]
    fn a_socket_in_an_input_or_a_toolchain_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let _listener = std::os::unix::net::UnixListener::bind(place.path().join("s")).unwrap();
        assert_eq!(content(place.path()).map_err(|problem| problem.code), Err("provision.unreadable"));
        let toolchain = metadata(place.path(), &mut Hasher::new());
        assert_eq!(toolchain.map_err(|problem| problem.code), Err("provision.unreadable"));
    }
}
