//! Keys that the caller hands in as files.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use zeroize::Zeroizing;

use super::problem::Problem;
use crate::vocab::{PublicKey, SealingKey};

/// A private key that nobody else can read.
pub(super) fn private(path: &Path) -> Result<SealingKey, Problem> {
    let remedy = "make one with `openssl genpkey -algorithm ed25519 -out FILE`";
    let read = |source| Problem::Read { path: path.to_owned(), source, remedy };
    let mode = std::fs::metadata(path).map_err(read)?.mode();
    if mode & 0o077 != 0 {
        return Err(Problem::usage(
            format!("others may read the private key {} (mode {:04o})", path.display(), mode & 0o7777),
            format!("chmod 600 {}", path.display()),
        ));
    }
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(read)?);
    SealingKey::from_pem(&text)
        .map_err(|error| Problem::usage(format!("{}: {error}", path.display()), remedy))
}

/// A public key.
pub(super) fn public(path: &Path) -> Result<PublicKey, Problem> {
    let remedy = "write one with `openssl pkey -in PRIVATE.pem -pubout -out FILE`";
    let read = |source| Problem::Read { path: path.to_owned(), source, remedy };
    let text = std::fs::read_to_string(path).map_err(read)?;
    PublicKey::from_pem(&text).map_err(|error| Problem::usage(format!("{}: {error}", path.display()), remedy))
}
