//! Programs as they are run: copied once into a store that the harness owns, named by their digest.
//!
//! What a decision binds is the digest; what a run starts is the stored copy with that digest, so replacing the
//! operator's file between the two changes nothing. The digest is taken from the copy. A file that was stored before
//! and has not moved since (device, inode, size, change times of source *and* copy) is not read again: the store lies
//! in the harness's own 0700 state folder, and change times cannot be set by a program.

use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::find::native_beside;
use crate::vocab::{Digest, Hasher};

/// Bytes of the largest program that is admitted.
const PROGRAM_BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// Bytes of a small file beside a program (records, package descriptions).
const SMALL_BYTES: u64 = 64 * 1024;

/// The store of programs, `programs/` in the state folder.
#[derive(Debug, Clone)]
pub struct ProgramStore {
    dir: PathBuf,
}

/// A program in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredProgram {
    /// Digest of its bytes.
    pub digest: Digest,
    /// Absolute path of the stored copy, mode 0555.
    pub path: PathBuf,
    /// Where it came from.
    pub source: PathBuf,
    /// What its package says that its version is, when there is one (a note, not observed by running it).
    pub version: Option<String>,
    /// The admitted installation that it is part of (gated engines only).
    pub installation: Option<Installed>,
}

/// The harness's own copy of an admitted installation: read-only, verified before every run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// Absolute path of the copy.
    pub dir: PathBuf,
    /// The file in it that the program is given, relative; from the admission.
    pub entry: Option<String>,
}

/// Why a program was not admitted.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// Nothing was found.
    #[error("no program for the engine `{engine}`: {looked}; {remedy}")]
    NotFound {
        /// Which engine.
        engine: String,
        /// Where it was looked for.
        looked: String,
        /// What to do.
        remedy: String,
    },
    /// A script.
    #[error("`{path}` is a script; {remedy}")]
    Script {
        /// Which.
        path: PathBuf,
        /// The native program to name instead.
        remedy: String,
    },
    /// Not an ELF executable of this kind of machine, or not a regular file, or too large.
    #[error("`{path}` cannot be used as a program: {why}")]
    NotAProgram {
        /// Which.
        path: PathBuf,
        /// Why.
        why: &'static str,
    },
    /// Reading or storing failed.
    #[error("`{path}`: {act} failed: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What was tried.
        act: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The file changed while it was copied.
    #[error("`{path}` changed while it was being copied; try again")]
    Changed {
        /// Which.
        path: PathBuf,
    },
}

impl ProgramError {
    /// Whether there was no room for the copy, so that nothing is said about the program.
    #[must_use]
    pub fn is_full(&self) -> bool {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self, Self::Io { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded))
    }
}

/// What tells whether a file is still the one that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Identity {
    dev: u64,
    ino: u64,
    size: u64,
    mtime: (i64, i64),
    ctime: (i64, i64),
}

impl Identity {
    fn of(found: &std::fs::Metadata) -> Self {
        Self {
            dev: found.dev(),
            ino: found.ino(),
            size: found.len(),
            mtime: (found.mtime(), found.mtime_nsec()),
            ctime: (found.ctime(), found.ctime_nsec()),
        }
    }
}

/// A remembered admission.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    source: Identity,
    copy: Identity,
    digest: Digest,
}

fn io(path: &Path, act: &'static str) -> impl Fn(std::io::Error) -> ProgramError {
    let path = path.to_owned();
    move |source| ProgramError::Io { path: path.clone(), act, source }
}

impl ProgramStore {
    /// The store in `dir`, which is made (0700) when it is first used.
    #[must_use]
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Copies `source` into the store, or finds the copy that is there.
    pub fn admit(&self, source: &Path) -> Result<StoredProgram, ProgramError> {
        let source = std::fs::canonicalize(source).map_err(io(source, "resolving it"))?;
        let mut file = std::fs::File::open(&source).map_err(io(&source, "opening it"))?;
        let found = file.metadata().map_err(io(&source, "looking at it"))?;
        let refuse = |why| ProgramError::NotAProgram { path: source.clone(), why };
        if !found.is_file() {
            return Err(refuse("it is not a regular file"));
        }
        if found.len() > PROGRAM_BYTES {
            return Err(refuse("it is larger than 2 GiB"));
        }
        let mut magic = [0_u8; 4];
        file.read_exact(&mut magic).map_err(|_| refuse("it is too short to be an ELF executable"))?;
        if magic.starts_with(b"#!") {
            return Err(ProgramError::Script { remedy: native_beside(&source), path: source });
        }
        if magic != *b"\x7fELF" {
            return Err(refuse("it is not an ELF executable"));
        }
        let identity = Identity::of(&found);
        let version = version_beside(&source);
        if let Some((digest, path)) = self.remembered(&source, &identity) {
            return Ok(StoredProgram { digest, path, source, version, installation: None });
        }
        let (digest, path) = self.copy(&source, &identity)?;
        self.remember(&source, &identity, digest, &path)?;
        Ok(StoredProgram { digest, path, source, version, installation: None })
    }

