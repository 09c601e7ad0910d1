//! From a caller's words to a sealed contract: finds the file, reads what it names, seals.
//!
//! Files are opened beneath the contract's own folder, never through a link. A folder with `contract.toml` and
//! `repo/` is a fixture; its repository is imported by the harness and is never a git repository of its own.

use std::path::{Path, PathBuf};

use super::recording::RecordError;
use super::{ContractInput, RunError, RunRequest, conformance, offered, proving};
use crate::beneath::{BeneathError, Dir};
use crate::contract::{
    Ceilings, ContractFiles, FileProblem, Format, MAX_CONTRACT_BYTES, NoFiles, SealedContract, WireSource,
    parse_within,
};
use crate::engine::{Catalog, OfferedLog};
use crate::home::Home;
use crate::inspection::secrets::Scanner;
use crate::vocab::EngineId;

/// What was asked, and where.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// The sealed contract.
    pub(super) contract: SealedContract,
    /// The contract's folder, absolute; `None` from standard input.
    pub(super) folder: Option<PathBuf>,
    /// The contract's file, absolute; `None` from standard input.
    pub(super) file: Option<PathBuf>,
    /// Whether it is the harness's own check of an engine; of a gated one it is a proof of its gates, too.
    pub(super) checking: bool,
    /// Whether it is the harness's own proof of an engine's gates.
    pub(super) proving: bool,
    /// Event logs that the adapter of a checked engine is held against; none in any other run.
    pub(super) logs: Vec<OfferedLog>,
}

impl Asked {
    /// Reads and seals what `request` names.
    pub(super) fn seal(home: &Home, request: &RunRequest, ceilings: &Ceilings) -> Result<Self, RunError> {
        match &request.input {
            ContractInput::Stdin(text) => {
                let source = WireSource { name: None, format: Format::Json, text: text.clone() };
                let contract = parse_within(&source, Some(&request.cwd), &NoFiles, ceilings)?;
                Ok(Self::of(contract, None, None))
            }
            ContractInput::Path(path) => Self::seal_file(&request.cwd.join(path), ceilings),
            ContractInput::Conformance { engine, logs } => {
                Self::seal_check(home, engine, (&request.cwd, logs), ceilings)
            }
            ContractInput::Proof(engine) => {
                let asked = Self::seal_file(&proving::fixture(home, engine)?, ceilings)?;
                Ok(Self { proving: true, ..asked })
            }
        }
    }

    /// What a caller asks for, without anything of the harness's own.
    const fn of(contract: SealedContract, folder: Option<PathBuf>, file: Option<PathBuf>) -> Self {
        Self { contract, folder, file, checking: false, proving: false, logs: Vec::new() }
    }

    /// The check of `engine`; one that has to prove itself is not started in it.
    fn seal_check(
        home: &Home,
        engine: &EngineId,
        (cwd, logs): (&Path, &[PathBuf]),
        ceilings: &Ceilings,
    ) -> Result<Self, RunError> {
        let catalog = Catalog::load(Some(&home.engines_dir()));
        let catalog = catalog.map_err(|error| RecordError::Program(error.to_string()))?;
        let gated = catalog.get(engine).filter(|manifest| manifest.gated);
        let reads = gated.is_some_and(|manifest| manifest.adapter.reads_logs());
        let logs = offered::read(cwd, engine, reads, logs)?;
        let proving = gated.is_some();
        let fixture =
            if proving { proving::fixture(home, engine)? } else { conformance::fixture(home, engine)? };
        Ok(Self { proving, checking: true, logs, ..Self::seal_file(&fixture, ceilings)? })
    }

    fn seal_file(path: &Path, ceilings: &Ceilings) -> Result<Self, RunError> {
        let found = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
        let file = if found.is_dir() { path.join("contract.toml") } else { path.to_owned() };
        let file = std::path::absolute(&file).map_err(|error| unreadable(&file, &error))?;
        let folder = file.parent().unwrap_or(Path::new("/"));
        let folder = folder.canonicalize().map_err(|error| unreadable(folder, &error))?;
        let size = std::fs::metadata(&file).map_err(|error| unreadable(&file, &error))?;
        if !size.is_file() || size.len() > MAX_CONTRACT_BYTES as u64 {
            return Err(RunError::Usage {
                sentence: format!(
                    "{} is not a contract: a regular file of at most {MAX_CONTRACT_BYTES} bytes",
                    file.display()
                ),
                remedy: "name the contract's file, or a fixture's folder".into(),
            });
        }
        let bytes = std::fs::read(&file).map_err(|error| unreadable(&file, &error))?;
        let source = WireSource::from_bytes(Some(&file), bytes)?;
        let files = Beside(Dir::open_root(&folder).map_err(|error| RunError::Usage {
            sentence: format!("the folder {} cannot be opened: {error}", folder.display()),
            remedy: "see that you may read it".into(),
        })?);
        let contract = parse_within(&source, Some(&folder), &files, ceilings)?;
        let file = file.file_name().map(|name| folder.join(name));
        Ok(Self::of(contract, Some(folder), file))
    }

    /// Id and title of a task are kept as they are, in this machine's state too: they must not hold a secret.
    pub(super) fn refuse_secret_names(&self, scanner: &Scanner) -> Result<(), RunError> {
        let task = self.contract.task();
        for (field, text) in [("task_id", task.task_id.as_str()), ("title", task.title.as_str())] {
            if let Some(secret) = scanner.scan(text.as_bytes()).first() {
                return Err(RunError::Usage {
                    sentence: format!("`{field}` of the contract holds a secret (rule `{}`)", secret.rule),
                    remedy: format!("revoke the secret at its issuer, and give the task another {field}"),
                });
            }
        }
        Ok(())
    }

    /// The folder of plain files that a fixture's repository is imported from, if this is a fixture.
    pub(super) fn fixture_repo(&self) -> Option<PathBuf> {
        let folder = self.folder.as_ref()?;
        let repo = folder.join("repo");
        let named = self.file.as_ref()?.file_name()? == "contract.toml";
        let is_target = Path::new(&self.contract.task().target_repository) == repo;
        let plain =
            repo.is_dir() && !repo.is_symlink() && std::fs::symlink_metadata(repo.join(".git")).is_err();
        (named && is_target && plain).then_some(repo)
    }
}

/// Files beside the contract.
struct Beside(Dir);

impl ContractFiles for Beside {
    fn read_beneath(&self, rel: &str, max: u64) -> Result<Vec<u8>, FileProblem> {
        self.0.read_file(rel, max).map_err(|error| match error {
            BeneathError::TooLarge { .. } => FileProblem::TooLarge { max },
            BeneathError::NotRegular { .. } => FileProblem::NotRegular,
            other if other.is_absent() => FileProblem::NotFound,
            other if other.leads_out() => FileProblem::Escapes,
            other => FileProblem::Unreadable(other.to_string()),
        })
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> RunError {
    RunError::Usage {
        sentence: format!("the contract {} cannot be read: {error}", path.display()),
        remedy: "name an existing contract file, a fixture's folder, or `-` for JSON on standard input"
            .into(),
    }
}
