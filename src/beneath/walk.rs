//! Seeing every object of a tree once, in a fixed order, within bounds.

use std::path::{Path, PathBuf};

use super::{BeneathError, Dir, Entry, FileKind};

/// How far a walk may go; past either bound it ends with `TooMany`.
#[derive(Debug, Clone, Copy)]
pub struct WalkLimits {
    /// Objects seen altogether.
    pub entries: usize,
    /// Directories below one another.
    pub levels: usize,
}

/// What the visitor wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visit {
    /// Go on; into the directory, if it is one.
    Descend,
    /// Go on, but not into this directory.
    Skip,
}

impl Dir {
    /// Calls `visit(directory, relative path, entry)` for every object below, parents first, names by bytes.
    /// Links are seen, not followed.
    pub fn walk<E: From<BeneathError>>(
        &self,
        limits: WalkLimits,
        visit: &mut dyn FnMut(&Self, &Path, &Entry) -> Result<Visit, E>,
    ) -> Result<(), E> {
        let mut left = limits.entries;
        self.walk_level(&mut PathBuf::new(), limits.levels, limits, &mut left, visit)
    }

    fn walk_level<E: From<BeneathError>>(
        &self,
        at: &mut PathBuf,
        levels: usize,
        limits: WalkLimits,
        left: &mut usize,
        visit: &mut dyn FnMut(&Self, &Path, &Entry) -> Result<Visit, E>,
    ) -> Result<(), E> {
        let too_many = |at: &Path, max: usize, what| BeneathError::TooMany {
            path: at.to_owned(),
            max: u64::try_from(max).unwrap_or(u64::MAX),
            what,
        };
        let entries = self.entries(*left).map_err(|error| match error {
            BeneathError::TooMany { .. } => too_many(at, limits.entries, "entries"),
            other => other,
        })?;
        *left -= entries.len().min(*left);
        for entry in entries {
            at.push(&entry.name);
            let next = visit(self, at, &entry)?;
            if next == Visit::Descend && entry.status.kind == FileKind::Directory {
                if levels == 0 {
                    return Err(too_many(at, limits.levels, "levels").into());
                }
                self.open_dir(&entry.name)?.walk_level(at, levels - 1, limits, left, visit)?;
            }
            at.pop();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(dir: &Dir, limits: WalkLimits) -> Result<Vec<String>, BeneathError> {
        let mut seen = Vec::new();
        dir.walk(limits, &mut |_, path, entry| {
            seen.push(path.display().to_string());
            Ok::<_, BeneathError>(if entry.name == "skip" { Visit::Skip } else { Visit::Descend })
        })?;
        Ok(seen)
    }

    #[test]
    fn parents_first_in_byte_order_and_bounded() {
        let place = tempfile::tempdir().unwrap();
        for dir in ["b/c", "skip/x", "a"] {
            std::fs::create_dir_all(place.path().join(dir)).unwrap();
        }
        std::os::unix::fs::symlink("/", place.path().join("link")).unwrap();
        let root = Dir::open_root(place.path()).unwrap();
        let wide = WalkLimits { entries: 100, levels: 10 };
        assert_eq!(seen(&root, wide).unwrap(), ["a", "b", "b/c", "link", "skip"]);
        let few = seen(&root, WalkLimits { entries: 4, ..wide });
        assert!(matches!(few, Err(BeneathError::TooMany { what: "entries", .. })));
        let flat = seen(&root, WalkLimits { levels: 0, ..wide });
        assert!(matches!(flat, Err(BeneathError::TooMany { what: "levels", .. })));
    }
}
