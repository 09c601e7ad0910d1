//! The harness's own copies of admitted installations: one for each tree digest, read-only, hashed again before every run.
//!
//! What a run sees is the copy, so nothing that happens to the operator's files meanwhile reaches it. Guarantees: both
//! the installation and the copy are held against the admission each time; a copy that is not what was admitted is thrown
//! away and made again; it is published whole, by rename. Its files are 0444 or 0555 and its folders 0555, whatever the
//! modes were, so that the payload's uid can read and nobody writes.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::AdmissionRecord;
use super::installation::{InstallationError, Object, Objects, difference, look};
use crate::beneath::Dir;

/// The store, `installations/` of the state folder.
#[derive(Debug, Clone)]
pub struct InstallationStore {
    dir: PathBuf,
}

fn io(path: &Path, act: &'static str) -> impl Fn(std::io::Error) -> InstallationError {
    let path = path.to_owned();
    move |source| InstallationError::Io { path: path.clone(), act, source }
}

impl InstallationStore {
    /// The store in `dir`, which is made (0700) when it is first used.
    #[must_use]
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Holds the installation `source` against its admission, and gives the folder of the copy that may be run.
    pub fn hold(&self, source: &Path, admitted: &AdmissionRecord) -> Result<PathBuf, InstallationError> {
        if let Some(other) = difference(&admitted.files, &look(source)?) {
            return Err(InstallationError::Differs(other));
        }
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.dir)
            .map_err(io(&self.dir, "making the folder"))?;
        let lock = self.dir.join(".lock");
        let held = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&lock);
        let held = held.and_then(|file| file.lock().map(|()| file)).map_err(io(&lock, "locking it"))?;
        let name = admitted.tree_digest.hex();
        let (place, wanted) = (self.dir.join(&name), read_only(&admitted.files));
        let there = fs::symlink_metadata(&place).is_ok();
        if !(there && look(&place).is_ok_and(|found| difference(&wanted, &found).is_none())) {
            self.copy(source, admitted, &wanted, &name)?;
        }
        drop(held);
        Ok(place)
    }

    fn copy(
        &self,
        source: &Path,
        admitted: &AdmissionRecord,
        wanted: &Objects,
        name: &str,
    ) -> Result<(), InstallationError> {
        let beneath = |source| InstallationError::Beneath { path: self.dir.clone(), source };
        let store = Dir::open_root(&self.dir).map_err(beneath)?;
        let draft = format!(".new-{name}");
        for old in [draft.as_str(), name] {
            store.remove_tree(old.as_ref()).map_err(beneath)?;
        }
        let to = self.dir.join(&draft);
        fs::create_dir(&to).map_err(io(&to, "making the folder"))?;
        let from = Dir::open_root(source)
            .map_err(|error| InstallationError::Beneath { path: source.to_owned(), source: error })?;
        for (name, object) in &admitted.files {
            put(&from, name, object, &to)?;
        }
        // Folders are closed when everything is in them.
        for (name, _) in wanted.iter().rev().filter(|(_, one)| matches!(one, Object::Folder { .. })) {
            set_mode(&to.join(name), 0o555)?;
        }
        if let Some(other) = difference(wanted, &look(&to)?) {
            return Err(InstallationError::Differs(format!("while it was copied: {other}")));
        }
        let place = self.dir.join(name);
        fs::rename(&to, &place).map_err(io(&place, "publishing the copy"))?;
        set_mode(&place, 0o555)
    }
}

/// Parents come before what is in them, because names are sorted.
fn put(from: &Dir, name: &str, object: &Object, to: &Path) -> Result<(), InstallationError> {
    let at = to.join(name);
    match object {
        Object::Folder { .. } => fs::create_dir(&at).map_err(io(&at, "making the folder")),
        Object::Link { target } => {
            std::os::unix::fs::symlink(target, &at).map_err(io(&at, "making the link"))
        }
        Object::File { mode, size, .. } => {
            let read = from
                .open_file(name)
                .map_err(|source| InstallationError::Beneath { path: at.clone(), source })?;
            let mut copy = fs::File::create_new(&at).map_err(io(&at, "making the file"))?;
            // One byte more, so that a file that grew is seen as another one.
            std::io::copy(&mut read.take(size.saturating_add(1)), &mut copy)
                .map_err(io(&at, "copying it"))?;
            set_mode(&at, file_mode(*mode))
        }
    }
}

const fn file_mode(mode: u32) -> u32 {
    if mode & 0o111 == 0 { 0o444 } else { 0o555 }
}

fn set_mode(path: &Path, mode: u32) -> Result<(), InstallationError> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(io(path, "setting its mode"))
}

/// What a copy of `admitted` has to be.
fn read_only(admitted: &Objects) -> Objects {
    let one = |(name, object): (&String, &Object)| {
        let object = match object {
            Object::File { mode, size, digest } => {
                Object::File { mode: file_mode(*mode), size: *size, digest: *digest }
            }
            Object::Folder { .. } => Object::Folder { mode: 0o555 },
            link @ Object::Link { .. } => link.clone(),
        };
        (name.clone(), object)
    };
    admitted.iter().map(one).collect()
}
