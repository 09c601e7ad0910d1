//! Carries out the part of a launch plan that lies on disk: the private home and the sealed files.
//!
//! Everything is made new, in the run's own folder; nothing of it is read back. What an earlier attempt of the run left
//! there goes first, but for the folder of the home that the plan keeps.

use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};

use super::adapter::{LaunchPlan, PROGRAM, WORKSPACE};
use super::program::StoredProgram;
use crate::beneath::{BeneathError, Dir, FileKind};

/// What is to be bound into the sandbox: host path and absolute path inside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provision {
    /// Writable folders.
    pub writable: Vec<(PathBuf, PathBuf)>,
    /// Single read-only files, the program among them.
    pub files: Vec<(PathBuf, PathBuf)>,
    /// Read-only folders.
    pub read_only: Vec<(PathBuf, PathBuf)>,
}

/// Why a plan could not be laid out.
#[derive(Debug, thiserror::Error)]
pub enum LayOutError {
    /// A path of the plan is not relative and plain.
    #[error("the launch plan names `{0}`, which is not a plain relative path")]
    Path(String),
    /// What an earlier attempt left could not be removed.
    #[error("what an earlier attempt left could not be removed: {0}")]
    Clear(#[from] BeneathError),
    /// Making a file or folder failed.
    #[error("`{path}` could not be made: {source}")]
    Make {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Entries of a home that are looked through; one with more is refused.
const HOME_ENTRIES: usize = 10_000;
/// Folders below one another in what a home keeps; one with more is refused.
const HOME_LEVELS: usize = 32;

fn make(path: &Path) -> impl Fn(std::io::Error) -> LayOutError {
    let path = path.to_owned();
    move |source| LayOutError::Make { path: path.clone(), source }
}

/// The private home, in the run's folder.
pub const HOME_FOLDER: &str = "engine-home";
/// The sealed files, in the run's folder.
const FILES: &str = "engine-files";
/// The folder that holds nothing, in the run's folder.
const EMPTY: &str = "engine-empty";

impl LaunchPlan {
    /// Removes from `folder` what an earlier attempt had laid out there, but for what the home keeps, which
    /// will belong to `owner`.
    pub fn clear(&self, folder: &Path, owner: (u32, u32)) -> Result<(), LayOutError> {
        let run = Dir::open_root(folder)?;
        run.remove_tree(OsStr::new(FILES))?;
        run.remove_tree(OsStr::new(EMPTY))?;
        let kept = self.home.as_ref().and_then(|home| home.kept.as_ref()).map(|kept| kept.folder.as_str());
        match run.status(HOME_FOLDER)? {
            Some(found) if found.kind == FileKind::Directory && kept.is_some() => {}
            _ => return Ok(run.remove_tree(OsStr::new(HOME_FOLDER))?),
        }
        let home = run.open_dir_by_force(HOME_FOLDER)?;
        for entry in home.entries(HOME_ENTRIES)? {
            let stays = entry.name.to_str() == kept && entry.status.kind == FileKind::Directory;
            if !stays {
                home.remove_tree(&entry.name)?;
            }
        }
        Ok(home.give_all(owner, HOME_LEVELS)?)
    }

    /// Places in the work tree that the plan lays something on: no part of the tree, relative to its top.
    #[must_use]
    pub fn places_in_the_tree(&self) -> Vec<String> {
        let homes = self.home.iter().flat_map(|home| &home.also_at).map(|(_, at)| at);
        let files = self.files.iter().map(|file| &file.at).chain(&self.program_also_at).chain(&self.empty_at);
        let below = |at: &String| Some(Path::new(at).strip_prefix(WORKSPACE).ok()?.to_str()?.to_owned());
        homes.chain(files).filter_map(below).filter(|place| !place.is_empty()).collect()
    }

    /// Lays the plan out in `folder`, which must exist and be the run's own. What is writable inside will belong to
    /// `owner` (host uid and gid of the payload).
    pub fn lay_out(
        &self,
        folder: &Path,
        program: &StoredProgram,
        owner: (u32, u32),
    ) -> Result<Provision, LayOutError> {
        let mut provision = Provision::default();
        for at in std::iter::once(PROGRAM).chain(self.program_also_at.iter().map(String::as_str)) {
            provision.files.push((program.path.clone(), PathBuf::from(at)));
        }
        if let Some(at) = &self.empty_at {
            let empty = folder.join(EMPTY);
            std::fs::DirBuilder::new().mode(0o555).create(&empty).map_err(make(&empty))?;
            provision.read_only.push((empty, PathBuf::from(at)));
        }
        if !self.files.is_empty() {
            let sealed = folder.join(FILES);
            make_folder(&sealed, None)?;
            for (index, file) in self.files.iter().enumerate() {
                let path = sealed.join(index.to_string());
                let mode = if file.executable { 0o555 } else { 0o444 };
                write_new(&path, &file.bytes, mode, None)?;
                provision.files.push((path, PathBuf::from(&file.at)));
            }
        }
        if let Some(home) = &self.home {
            let root = folder.join(HOME_FOLDER);
            match make_folder(&root, Some(owner)) {
                // What was cleared keeps its threads.
                Err(LayOutError::Make { source, .. })
                    if home.kept.is_some() && source.kind() == std::io::ErrorKind::AlreadyExists => {}
                made => made?,
            }
            for name in &home.folders {
                make_folder(&root.join(plain(name)?), Some(owner))?;
            }
            for (name, bytes) in &home.files {
                write_new(&root.join(plain(name)?), bytes, 0o600, Some(owner))?;
            }
            for (name, at) in &home.also_at {
                provision.writable.push((root.join(plain(name)?), PathBuf::from(at)));
            }
            provision.writable.push((root, PathBuf::from(&home.at)));
        }
        Ok(provision)
    }
}

fn plain(name: &str) -> Result<&Path, LayOutError> {
    let path = Path::new(name);
    let fine = !name.is_empty() && path.components().all(|part| matches!(part, Component::Normal(_)));
    if fine { Ok(path) } else { Err(LayOutError::Path(name.to_owned())) }
}

fn make_folder(path: &Path, owner: Option<(u32, u32)>) -> Result<(), LayOutError> {
    std::fs::DirBuilder::new().mode(0o700).create(path).map_err(make(path))?;
    hand_over(path, owner)
}

fn write_new(path: &Path, bytes: &[u8], mode: u32, owner: Option<(u32, u32)>) -> Result<(), LayOutError> {
    let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    opened.and_then(|mut file| file.write_all(bytes)).map_err(make(path))?;
    hand_over(path, owner)
}

fn hand_over(path: &Path, owner: Option<(u32, u32)>) -> Result<(), LayOutError> {
    use std::os::unix::fs::MetadataExt as _;
    let Some((uid, gid)) = owner else { return Ok(()) };
    let found = std::fs::symlink_metadata(path).map_err(make(path))?;
    if (found.uid(), found.gid()) == (uid, gid) {
        return Ok(());
    }
    std::os::unix::fs::lchown(path, Some(uid), Some(gid)).map_err(make(path))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::engine::adapter::{KeptFiles, PrivateHome, SealedFile};
    use crate::vocab::Digest;

    fn plan(home_file: &str) -> LaunchPlan {
        LaunchPlan {
            argv: vec![PROGRAM.into()],
            env: BTreeMap::new(),
            cwd: "/workspace".into(),
            home: Some(PrivateHome {
                at: "/home-of-it".into(),
                folders: vec!["tmp".into()],
                files: vec![(home_file.into(), b"x = 1\n".to_vec())],
                ..PrivateHome::default()
            }),
            files: vec![SealedFile { at: "/engine/script.toml".into(), ..SealedFile::default() }],
            ..LaunchPlan::default()
        }
    }

    fn program() -> StoredProgram {
        StoredProgram {
            digest: Digest::of(b""),
            path: "/p".into(),
            source: "/s".into(),
            version: None,
            installation: None,
        }
    }

    fn me(dir: &Path) -> (u32, u32) {
        use std::os::unix::fs::MetadataExt as _;
        let found = std::fs::metadata(dir).unwrap();
        (found.uid(), found.gid())
    }

    #[test]
    fn everything_is_new_and_in_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let provision = plan("config.toml").lay_out(dir.path(), &program(), me(dir.path())).unwrap();
        assert_eq!(provision.files.len(), 2);
        assert_eq!(provision.writable.len(), 1);
        assert_eq!(std::fs::read(dir.path().join("engine-home/config.toml")).unwrap(), b"x = 1\n");
        assert!(
            plan("config.toml").lay_out(dir.path(), &program(), me(dir.path())).is_err(),
            "never over what is there"
        );
    }

    #[test]
    fn a_folder_of_the_home_lies_in_the_tree_and_is_named_as_no_part_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut plan = plan("config.toml");
        plan.home.as_mut().unwrap().also_at = vec![("tmp".into(), "/workspace/.mine".into())];
        plan.program_also_at = vec!["/engine/bin/p".into()];
        plan.empty_at = Some("/engine/empty".into());
        plan.files.push(SealedFile { at: "/engine/bin/q".into(), bytes: b"x".to_vec(), executable: true });
        assert_eq!(plan.places_in_the_tree(), [".mine"]);
        let laid = plan.lay_out(dir.path(), &program(), me(dir.path())).unwrap();
        assert_eq!(laid.writable[0], (dir.path().join("engine-home/tmp"), "/workspace/.mine".into()));
        assert!(laid.files.contains(&("/p".into(), "/engine/bin/p".into())));
        assert_eq!(laid.read_only, [(dir.path().join("engine-empty"), "/engine/empty".into())]);
        let mode = |name: &str| {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777
        };
        let modes = ["engine-files/0", "engine-files/1", "engine-empty"].map(mode);
        assert_eq!(modes, [0o444, 0o555, 0o555]);
    }

    #[test]
    fn of_an_earlier_home_its_threads_alone_stay() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, mut plan) = (dir.path(), plan("config.toml"));
        let named = ("rollout-".into(), ".jsonl".into());
        let kept = KeptFiles { folder: "sessions".into(), named, copies: "backend/x".into() };
        plan.home.as_mut().unwrap().kept = Some(kept);
        plan.lay_out(folder, &program(), me(folder)).unwrap();
        let home = folder.join("engine-home");
        std::fs::create_dir(home.join("sessions")).unwrap();
        std::fs::write(home.join("sessions/rollout-1.jsonl"), "{}\n").unwrap();
        std::fs::write(home.join("config.toml"), "of its own\n").unwrap();
        std::os::unix::fs::symlink("/etc", home.join("etc")).unwrap();
        plan.clear(folder, me(folder)).unwrap();
        plan.lay_out(folder, &program(), me(folder)).unwrap();
        assert_eq!(std::fs::read(home.join("config.toml")).unwrap(), b"x = 1\n");
        assert_eq!(std::fs::read(home.join("sessions/rollout-1.jsonl")).unwrap(), b"{}\n");
        assert!(!home.join("etc").exists());
        // A link in its place is no folder of threads.
        std::fs::remove_dir_all(home.join("sessions")).unwrap();
        std::os::unix::fs::symlink("/etc", home.join("sessions")).unwrap();
        plan.clear(folder, me(folder)).unwrap();
        assert!(home.join("sessions").symlink_metadata().is_err());
    }

    #[test]
    fn a_plan_cannot_leave_the_folder() {
        for name in ["../x", "/x", "a/../../x", "", "."] {
            let dir = tempfile::tempdir().unwrap();
            assert!(plan(name).lay_out(dir.path(), &program(), me(dir.path())).is_err(), "{name}");
        }
    }
}
