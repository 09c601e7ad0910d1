//! From the words of `cto run` and `cto decide` to a request.

use std::io::Read as _;
use std::path::Path;

use super::problem::Problem;
use crate::contract::MAX_CONTRACT_BYTES;
use crate::run::{ContractInput, RunRequest};
use crate::vocab::EngineId;

/// The request that `contract` (a path, or `-`) and `engine` name.
pub(super) fn request(contract: &Path, engine: Option<&str>) -> Result<RunRequest, Problem> {
    let cwd = std::env::current_dir().map_err(|source| Problem::Read {
        path: ".".into(),
        source,
        remedy: "change to a folder that exists",
    })?;
    named_in_utf8(&cwd, "change to a folder with a plain name")?;
    let engine = engine.map(EngineId::parse).transpose();
    let engine = engine.map_err(|error| Problem::usage(error.to_string(), "see `cto engine list`"))?;
    let input = if contract == Path::new("-") {
        ContractInput::Stdin(standard_input()?)
    } else {
        ContractInput::Path(contract.to_owned())
    };
    Ok(RunRequest { input, cwd, engine, out: None, wait: false, learn: false })
}

/// Refuses a path that no document of evidence can name.
pub(super) fn named_in_utf8(path: &Path, remedy: &str) -> Result<(), Problem> {
    match path.to_str() {
        Some(_) => Ok(()),
        None => Err(Problem::usage(format!("the path {} is not UTF-8", path.display()), remedy)),
    }
}

fn standard_input() -> Result<String, Problem> {
    let mut text = String::new();
    // One byte more than a contract may have, so that a longer one is refused by its size and not cut.
    let read = std::io::stdin().lock().take(MAX_CONTRACT_BYTES as u64 + 1).read_to_string(&mut text);
    read.map_err(|source| Problem::Read {
        path: "standard input".into(),
        source,
        remedy: "write the contract as JSON in UTF-8",
    })?;
    Ok(text)
}
