//! Removing a tree that somebody else filled: always works, never follows, never runs out of descriptors.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use rustix::fs::{AtFlags, Mode};
use rustix::io::Errno;

use super::dir::one_component;
use super::{BeneathError, Dir, FileKind};

/// Directories held open at once. What lies deeper is moved up and removed from there.
const HELD_LEVELS: usize = 64;

impl Dir {
    /// Removes the file, link or other object called `name` (one component); a directory is an error.
    pub fn remove_file(&self, name: &OsStr) -> Result<(), BeneathError> {
        rustix::fs::unlinkat(self, one_component(name)?, AtFlags::empty())
            .map_err(|errno| BeneathError::act("remove", Path::new(name), errno))
    }

    /// Removes whatever is called `name` (one component), with everything below it. Directories without
    /// permissions are opened by force; links are removed, not followed; nothing there is not an error.
    pub fn remove_tree(&self, name: &OsStr) -> Result<(), BeneathError> {
        one_component(name)?;
        let mut moved = 0_u64;
        let mut waiting = vec![name.to_owned()];
        while let Some(next) = waiting.pop() {
            self.remove_from(&next, 0, &mut |deep, inner| {
                let parked = OsString::from(format!(".removing-{}-{moved}", std::process::id()));
                moved += 1;
                // Moving a directory rewrites its `..`, which takes the right to write to it.
                deep.open_dir_by_force(inner)?;
                rustix::fs::renameat(deep, inner, self, &parked)
                    .map_err(|errno| BeneathError::act("move up", Path::new(inner), errno))?;
                waiting.push(parked);
                Ok(())
            })?;
        }
        Ok(())
    }

    fn remove_from(
        &self,
        name: &OsStr,
        level: usize,
        park: &mut dyn FnMut(&Self, &OsStr) -> Result<(), BeneathError>,
    ) -> Result<(), BeneathError> {
        let fail = |errno| BeneathError::act("remove", Path::new(name), errno);
        match rustix::fs::unlinkat(self, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::ISDIR) => {}
            Err(errno) => return Err(fail(errno)),
        }
        match rustix::fs::unlinkat(self, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::ACCESS) => {}
            Err(errno) => return Err(fail(errno)),
        }
        if level == HELD_LEVELS {
            return park(self, name);
        }
        let inner = self.open_dir_by_force(name)?;
        // Names can be listed but not removed without write and search permission.
        let mode = inner.own_status()?.mode;
        if mode & 0o700 != 0o700 {
            rustix::fs::fchmod(&inner, Mode::RWXU).map_err(fail)?;
        }
        for child in inner.names(usize::MAX)? {
            inner.remove_from(&child, level + 1, park)?;
        }
        match rustix::fs::unlinkat(self, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(fail(errno)),
        }
    }

    /// Removes everything in the directory, which itself stays.
    pub fn clear(&self) -> Result<(), BeneathError> {
        self.names(usize::MAX)?.iter().try_for_each(|name| self.remove_tree(name))
    }

    /// Whether `name` (one component) is a directory, not followed.
    pub fn has_dir(&self, name: &OsStr) -> Result<bool, BeneathError> {
        Ok(self.status(one_component(name)?)?.is_some_and(|status| status.kind == FileKind::Directory))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn unreadable_directories_go_and_what_links_point_to_stays() {
        let place = tempfile::tempdir().unwrap();
        let (tree, outside) = (place.path().join("tree"), place.path().join("outside"));
        fs::create_dir_all(tree.join("a/b/c")).unwrap();
        fs::create_dir_all(&outside).unwrap();
        fs::write(outside.join("kept"), "kept").unwrap();
        fs::write(tree.join("a/b/c/file"), "x").unwrap();
        symlink(&outside, tree.join("a/b/link")).unwrap();
        for dir in ["a/b/c", "a/b", "a"] {
            fs::set_permissions(tree.join(dir), fs::Permissions::from_mode(0o000)).unwrap();
        }
        let root = Dir::open_root(place.path()).unwrap();
        root.remove_tree(OsStr::new("tree")).unwrap();
        assert!(!tree.exists());
        assert_eq!(fs::read_to_string(outside.join("kept")).unwrap(), "kept");
        root.remove_tree(OsStr::new("tree")).unwrap();
    }

    #[test]
    fn a_tree_deeper_than_any_descriptor_limit_goes() {
        let place = tempfile::tempdir().unwrap();
        let root = Dir::open_root(place.path()).unwrap();
        let mut at = root.create_dir("tree", 0o700).unwrap();
        for _ in 0..3000 {
            at = at.create_dir("d", 0o700).unwrap();
        }
        drop(at);
        root.remove_tree(OsStr::new("tree")).unwrap();
        assert!(root.names(10).unwrap().is_empty());
    }
}
