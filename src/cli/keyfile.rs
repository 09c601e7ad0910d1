//! Keys that the caller hands in as files: private ones of PEM and OpenSSH, and public ones.
//!
//! A public key of OpenSSH stands for a private one that does not come here: with a passphrase, in an agent, or in
//! hardware. `ssh-keygen` signs with it then. What comes back counts only if it verifies.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::problem::Problem;
use super::ssh_keygen;
use crate::vocab::{KeyError, PublicKey, SealingKey, Signature, SigningKey, SshPrivate, shown};

const MAKE_PRIVATE: &str =
    "make one with `openssl genpkey -algorithm ed25519 -out FILE` or `ssh-keygen -t ed25519`";
const MAKE_PUBLIC: &str =
    "write one with `openssl pkey -in PRIVATE.pem -pubout -out FILE`, or name a `.pub` of ssh-keygen";

/// Somebody who signs.
#[derive(Debug)]
pub(super) enum Signer {
    /// With a key that was read.
    Here(SigningKey),
    /// With `ssh-keygen`, which finds the key by this file.
    SshKeygen {
        /// The file.
        file: PathBuf,
        /// The public half.
        public: Box<PublicKey>,
    },
}

impl Signer {
    /// The public half.
    pub(super) fn public(&self) -> PublicKey {
        match self {
            Self::Here(key) => key.public(),
            Self::SshKeygen { public, .. } => (**public).clone(),
        }
    }

    /// Signs exact bytes. May wait for a person: a passphrase, a PIN, a touch.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Signature, Problem> {
        let signature = match self {
            Self::Here(key) => {
                key.sign(message).map_err(|error| Problem::usage(error.to_string(), MAKE_PRIVATE))?
            }
            Self::SshKeygen { file, .. } => ssh_keygen::sign(file, message)?,
        };
        match self.public().check(message, &signature) {
            Ok(()) => Ok(signature),
            Err(fault) => Err(Problem::usage(
                format!("what was signed does not count: {fault}"),
                "sign with the key that was named, and touch it when it asks",
            )),
        }
    }
}

/// Whoever signs with the key in a file: a private key of PEM or OpenSSH, or a public one of OpenSSH.
pub(super) fn signer(path: &Path) -> Result<Signer, Problem> {
    let text = text(path, MAKE_PRIVATE)?;
    if text.contains("-----BEGIN OPENSSH PRIVATE KEY-----") {
        refuse_open(path)?;
        return match SshPrivate::parse(&text).map_err(|error| unusable(path, &error, MAKE_PRIVATE))? {
            SshPrivate::Software(key) => Ok(Signer::Here(key)),
            SshPrivate::Hardware(public) => {
                Ok(Signer::SshKeygen { file: path.to_owned(), public: Box::new(public) })
            }
        };
    }
    if text.contains("-----BEGIN") {
        return private(path).map(|key| Signer::Here(key.into()));
    }
    let public = PublicKey::parse(&text).map_err(|error| unusable(path, &error, MAKE_PRIVATE))?;
    Ok(Signer::SshKeygen { file: path.to_owned(), public: Box::new(public) })
}

/// A private key (Ed25519, PEM) that nobody else can read.
pub(super) fn private(path: &Path) -> Result<SealingKey, Problem> {
    refuse_open(path)?;
    SealingKey::from_pem(&text(path, MAKE_PRIVATE)?).map_err(|error| unusable(path, &error, MAKE_PRIVATE))
}

/// A public key, PEM or OpenSSH.
pub(super) fn public(path: &Path) -> Result<PublicKey, Problem> {
    PublicKey::parse(&text(path, MAKE_PUBLIC)?).map_err(|error| unusable(path, &error, MAKE_PUBLIC))
}

/// A signature that was made elsewhere: of ssh-keygen, 128 hex digits, or 64 bytes as openssl writes them.
pub(super) fn signature(path: &Path) -> Result<Signature, Problem> {
    let remedy =
        "make it with `cto approve ID --as NAME --print-message | ssh-keygen -Y sign …`; see `--help`";
    let bytes =
        std::fs::read(path).map_err(|source| Problem::Read { path: path.to_owned(), source, remedy })?;
    let parsed = match str::from_utf8(&bytes) {
        Ok(text) if bytes.len() != 64 => Signature::parse(text.trim()),
        Ok(_) | Err(_) => Signature::from_bytes(&bytes),
    };
    parsed.map_err(|error| unusable(path, &error, remedy))
}

fn text(path: &Path, remedy: &'static str) -> Result<Zeroizing<String>, Problem> {
    let read = |source| Problem::Read { path: path.to_owned(), source, remedy };
    std::fs::read_to_string(path).map(Zeroizing::new).map_err(read)
}

fn unusable(path: &Path, error: &KeyError, remedy: &str) -> Problem {
    Problem::usage(shown(&format!("{}: {error}", path.display())), remedy)
}

fn refuse_open(path: &Path) -> Result<(), Problem> {
    let read = |source| Problem::Read { path: path.to_owned(), source, remedy: MAKE_PRIVATE };
    let mode = std::fs::metadata(path).map_err(read)?.mode();
    if mode & 0o077 != 0 {
        return Err(Problem::usage(
            format!("others may read the private key {} (mode {:04o})", path.display(), mode & 0o7777),
            format!("chmod 600 {}", path.display()),
        ));
    }
    Ok(())
}
