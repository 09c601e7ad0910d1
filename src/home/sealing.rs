//! This machine's sealing key: made on first use, private to the caller, replaced only by `cto key rotate`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use zeroize::Zeroizing;

use super::file::{self, Existing};
use super::trust::TrustedKey;
use super::{Home, HomeError};
use crate::vocab::{PublicKey, SealingKey};

impl Home {
    /// The sealing key; made (0600, in one step) when there is none.
    pub fn sealing_key(&self) -> Result<SealingKey, HomeError> {
        let path = self.sealing_key_path();
        if let Some(key) = read(&path)? {
            return Ok(key);
        }
        let fresh = generate(&path)?;
        if write(&path, &fresh, Existing::Keep)? {
            return Ok(fresh);
        }
        // Another process made one between our look and our write: theirs counts.
        read(&path)?.ok_or_else(|| HomeError::Read { path, source: std::io::ErrorKind::NotFound.into() })
    }

    /// Replaces the sealing key and returns the new public half. Bundles sealed before still verify, because
    /// the old public key stays in the trust file; the old private key is gone.
    pub fn rotate_sealing_key(&self) -> Result<PublicKey, HomeError> {
        let _held = file::lock(self.config())?;
        let path = self.sealing_key_path();
        // The old key is in the trust file before it goes, also where that file was never made.
        self.trust()?;
        let fresh = generate(&path)?;
        let id = fresh.public().key_id().hex();
        let name = format!("this-machine-{}", id.get(..8).unwrap_or(&id));
        // Trusted first: a seal by a key that is not trusted yet would be worth nothing here.
        self.trust_seal(TrustedKey { name, key: fresh.public() })?;
        write(&path, &fresh, Existing::Replace)?;
        Ok(fresh.public())
    }
}

fn generate(path: &Path) -> Result<SealingKey, HomeError> {
    SealingKey::generate().map_err(|source| HomeError::Key { path: path.to_owned(), source })
}

fn write(path: &Path, key: &SealingKey, existing: Existing) -> Result<bool, HomeError> {
    let pem = key.to_pem().map_err(|source| HomeError::Key { path: path.to_owned(), source })?;
    file::publish(path, pem.as_bytes(), existing)
}

fn read(path: &Path) -> Result<Option<SealingKey>, HomeError> {
    let Some(found) = file::read_checked(path)? else { return Ok(None) };
    let text = Zeroizing::new(found.text);
    let meta = fs::metadata(path).map_err(|source| HomeError::Inspect { path: path.to_owned(), source })?;
    let caller = file::caller_uid()?;
    if meta.uid() != caller {
        return Err(HomeError::ForeignOwner { path: path.to_owned(), owner: meta.uid(), caller });
    }
    if meta.mode() & 0o077 != 0 {
        return Err(HomeError::ExposedKey { path: path.to_owned(), mode: meta.mode() & 0o7777 });
    }
    SealingKey::from_pem(&text).map(Some).map_err(|source| HomeError::Key { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_made_once_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        let first = home.sealing_key().unwrap().public();
        assert_eq!(home.sealing_key().unwrap().public(), first);
        let mode = fs::metadata(home.sealing_key_path()).unwrap().mode() & 0o7777;
        assert_eq!(mode, 0o600);
        fs::set_permissions(home.sealing_key_path(), fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(home.sealing_key(), Err(HomeError::ExposedKey { mode: 0o640, .. })));
    }

    #[test]
    fn rotation_trusts_old_and_new() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        let old = home.sealing_key().unwrap().public();
        let new = home.rotate_sealing_key().unwrap();
        assert_ne!(old, new);
        assert_eq!(home.sealing_key().unwrap().public(), new);
        let trust = home.trust().unwrap();
        assert!(trust.trusts_seal_of(&old) && trust.trusts_seal_of(&new));
    }

    #[test]
    fn a_broken_key_file_is_named_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        file::publish(&home.sealing_key_path(), b"not a key", Existing::Keep).unwrap();
        let error = home.sealing_key().unwrap_err().to_string();
        assert!(error.contains("sealing-key.pem"), "{error}");
        assert_eq!(fs::read(home.sealing_key_path()).unwrap(), b"not a key");
    }
}
