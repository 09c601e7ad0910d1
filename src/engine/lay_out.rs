//! Carries out the part of a launch plan that lies on disk: the private home and the sealed files.
//!
//! Everything is made new, in the run's own folder; nothing of it is read back.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};

use super::adapter::{LaunchPlan, PROGRAM};
use super::program::StoredProgram;

/// The folder, below that of the run, which is the private home inside.
pub const ENGINE_HOME: &str = "engine-home";

/// What is to be bound into the sandbox: host path and absolute path inside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provision {
    /// Writable folders.
    pub writable: Vec<(PathBuf, PathBuf)>,
    /// Single read-only files, the program among them.
    pub files: Vec<(PathBuf, PathBuf)>,
}

/// Why a plan could not be laid out.
#[derive(Debug, thiserror::Error)]
pub enum LayOutError {
    /// A path of the plan is not relative and plain.
    #[error("the launch plan names `{0}`, which is not a plain relative path")]
    Path(String),
    /// Making a file or folder failed.
    #[error("`{path}` could not be made: {source}")]
    Make {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

fn make(path: &Path) -> impl Fn(std::io::Error) -> LayOutError {
    let path = path.to_owned();
    move |source| LayOutError::Make { path: path.clone(), source }
}

impl LaunchPlan {
    /// Lays the plan out in `folder`, which must exist and be the run's own. What is writable inside will belong to
    /// `owner` (host uid and gid of the payload).
    pub fn lay_out(
        &self,
        folder: &Path,
        program: &StoredProgram,
        owner: (u32, u32),
    ) -> Result<Provision, LayOutError> {
        let mut provision = Provision::default();
        provision.files.push((program.path.clone(), PathBuf::from(PROGRAM)));
        if !self.files.is_empty() {
            let sealed = folder.join("engine-files");
            make_folder(&sealed, None)?;
            for (index, file) in self.files.iter().enumerate() {
                let path = sealed.join(index.to_string());
                write_new(&path, &file.bytes, 0o444, None)?;
                provision.files.push((path, PathBuf::from(&file.at)));
            }
        }
        if let Some(home) = &self.home {
            let root = folder.join(ENGINE_HOME);
            make_folder(&root, Some(owner))?;
            for name in &home.folders {
                make_folder(&root.join(plain(name)?), Some(owner))?;
            }
            for (name, bytes) in &home.files {
                write_new(&root.join(plain(name)?), bytes, 0o600, Some(owner))?;
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
    use crate::engine::adapter::{PrivateHome, SealedFile};
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
            }),
            files: vec![SealedFile { at: "/engine/script.toml".into(), bytes: b"".to_vec() }],
            needs_listener: false,
        }
    }

    fn program() -> StoredProgram {
        StoredProgram { digest: Digest::of(b""), path: "/p".into(), source: "/s".into(), version: None }
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
    fn a_plan_cannot_leave_the_folder() {
        for name in ["../x", "/x", "a/../../x", "", "."] {
            let dir = tempfile::tempdir().unwrap();
            assert!(plan(name).lay_out(dir.path(), &program(), me(dir.path())).is_err(), "{name}");
        }
    }
}