    /// The digest of `source`, where it was admitted before and has not moved since.
    #[must_use]
    pub fn known(&self, source: &Path) -> Option<Digest> {
        let source = std::fs::canonicalize(source).ok()?;
        let found = std::fs::metadata(&source).ok()?;
        self.remembered(&source, &Identity::of(&found)).map(|(digest, _)| digest)
    }

    fn record(&self, source: &Path) -> PathBuf {
        use std::os::unix::ffi::OsStrExt as _;
        self.dir.join("seen").join(Digest::of(source.as_os_str().as_bytes()).hex())
    }

    fn place(&self, digest: Digest) -> PathBuf {
        self.dir.join(digest.hex()).join("program")
    }

    /// The stored copy, if source and copy are what they were; a record that cannot be read counts as none.
    fn remembered(&self, source: &Path, identity: &Identity) -> Option<(Digest, PathBuf)> {
        let text = read_small(&self.record(source))?;
        let seen: Seen = serde_json::from_slice(&text).ok()?;
        let path = self.place(seen.digest);
        let copy = std::fs::symlink_metadata(&path).ok()?;
        let same = copy.is_file() && seen.source == *identity && seen.copy == Identity::of(&copy);
        same.then_some((seen.digest, path))
    }

    fn remember(
        &self,
        source: &Path,
        identity: &Identity,
        digest: Digest,
        path: &Path,
    ) -> Result<(), ProgramError> {
        let copy = Identity::of(&std::fs::symlink_metadata(path).map_err(io(path, "looking at the copy"))?);
        let record = self.record(source);
        let text = serde_json::to_vec(&Seen { source: identity.clone(), copy, digest })
            .map_err(|error| io(&record, "writing the record")(error.into()))?;
        let folder = self.dir.join("seen");
        make_folder(&folder)?;
        let mut temporary = tempfile::NamedTempFile::new_in(&folder).map_err(io(&folder, "making a file"))?;
        std::io::Write::write_all(&mut temporary, &text).map_err(io(&record, "writing the record"))?;
        temporary.persist(&record).map_err(|error| io(&record, "publishing the record")(error.error))?;
        Ok(())
    }

    fn copy(&self, source: &Path, identity: &Identity) -> Result<(Digest, PathBuf), ProgramError> {
        make_folder(&self.dir)?;
        let temporary = tempfile::Builder::new().prefix(".new-").tempdir_in(&self.dir);
        let temporary = temporary.map_err(io(&self.dir, "making a folder"))?;
        let copy = temporary.path().join("program");
        std::fs::copy(source, &copy).map_err(io(source, "copying it"))?;
        let digest = digest_of(&copy)?;
        let now = std::fs::metadata(source).map_err(io(source, "looking at it"))?;
        if Identity::of(&now) != *identity {
            return Err(ProgramError::Changed { path: source.to_owned() });
        }
        std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o555))
            .map_err(io(&copy, "its mode"))?;
        let synced = std::fs::File::open(&copy).and_then(|file| file.sync_all());
        synced.map_err(io(&copy, "writing it out"))?;
        let path = self.place(digest);
        let folder = self.dir.join(digest.hex());
        // A copy that is there already and has the right bytes may be running; anything else is replaced.
        if std::fs::symlink_metadata(&path).is_ok_and(|found| found.is_file()) && digest_of(&path)? == digest
        {
            return Ok((digest, path));
        }
        make_folder(&folder)?;
        std::fs::rename(&copy, &path).map_err(io(&path, "publishing it"))?;
        Ok((digest, path))
    }
}

fn make_folder(path: &Path) -> Result<(), ProgramError> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io(path, "making the folder"))
}

