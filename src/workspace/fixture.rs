//! A fixture's plain files as a repository: one commit, the same for everybody.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use git2::{ObjectType, Oid, Repository, RepositoryInitOptions, Signature, Time};

use super::checkout::BASE_TIME;
use super::forms::forms_of_tree;
use super::git::git_id;
use super::names::is_safe_component;
use super::tree::{self, EXECUTABLE, Edit, LINK, PLAIN};
use super::{Base, TargetProblem, WorkspaceError};
use crate::beneath::{Dir, Entry, FileKind, Visit, WalkLimits};
use crate::vocab::{GitId, shown_bytes};

/// Bounds of a fixture: it is an example, not a project.
const LIMITS: WalkLimits = WalkLimits { entries: 100_000, levels: 100 };
const FILE_BYTES: u64 = 64 << 20;

/// A fixture as a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedFixture {
    /// The bare repository, owned by the harness.
    pub git_dir: PathBuf,
    /// Its one commit.
    pub commit: GitId,
    /// The commit's tree.
    pub tree: GitId,
    /// As [`crate::eligibility::TargetFacts::unreadable_forms`].
    pub unreadable_forms: Vec<String>,
}

impl ImportedFixture {
    /// As a base.
    #[must_use]
    pub fn base(&self) -> Base {
        Base { git_dir: self.git_dir.clone(), commit: self.commit.clone(), tree: self.tree.clone() }
    }
}

/// Imports the plain files of `repo_dir` as one commit with fixed author and time into the bare repository
/// `into`, which is made if it is not there and may hold other fixtures. Equal files give an equal commit.
pub fn import_fixture(repo_dir: &Path, into: &Path) -> Result<ImportedFixture, TargetProblem> {
    import(repo_dir, into).map_err(|error| {
        TargetProblem::new(
            "target.fixture",
            format!("The fixture {} cannot be imported: {error}.", repo_dir.display()),
            "A fixture's `repo` is a folder of plain files and links, without `.git`.",
        )
    })
}

fn import(repo_dir: &Path, into: &Path) -> Result<ImportedFixture, WorkspaceError> {
    let git = || WorkspaceError::git("import the fixture");
    let repo = harness_repository(into)?;
    let source = Dir::open_root(repo_dir).map_err(WorkspaceError::files("open the fixture's repo folder"))?;
    let odb = repo.odb().map_err(git())?;
    let mut edits: BTreeMap<Vec<u8>, Edit> = BTreeMap::new();
    source.walk(LIMITS, &mut |dir, path, entry| {
        if let Some((mode, bytes)) = read(dir, path.as_os_str().as_bytes(), entry)? {
            let id = odb.write(ObjectType::Blob, &bytes).map_err(git())?;
            edits.insert(path.as_os_str().as_bytes().to_vec(), Some((mode, id)));
        }
        Ok::<_, WorkspaceError>(Visit::Descend)
    })?;
    let tree = tree::edited(&repo, None, &edits).map_err(git())?;
    let commit = commit(&repo, tree).map_err(git())?;
    let found = repo.find_tree(tree).and_then(|tree| forms_of_tree(&repo, &tree));
    Ok(ImportedFixture {
        git_dir: into.to_owned(),
        commit: git_id(commit).map_err(git())?,
        tree: git_id(tree).map_err(git())?,
        unreadable_forms: found.map_err(git())?,
    })
}

/// The harness's own bare repository at `into`: made beside it and then renamed, so that a kill in the middle
/// leaves none rather than half of one, and two makers end with the same.
fn harness_repository(into: &Path) -> Result<Repository, WorkspaceError> {
    let git = || WorkspaceError::git("open the repository for fixtures");
    let place = |act| WorkspaceError::place(act, into);
    if !into.join("HEAD").is_file() {
        let parent = into.parent().unwrap_or(Path::new("/"));
        std::fs::create_dir_all(parent).map_err(place("make the folder above"))?;
        let made = tempfile::Builder::new().prefix(".fixtures-").tempdir_in(parent);
        let made = made.map_err(place("make a folder beside"))?;
        let mut options = RepositoryInitOptions::new();
        options.bare(true).external_template(false).initial_head("main");
        Repository::init_opts(made.path(), &options).map_err(git())?;
        match std::fs::rename(made.path(), into) {
            Ok(()) => drop(made.keep()),
            // Somebody else was faster; what he made is the same.
            Err(_) if into.join("HEAD").is_file() => {}
            Err(error) => return Err(place("publish")(error)),
        }
    }
    Repository::open_bare(into).map_err(git())
}

/// Mode and content of a file or link; `None` for a folder.
fn read(dir: &Dir, path: &[u8], entry: &Entry) -> Result<Option<(i32, Vec<u8>)>, WorkspaceError> {
    let files = || WorkspaceError::files("read a file of the fixture");
    if !is_safe_component(entry.name.as_bytes()) {
        return Err(WorkspaceError::unsafe_name(path));
    }
    match entry.status.kind {
        FileKind::Directory => Ok(None),
        FileKind::File => {
            let mode = if entry.status.mode & 0o100 != 0 { EXECUTABLE } else { PLAIN };
            Ok(Some((mode, dir.read_file(&entry.name, FILE_BYTES).map_err(files())?)))
        }
        FileKind::Link => Ok(Some((LINK, dir.read_link(&entry.name).map_err(files())?))),
        _ => Err(WorkspaceError::SpecialFile { path: shown_bytes(path) }),
    }
}

fn commit(repo: &Repository, tree: Oid) -> Result<Oid, git2::Error> {
    let author = Signature::new("fixture", "fixture@cto.invalid", &Time::new(BASE_TIME, 0))?;
    let tree = repo.find_tree(tree)?;
    repo.commit(None, &author, &author, "fixture\n", &tree, &[])
}
