//! The door: text in, sealed contract out, or an error that says where.

use std::path::Path;

use serde::Deserialize as _;

use super::check::Checker;
use super::error::{ContractError, FileProblem};
use super::limits::Ceilings;
use super::located::{Fault, FaultKind};
use super::seal::SealedContract;
use super::source::WireSource;
use super::wire::TaskContractWire;

/// The largest file that a contract may bring along, in bytes.
pub const MAX_ATTACHMENT_BYTES: u64 = 1 << 20;

/// Files beside the contract. The implementation opens beneath the contract's folder without following links.
pub trait ContractFiles {
    /// The bytes of the regular file `rel`, at most `max` of them.
    fn read_beneath(&self, rel: &str, max: u64) -> Result<Vec<u8>, FileProblem>;
}

/// No files: for contracts from standard input or over HTTP.
#[derive(Debug, Clone, Copy)]
pub struct NoFiles;

impl ContractFiles for NoFiles {
    fn read_beneath(&self, _: &str, _: u64) -> Result<Vec<u8>, FileProblem> {
        Err(FileProblem::NoFolder)
    }
}

/// Reads, checks and seals a contract, within the standard ceilings.
///
/// `base_dir` is where relative paths start: the contract's folder, or the current one for standard input;
/// absolute. `None` (HTTP): a relative target or input is an error, and so is a file beside the contract.
pub fn parse(
    source: &WireSource,
    base_dir: Option<&Path>,
    files: &dyn ContractFiles,
) -> Result<SealedContract, ContractError> {
    parse_within(source, base_dir, files, &Ceilings::standard())
}

/// As [`parse`], with configured ceilings.
pub fn parse_within(
    source: &WireSource,
    base_dir: Option<&Path>,
    files: &dyn ContractFiles,
    ceilings: &Ceilings,
) -> Result<SealedContract, ContractError> {
    let tree = source.tree()?;
    let wire = TaskContractWire::deserialize(&tree).map_err(|fault| shape(source, fault))?;
    let base_dir = match base_dir {
        Some(dir) => Some(folder(source, dir)?),
        None => None,
    };
    let (task, attachments) = Checker { source, tree: &tree, base_dir, files, ceilings }.check(wire)?;
    SealedContract::seal(task, attachments)
}

fn folder<'d>(source: &WireSource, dir: &'d Path) -> Result<&'d str, ContractError> {
    dir.to_str().filter(|dir| dir.starts_with('/')).ok_or_else(|| {
        let sentence = format!("the contract's folder `{}` is not an absolute UTF-8 path", dir.display());
        ContractError::Value(source.complaint(
            None,
            None,
            sentence,
            "move the contract to a folder with a plain name",
        ))
    })
}

fn shape(source: &WireSource, fault: Fault) -> ContractError {
    let field = Some(fault.field).filter(|field| !field.is_empty());
    let complaint = source.complaint(fault.span.as_ref(), field, fault.sentence, fault.remedy);
    match fault.kind {
        FaultKind::Shape => ContractError::Shape(complaint),
        FaultKind::Value => ContractError::Value(complaint),
    }
}
