//! Reading and writing the installation's own files: checked before read, whole or not at all when written.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use tempfile::NamedTempFile;

use super::HomeError;

/// Longest configuration file that is read, bytes.
const MAX_BYTES: u64 = 1 << 20;

/// A file's text and who owns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedText {
    /// Its text.
    pub text: String,
    /// The uid that owns the file.
    pub owner_uid: u32,
}

/// The caller's effective uid, as the kernel tells it.
pub(super) fn caller_uid() -> Result<u32, HomeError> {
    // proc(5): the folder belongs to the effective uid of its process.
    fs::metadata("/proc/self").map(|folder| folder.uid()).map_err(HomeError::WhoAmI)
}

/// Makes `path` (0700, with parents) if it is absent, and refuses it unless it is the caller's and closed.
pub(super) fn private_folder(path: &Path) -> Result<(), HomeError> {
    let caller = caller_uid()?;
    match fs::DirBuilder::new().recursive(true).mode(0o700).create(path) {
        Ok(()) => {}
        Err(source) if source.kind() == ErrorKind::AlreadyExists => {
            return Err(HomeError::NotAFolder { path: path.to_owned() });
        }
        Err(source) => return Err(HomeError::CreateFolder { path: path.to_owned(), source }),
    }
    let meta = fs::metadata(path).map_err(|source| HomeError::Inspect { path: path.to_owned(), source })?;
    if meta.uid() != caller {
        return Err(HomeError::ForeignOwner { path: path.to_owned(), owner: meta.uid(), caller });
    }
    refuse_group_write(path, meta.mode())
}

fn refuse_group_write(path: &Path, mode: u32) -> Result<(), HomeError> {
    if mode & 0o022 == 0 {
        Ok(())
    } else {
        Err(HomeError::WritableByOthers { path: path.to_owned(), mode: mode & 0o7777 })
    }
}

/// The text of a regular file that others may not write to; `None` when there is none.
pub(super) fn read_checked(path: &Path) -> Result<Option<OwnedText>, HomeError> {
    let read = |source| HomeError::Read { path: path.to_owned(), source };
    // O_NONBLOCK: a FIFO in the file's place must be refused, not waited for.
    let file = match fs::OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(path) {
        Ok(file) => file,
        Err(source) if source.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(read(source)),
    };
    let meta = file.metadata().map_err(read)?;
    if !meta.is_file() {
        return Err(HomeError::NotAFile { path: path.to_owned() });
    }
    refuse_group_write(path, meta.mode())?;
    let mut text = String::new();
    let got = file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(read)?;
    if got as u64 > MAX_BYTES {
        return Err(read(std::io::Error::new(ErrorKind::FileTooLarge, "more than 1 MiB")));
    }
    Ok(Some(OwnedText { text, owner_uid: meta.uid() }))
}

/// `open(2)` flag, Linux generic value (x86-64 and aarch64).
const O_NONBLOCK: i32 = 0o4000;

/// What [`publish`] does when the file exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Existing {
    /// Replaced in one step.
    Replace,
    /// Replaced in one step by a file of the same owner, group and mode, or not at all.
    KeepOwner,
    /// Left alone.
    Keep,
}

/// Writes `bytes` as `path` (0600) in one step: synced, renamed, folder synced. `false` = it existed and was kept.
pub(super) fn publish(path: &Path, bytes: &[u8], existing: Existing) -> Result<bool, HomeError> {
    let failed = |source| HomeError::Write { path: path.to_owned(), source };
    let was = if existing == Existing::KeepOwner { fs::metadata(path).ok() } else { None };
    let draft = draft(path, bytes).map_err(failed)?;
    if let Some(was) = was {
        leave_to_owner(path, draft.as_file(), &was)?;
    }
    put(draft, path, existing).map_err(failed)
}

/// Gives a draft the owner, group and mode of the file that it replaces.
fn leave_to_owner(path: &Path, draft: &File, was: &fs::Metadata) -> Result<(), HomeError> {
    let (owner, caller) = (was.uid(), caller_uid()?);
    if owner != caller {
        let given = std::os::unix::fs::fchown(draft, Some(owner), Some(was.gid()));
        given.map_err(|_| HomeError::ForeignFile { path: path.to_owned(), owner, caller })?;
    }
    let kept = draft.set_permissions(fs::Permissions::from_mode(was.mode() & 0o777));
    kept.and_then(|()| draft.sync_all()).map_err(|source| HomeError::Write { path: path.to_owned(), source })
}

fn draft(path: &Path, bytes: &[u8]) -> std::io::Result<NamedTempFile> {
    let folder = path.parent().ok_or(ErrorKind::InvalidInput)?;
    let mut file = tempfile::Builder::new()
        .prefix(".new-")
        .permissions(fs::Permissions::from_mode(0o600))
        .tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

fn put(file: NamedTempFile, path: &Path, existing: Existing) -> std::io::Result<bool> {
    let published = match existing {
        Existing::Replace | Existing::KeepOwner => file.persist(path).map(|_| true),
        Existing::Keep => file.persist_noclobber(path).map(|_| true),
    };
    match published {
        Ok(_) => {}
        Err(refused) if existing == Existing::Keep && refused.error.kind() == ErrorKind::AlreadyExists => {
            return Ok(false);
        }
        Err(refused) => return Err(refused.error),
    }
    File::open(path.parent().ok_or(ErrorKind::InvalidInput)?)?.sync_all()?;
    Ok(true)
}

/// Held until dropped: one writer at a time in `folder`.
pub(super) fn lock(folder: &Path) -> Result<File, HomeError> {
    let path = folder.join(".lock");
    let lock = || {
        let file = fs::OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path)?;
        file.lock()?;
        Ok(file)
    };
    lock().map_err(|source| HomeError::Lock { path: path.clone(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_published_file_is_whole_private_and_kept_when_asked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        assert!(publish(&path, b"one", Existing::Keep).unwrap());
        assert!(!publish(&path, b"two", Existing::Keep).unwrap());
        assert_eq!(read_checked(&path).unwrap().unwrap().text, "one");
        assert!(publish(&path, b"two", Existing::Replace).unwrap());
        assert_eq!(read_checked(&path).unwrap().unwrap().text, "two");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn odd_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        assert!(read_checked(&path).unwrap().is_none());
        fs::write(&path, "x").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(matches!(read_checked(&path), Err(HomeError::WritableByOthers { mode: 0o666, .. })));
        assert!(matches!(read_checked(folder.path()), Err(HomeError::NotAFile { .. })));
    }

    #[test]
    fn a_folder_that_others_may_write_to_is_refused_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("deep/er");
        private_folder(&place).unwrap();
        assert_eq!(fs::metadata(&place).unwrap().mode() & 0o7777, 0o700);
        fs::set_permissions(&place, fs::Permissions::from_mode(0o770)).unwrap();
        let refused = private_folder(&place).unwrap_err();
        assert!(refused.to_string().contains("chmod go-w"), "{refused}");
        assert!(refused.is_configuration());
        fs::write(folder.path().join("file"), "").unwrap();
        assert!(matches!(private_folder(&folder.path().join("file")), Err(HomeError::NotAFolder { .. })));
    }
}
