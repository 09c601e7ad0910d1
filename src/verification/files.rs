//! The contract's verification files: their bytes, checked against the seal.

use std::collections::BTreeMap;

use crate::contract::{Attachments, FileSource, MAX_ATTACHMENT_BYTES, TaskContract};
use crate::vocab::Digest;
use crate::workspace::{Base, read_base_file};

use super::provisions::ProvisionProblem;

/// Path in the tree → bytes, for every verification file of `contract`. Those that come from the base are read
/// there, the others are the ones sealed with the contract, and must have the digest that it names.
pub fn verification_files(
    contract: &TaskContract,
    attachments: &Attachments,
    base: &Base,
) -> Result<BTreeMap<String, Vec<u8>>, ProvisionProblem> {
    let mut files = BTreeMap::new();
    for file in &contract.verification_files {
        let bytes = match file.from {
            FileSource::Base => from_base(base, &file.path)?,
            FileSource::Sealed(digest) => sealed(attachments, &file.path, digest)?,
        };
        files.insert(file.path.clone(), bytes);
    }
    Ok(files)
}

fn from_base(base: &Base, path: &str) -> Result<Vec<u8>, ProvisionProblem> {
    let found = read_base_file(base, path, MAX_ATTACHMENT_BYTES).map_err(|error| {
        let sentence = format!("the verification file `{path}` could not be read from the base: {error}");
        ProvisionProblem::new("provision.unreadable", sentence, "check the repository with `git fsck`")
    })?;
    found.ok_or_else(|| {
        ProvisionProblem::new(
            "provision.absent",
            format!("the base has no regular file `{path}` of at most 1 MiB"),
            "name a file that the base commit holds, or lay one beside the contract",
        )
    })
}

fn sealed(attachments: &Attachments, path: &str, digest: Digest) -> Result<Vec<u8>, ProvisionProblem> {
    let bytes = attachments.verification_files.get(path).filter(|bytes| Digest::of(bytes) == digest);
    bytes.cloned().ok_or_else(|| {
        ProvisionProblem::new(
            "provision.changed",
            format!("the verification file `{path}` is not at hand with the digest that the contract names"),
            "run the contract from its own folder",
        )
    })
}
