//! Git as data: object databases and repositories that live in memory and obey no configuration.
//!
//! libgit2 runs no program; what remains is what it would believe. A [`Scratch`] believes nothing: its
//! configuration names no file of the user's, its index is empty, it has no folder, and what is written to it
//! stays in memory, so a secret in a patch leaves no object behind.

use std::io::Write as _;
use std::path::Path;

use git2::{Config, Index, ObjectType, Odb, Oid, Repository};

use crate::vocab::GitId;

/// Priority of the in-memory store: above libgit2's own loose (1) and pack (2) backends.
const MEMORY_FIRST: i32 = 1000;

/// Without these two, libgit2 falls back to `~/.config/git/ignore` and `~/.config/git/attributes`.
const NOBODYS_FILES: &str = "[core]\n\texcludesfile = /dev/null\n\tattributesfile = /dev/null\n";

/// A repository without a folder: reads the objects of another one, writes into memory.
pub(super) struct Scratch {
    repo: Repository,
    /// libgit2 looks at the file again now and then, so it lives as long.
    _config: tempfile::NamedTempFile,
}

impl Scratch {
    /// Over the objects of the repository at `git_dir`, if any. Its configuration and refs are not read.
    pub(super) fn over(git_dir: Option<&Path>) -> Result<Self, git2::Error> {
        let odb = Odb::new()?;
        if let Some(git_dir) = git_dir {
            let objects = git_dir.join("objects");
            let text = objects.to_str().ok_or_else(|| {
                git2::Error::from_str("the path of the repository is not UTF-8, which libgit2 cannot use")
            })?;
            odb.add_disk_alternate(text)?;
        }
        odb.add_new_mempack_backend(MEMORY_FIRST)?;
        let repo = Repository::from_odb(odb)?;
        let mut file = tempfile::NamedTempFile::new().map_err(|error| as_git(&error))?;
        file.write_all(NOBODYS_FILES.as_bytes()).map_err(|error| as_git(&error))?;
        repo.set_config(&Config::open(file.path())?)?;
        // Without an index of its own, libgit2 would look for one in a folder that does not exist.
        repo.set_index(&mut Index::new()?)?;
        Ok(Self { repo, _config: file })
    }

    /// The repository.
    pub(super) fn repo(&self) -> &Repository {
        &self.repo
    }

    /// Stores bytes as a blob, exactly as they are.
    pub(super) fn blob(&self, bytes: &[u8]) -> Result<Oid, git2::Error> {
        self.repo.odb()?.write(ObjectType::Blob, bytes)
    }
}

/// An object id of the vocabulary as libgit2's.
pub(super) fn oid(id: &GitId) -> Result<Oid, git2::Error> {
    Oid::from_str(id.as_str())
}

/// libgit2's object id as the vocabulary's.
pub(super) fn git_id(oid: Oid) -> Result<GitId, git2::Error> {
    GitId::new(oid.to_string()).map_err(|error| git2::Error::from_str(&error.to_string()))
}

fn as_git(error: &std::io::Error) -> git2::Error {
    git2::Error::from_str(&format!("cannot write the configuration of a scratch repository: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_to_a_scratch_is_nowhere_on_disk() {
        let place = tempfile::tempdir().unwrap();
        let under = Repository::init_bare(place.path()).unwrap();
        let known = under.blob(b"known").unwrap();
        let scratch = Scratch::over(Some(place.path())).unwrap();
        let fresh = scratch.blob(b"fresh").unwrap();
        assert_eq!(scratch.repo().find_blob(known).unwrap().content(), b"known");
        assert_eq!(scratch.repo().find_blob(fresh).unwrap().content(), b"fresh");
        assert!(Repository::open(place.path()).unwrap().find_blob(fresh).is_err());
    }
}
