//! A bundle's names: the rule that they follow, and what is really in a folder.

use crate::beneath::{BeneathError, Dir, FileKind};
use crate::contract::MAX_VERIFICATION_FILES;
use crate::vocab::shown_bytes;

/// Deepest name in a bundle: three folders and a file.
pub const MAX_DEPTH: usize = 4;
/// Longest part of a name, bytes.
const MAX_PART: usize = 128;

/// One name of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Relative to the folder, `/` between parts; what is not UTF-8 or not shown is made visible.
    pub name: String,
    /// What it is.
    pub kind: FileKind,
    /// Whether the name follows the rule.
    pub well_named: bool,
    /// Bytes.
    pub size: u64,
}

/// Most names in a bundle, folders included. Who writes one and who checks one hold to the same ceilings.
pub const MAX_NAMES: usize = 4096;
/// Largest file of a bundle, bytes: above any log that a run can write.
pub const MAX_FILE: u64 = 1 << 30;

// What else a bundle holds: the harness's own files, raw logs, approvals.
const _: () = assert!(MAX_VERIFICATION_FILES + 1024 < MAX_NAMES, "a contract's files have room in a bundle");

/// Whether `name` is one that the harness gives: `[A-Za-z0-9_][A-Za-z0-9._-]*` in each of at most four parts.
#[must_use]
pub fn check_name(name: &str) -> bool {
    let part = |part: &str| {
        let mut bytes = part.bytes();
        part.len() <= MAX_PART
            && bytes.next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
            && bytes.all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    name.split('/').count() <= MAX_DEPTH && name.split('/').all(part)
}

/// Everything below `root`, sorted by name; an error after `ceiling` names. Folders with odd names and folders
/// too deep to hold a file are listed but not entered, and nothing is followed.
pub fn list(root: &Dir, ceiling: usize) -> Result<Vec<Listed>, BeneathError> {
    let mut found = Vec::new();
    let mut pending = vec![(root.again()?, String::new())];
    while let Some((dir, prefix)) = pending.pop() {
        for entry in dir.entries(ceiling.saturating_sub(found.len()))? {
            let name = format!("{prefix}{}", shown_bytes(entry.name.as_encoded_bytes()));
            let well_named = entry.name.to_str().is_some_and(|own| !own.contains('/')) && check_name(&name);
            let kind = entry.status.kind;
            if kind == FileKind::Directory && well_named && name.split('/').count() < MAX_DEPTH {
                pending.push((dir.open_dir(&entry.name)?, format!("{name}/")));
            }
            found.push(Listed { name, kind, well_named, size: entry.status.size });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_harness_s_own() {
        for good in ["report.json", "a/b/c/d", "_x-1.2"] {
            assert!(check_name(good), "{good}");
        }
        for bad in
            ["", ".", "..", "a/../b", ".hidden", "-x", "a//b", "/a", "a/", "a b", "a\n", "ä", "a/b/c/d/e"]
        {
            assert!(!check_name(bad), "{bad}");
        }
    }

    #[test]
    fn links_are_listed_and_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        std::fs::write(dir.path().join("sub/real"), "x").unwrap();
        std::os::unix::fs::symlink("sub", dir.path().join("link")).unwrap();
        let root = Dir::open_root(dir.path()).unwrap();
        let found: Vec<_> = list(&root, 10).unwrap().into_iter().map(|e| (e.name, e.kind)).collect();
        let expected = [("link", FileKind::Link), ("sub", FileKind::Directory), ("sub/real", FileKind::File)];
        assert_eq!(found, expected.map(|(name, kind)| (name.to_owned(), kind)));
        assert!(list(&root, 2).is_err());
    }
}