fn digest_of(path: &Path) -> Result<Digest, ProgramError> {
    let mut file = std::fs::File::open(path).map_err(io(path, "opening it"))?;
    let mut hasher = Hasher::new();
    let mut buffer = vec![0_u8; 1024 * 1024];
    loop {
        let count = file.read(&mut buffer).map_err(io(path, "reading it"))?;
        match buffer.get(..count) {
            Some(bytes) if !bytes.is_empty() => hasher.update(bytes),
            _ => return Ok(hasher.finish()),
        }
    }
}

fn read_small(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(SMALL_BYTES).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// What the package beside a program says of its version.
fn version_beside(program: &Path) -> Option<String> {
    let package = program.parent()?.parent()?.join("codex-package.json");
    let document: serde_json::Value = serde_json::from_slice(&read_small(&package)?).ok()?;
    Some(crate::vocab::shown(document.get("version")?.as_str()?).chars().take(64).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf(path: &Path, rest: &str) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, [b"\x7fELF", rest.as_bytes()].concat()).unwrap();
    }

    #[test]
    fn a_program_is_stored_once_under_its_digest_and_read_only() {
        let dir = tempfile::tempdir().unwrap();
        let (source, store) = (dir.path().join("p"), ProgramStore::at(dir.path().join("programs")));
        elf(&source, "one");
        let first = store.admit(&source).unwrap();
        assert_eq!(first.digest, Digest::of(b"\x7fELFone"));
        assert_eq!(std::fs::metadata(&first.path).unwrap().mode() & 0o7777, 0o555);
        assert_eq!(store.admit(&source).unwrap(), first);
        assert!(
            store.remembered(&first.source, &Identity::of(&std::fs::metadata(&source).unwrap())).is_some()
        );

        elf(&source, "two");
        let second = store.admit(&source).unwrap();
        assert_ne!(second.digest, first.digest);
        assert_eq!(std::fs::read(&first.path).unwrap(), b"\x7fELFone", "the admitted copy stays what it was");
    }

    #[test]
    fn a_copy_that_was_touched_is_not_trusted_again() {
        let dir = tempfile::tempdir().unwrap();
        let (source, store) = (dir.path().join("p"), ProgramStore::at(dir.path().join("programs")));
        elf(&source, "one");
        let first = store.admit(&source).unwrap();
        std::fs::set_permissions(&first.path, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::write(&first.path, b"\x7fELFbad").unwrap();
        let again = store.admit(&source).unwrap();
        assert_eq!(again.digest, first.digest);
        assert_eq!(std::fs::read(&again.path).unwrap(), b"\x7fELFone");
    }

    #[test]
    fn scripts_are_refused_with_the_path_to_use() {
        let dir = tempfile::tempdir().unwrap();
        let modules = dir.path().join("node_modules");
        let shim = modules.join("@openai/codex/bin/codex.js");
        std::fs::create_dir_all(shim.parent().unwrap()).unwrap();
        std::fs::write(&shim, "#!/usr/bin/env node\n").unwrap();
        std::fs::create_dir_all(modules.join(".bin")).unwrap();
        std::os::unix::fs::symlink("../@openai/codex/bin/codex.js", modules.join(".bin/codex")).unwrap();
        let store = ProgramStore::at(dir.path().join("programs"));
        let text = store.admit(&modules.join(".bin/codex")).unwrap_err().to_string();
        assert!(text.contains("is a script") && text.contains("native binary"), "{text}");

        let arch = if cfg!(target_arch = "aarch64") { "codex-linux-arm64" } else { "codex-linux-x64" };
        let target = if cfg!(target_arch = "aarch64") { "aarch64" } else { "x86_64" };
        let native = modules.join(format!("@openai/{arch}/vendor/{target}-unknown-linux-musl/bin/codex"));
        elf(&native, "native");
        let package = native.parent().unwrap().parent().unwrap().join("codex-package.json");
        std::fs::write(package, r#"{"version":"0.169.0"}"#).unwrap();
        let text = store.admit(&modules.join(".bin/codex")).unwrap_err().to_string();
        assert!(text.contains(&std::fs::canonicalize(&native).unwrap().display().to_string()), "{text}");
        assert_eq!(store.admit(&native).unwrap().version.as_deref(), Some("0.169.0"));
    }

    #[test]
    fn what_is_no_program_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let store = ProgramStore::at(dir.path().join("programs"));
        std::fs::write(dir.path().join("text"), "hello").unwrap();
        std::fs::write(dir.path().join("empty"), "").unwrap();
        for name in ["text", "empty", "none", "."] {
            assert!(store.admit(&dir.path().join(name)).is_err(), "{name}");
        }
    }
}
