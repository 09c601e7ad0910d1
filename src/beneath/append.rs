//! Going on with what a dead process of this program began: its own files, opened to be continued, and moved aside.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;

use rustix::fs::{Mode, OFlags, RenameFlags};

use super::dir::one_component;
use super::entry::Status;
use super::{BeneathError, Dir, FileKind};

impl Dir {
    /// Opens a regular file for reading from its start and writing at its end. Never through a link, and nothing is
    /// made.
    pub fn open_file_to_go_on(&self, rel: impl AsRef<Path>) -> Result<File, BeneathError> {
        let rel = rel.as_ref();
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fail = |errno| BeneathError::act("open", rel, errno);
        let fd = self.open(rel, flags, Mode::empty()).map_err(fail)?;
        let stat = rustix::fs::fstat(&fd).map_err(fail)?;
        if Status::of(&stat).kind != FileKind::File {
            return Err(BeneathError::NotRegular { path: rel.to_owned() });
        }
        Ok(File::from(fd))
    }

    /// Gives the directory and everything in it, down to `levels` folders, to another owner; no link is followed, and
    /// what is his already stays as it is. Only for trees that the harness owns and whose writers are dead.
    pub fn give_all(&self, (uid, gid): (u32, u32), levels: usize) -> Result<(), BeneathError> {
        let is_his = |status: &Status| (status.uid, status.gid) == (uid, gid);
        for entry in self.entries(usize::MAX)? {
            if !is_his(&entry.status) {
                self.give(&entry.name, uid, gid)?;
            }
            if entry.status.kind == FileKind::Directory {
                let Some(levels) = levels.checked_sub(1) else {
                    let max = u64::try_from(levels).unwrap_or(u64::MAX);
                    let path = Path::new(&entry.name).to_owned();
                    return Err(BeneathError::TooMany { path, max, what: "folders in folders" });
                };
                self.open_dir_by_force(Path::new(&entry.name))?.give_all((uid, gid), levels)?;
            }
        }
        if is_his(&self.own_status()?) { Ok(()) } else { self.give_itself(uid, gid) }
    }

    /// Moves what is called `name` (one component, not followed) into `to` under the same name, where it must be new.
    pub fn move_into(&self, name: &OsStr, to: &Self) -> Result<(), BeneathError> {
        let name = one_component(name)?;
        rustix::fs::renameat_with(self, name, to, name, RenameFlags::NOREPLACE)
            .map_err(|errno| BeneathError::act("move", Path::new(name), errno))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[test]
    fn only_a_regular_file_is_gone_on_with_and_nothing_is_moved_over_something() {
        let place = tempfile::tempdir().unwrap();
        let dir = Dir::open_root(place.path()).unwrap();
        std::fs::write(place.path().join("log"), "one\n").unwrap();
        std::os::unix::fs::symlink("log", place.path().join("link")).unwrap();
        assert!(dir.open_file_to_go_on("link").is_err() && dir.open_file_to_go_on("none").is_err());
        let mut file = dir.open_file_to_go_on("log").unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        file.write_all(b"two\n").unwrap();
        assert_eq!(
            (text.as_str(), std::fs::read_to_string(place.path().join("log")).unwrap().as_str()),
            ("one\n", "one\ntwo\n")
        );
        let aside = dir.create_dir("aside", 0o700).unwrap();
        dir.move_into(OsStr::new("log"), &aside).unwrap();
        std::fs::write(place.path().join("log"), "other").unwrap();
        assert!(dir.move_into(OsStr::new("log"), &aside).is_err());
    }

    #[test]
    fn a_tree_is_given_without_what_links_lead_to_and_only_so_deep() {
        use std::os::unix::fs::MetadataExt as _;
        let place = tempfile::tempdir().unwrap();
        let mine = std::fs::metadata(place.path()).unwrap();
        let owner = if mine.uid() == 0 { (2_000_000_007, 2_000_000_007) } else { (mine.uid(), mine.gid()) };
        std::fs::write(place.path().join("outside"), "").unwrap();
        std::fs::create_dir_all(place.path().join("tree/a/b")).unwrap();
        std::fs::write(place.path().join("tree/a/f"), "").unwrap();
        std::os::unix::fs::symlink("../outside", place.path().join("tree/link")).unwrap();
        let tree = Dir::open_root(place.path()).unwrap().open_dir("tree").unwrap();
        assert!(tree.give_all(owner, 1).is_err());
        tree.give_all(owner, 2).unwrap();
        for name in ["tree", "tree/a", "tree/a/b", "tree/a/f", "tree/link"] {
            let found = std::fs::symlink_metadata(place.path().join(name)).unwrap();
            assert_eq!((found.uid(), found.gid()), owner, "{name}");
        }
        assert_eq!(std::fs::metadata(place.path().join("outside")).unwrap().uid(), mine.uid());
    }
}
