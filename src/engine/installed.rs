//! The registry of modules: what is installed below `engines/` of the configuration, and how it gets there.
//!
//! A module is tried before it is kept: it must import nothing, answer the whole seam, and plan for a sample task within
//! its bounds. It appears whole or not at all. Being installed grants nothing: an installed engine is gated, whatever its
//! manifest writes, and no gate reads what is written here.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::adapter::{AdapterError, PROGRAM, PlanInput};
use super::catalog::{Catalog, CatalogError, HALF_MADE, MANIFEST, MANIFEST_BYTES};
use super::component::{ComponentFile, MODULE_BYTES, Module};
use super::manifest::{AdapterKind, EngineManifest, ManifestError};
use super::replay::{Transcript, replay};
use super::trouble::Trouble;
use crate::beneath::{BeneathError, Dir, Durability};
use crate::contract::{ContractError, Format, NoFiles, WireSource, parse};
use crate::home::Home;
use crate::sandbox::LISTENER_PORT;
use crate::vocab::{Digest, EngineId, Timestamp};

/// What a module plans for while it is tried.
const SAMPLE: &str = include_str!("../../engines/samples/contract.toml");
/// Where an installed engine says where it is from.
const ORIGIN: &str = "origin.toml";
/// Bytes of that file that are read.
const ORIGIN_BYTES: u64 = 16 * 1024;

/// Why a module was not installed, or not removed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// What was named is not a manifest and a module.
    #[error(
        "a manifest `*.toml` and a module `*.wasm` are needed, or a folder with {MANIFEST} and {}",
        ComponentFile::NAME
    )]
    Named,
    /// A file or folder could not be read or made.
    #[error("`{}`: {source}", path.display())]
    File {
        /// Where.
        path: PathBuf,
        /// Why.
        source: BeneathError,
    },
    /// The manifest is not UTF-8.
    #[error("the manifest is not UTF-8")]
    Text,
    /// The manifest is not one.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// What is registered could not be read.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Another adapter than a module.
    #[error("the engine `{0}` has no adapter of its own: `adapter = \"component\"` is what can be installed")]
    NotAModule(EngineId),
    /// The id is taken.
    #[error("the engine `{0}` is built in, and stays as it is")]
    BuiltIn(EngineId),
    /// It is there.
    #[error("the engine `{0}` is installed already")]
    There(EngineId),
    /// It is not there.
    #[error("no engine `{0}` is installed")]
    Absent(EngineId),
    /// The module failed, or was held.
    #[error(transparent)]
    Module(#[from] Trouble),
    /// The sample task or the record of the origin could not be made.
    #[error("it could not be tried: {0}")]
    Trial(String),
}

impl InstallError {
    /// What to do.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Named | Self::Text => {
                "name the folder that scripts/guests.sh or the maker of the module gives you"
            }
            Self::File { .. } => "see that it is there, a regular file that is not a link, and yours",
            Self::Manifest(_) | Self::NotAModule(_) => {
                "correct its engine.toml; engines/samples/wordy has one"
            }
            Self::Catalog(_) => "correct or remove the folder in the configuration's `engines` folder",
            Self::BuiltIn(_) => {
                "name an installed engine, or install under another id; see `cto engine list`"
            }
            Self::There(_) => "remove it first: `cto engine remove`",
            Self::Absent(_) => "`cto engine list` shows what is installed",
            Self::Module(_) => "ask whoever made the module; engines/adapter.wit says what it has to answer",
            Self::Trial(_) => "this is a mistake of the harness's: report it",
        }
    }
}

/// A module that was read and tried. Nothing is written yet.
#[derive(Debug)]
pub struct Found {
    /// Its manifest, with the module's digest in its own.
    pub manifest: EngineManifest,
    /// Digest of the module.
    pub module: Digest,
    text: String,
    bytes: Vec<u8>,
    from: PathBuf,
}

/// Where an installed engine is from: a note for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// The folder or file that it was installed from.
    pub from: PathBuf,
    /// When.
    pub installed_at: Timestamp,
    /// OS account, `uid:name`.
    pub installed_by: String,
}

/// The installed engines of one configuration.
#[derive(Debug, Clone)]
pub struct InstalledEngines {
    folder: PathBuf,
}

impl InstalledEngines {
    /// Those of `home`; nothing is made before the first one.
    #[must_use]
    pub fn of(home: &Home) -> Self {
        Self { folder: home.engines_dir() }
    }

    /// Reads and tries what `named` holds: a folder, or a manifest and a module.
    pub fn read(&self, named: &[PathBuf]) -> Result<Found, InstallError> {
        let (manifest, module) = pair(named)?;
        let text = String::from_utf8(read(&manifest, MANIFEST_BYTES)?).map_err(|_| InstallError::Text)?;
        let bytes = read(&module, MODULE_BYTES)?;
        let parsed = match EngineManifest::parse("", &text, true) {
            Err(ManifestError::OtherName { id, .. }) => EngineManifest::parse(id.as_str(), &text, true)?,
            other => other?,
        };
        if parsed.adapter != AdapterKind::Component {
            return Err(InstallError::NotAModule(parsed.id));
        }
        self.is_free(&parsed.id)?;
        let digest = Digest::of(&bytes);
        try_out(&Module::load(&bytes)?, &parsed)?;
        let path = self.folder.join(parsed.id.as_str()).join(ComponentFile::NAME);
        let manifest = parsed.with_component(ComponentFile { path, digest });
        let from = named.first().map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone()));
        Ok(Found { manifest, module: digest, text, bytes, from: from.unwrap_or_default() })
    }

    fn is_free(&self, id: &EngineId) -> Result<(), InstallError> {
        if Catalog::load(None)?.get(id).is_some() {
            return Err(InstallError::BuiltIn(id.clone()));
        }
        match Catalog::load(Some(&self.folder))?.get(id) {
            Some(_) => Err(InstallError::There(id.clone())),
            None => Ok(()),
        }
    }

    /// Puts it where it is found from now on, in one step.
    pub fn place(&self, found: &Found, account: &str) -> Result<(), InstallError> {
        let failed = |source| InstallError::File { path: self.folder.clone(), source };
        let origin = Origin {
            from: found.from.clone(),
            installed_at: Timestamp::now(),
            installed_by: account.to_owned(),
        };
        let origin = toml::to_string(&origin).map_err(|error| InstallError::Trial(error.to_string()))?;
        let parent = self.folder.parent().unwrap_or(Path::new("/"));
        let engines = Dir::open_root(parent)
            .and_then(|config| config.create_dir_all(Path::new(Catalog::FOLDER), 0o700))
            .map_err(failed)?;
        let id = OsStr::new(found.manifest.id.as_str());
        let part = format!("{HALF_MADE}{}", found.manifest.id);
        let part = OsStr::new(&part);
        // What a call that was killed left behind.
        engines.remove_tree(part).map_err(failed)?;
        let laid = engines.create_dir(part, 0o700).and_then(|dir| {
            dir.write_new(ComponentFile::NAME, &found.bytes, 0o400, Durability::Synced)?;
            dir.write_new(ORIGIN, origin.as_bytes(), 0o400, Durability::Synced)?;
            dir.write_new(MANIFEST, found.text.as_bytes(), 0o400, Durability::Synced)
        });
        let placed = laid.and_then(|()| engines.publish(part, id)).and_then(|()| engines.sync());
        placed.map_err(|error| {
            engines.remove_tree(part).ok();
            if error.kind() == Some(std::io::ErrorKind::AlreadyExists) {
                InstallError::There(found.manifest.id.clone())
            } else {
                failed(error)
            }
        })
    }

    /// Whether `id` is installed here.
    pub fn holds(&self, id: &EngineId) -> Result<(), InstallError> {
        if Catalog::load(None)?.get(id).is_some() {
            return Err(InstallError::BuiltIn(id.clone()));
        }
        match std::fs::symlink_metadata(self.folder.join(id.as_str())) {
            Ok(found) if found.is_dir() => Ok(()),
            _ => Err(InstallError::Absent(id.clone())),
        }
    }

    /// Removes `id`: from the catalog in one step, and then from the disk. Also one that cannot be read.
    pub fn remove(&self, id: &EngineId) -> Result<(), InstallError> {
        self.holds(id)?;
        let failed = |source| InstallError::File { path: self.folder.clone(), source };
        let engines = Dir::open_root(&self.folder).map_err(failed)?;
        let part = format!("{HALF_MADE}{id}");
        let part = OsStr::new(&part);
        let gone = engines.remove_tree(part).and_then(|()| engines.publish(OsStr::new(id.as_str()), part));
        gone.and_then(|()| engines.sync()).and_then(|()| engines.remove_tree(part)).map_err(failed)
    }

    /// Where `id` is from, if it says so.
    #[must_use]
    pub fn origin(&self, id: &EngineId) -> Option<Origin> {
        let folder = Dir::open_root(&self.folder.join(id.as_str())).ok()?;
        toml::from_str(std::str::from_utf8(&folder.read_file(ORIGIN, ORIGIN_BYTES).ok()?).ok()?).ok()
    }
}

/// The manifest and the module among what was named.
fn pair(named: &[PathBuf]) -> Result<(PathBuf, PathBuf), InstallError> {
    let ends = |end: &str| named.iter().find(|path| path.extension().is_some_and(|found| found == end));
    match (named, ends("toml"), ends("wasm")) {
        ([folder], _, _) if folder.is_dir() => Ok((folder.join(MANIFEST), folder.join(ComponentFile::NAME))),
        ([_, _], Some(manifest), Some(module)) => Ok((manifest.clone(), module.clone())),
        _ => Err(InstallError::Named),
    }
}

fn read(path: &Path, most: u64) -> Result<Vec<u8>, InstallError> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let bytes =
        Dir::open_root(folder).and_then(|dir| dir.read_file(path.file_name().unwrap_or_default(), most));
    bytes.map_err(|source| InstallError::File { path: path.to_owned(), source })
}

/// A plan for the sample task, and the calls of an engine that says nothing. That it cannot plan for it is an answer.
fn try_out(module: &Module, manifest: &EngineManifest) -> Result<(), InstallError> {
    let source = WireSource { name: None, format: Format::Toml, text: SAMPLE.to_owned() };
    let sealed = parse(&source, None, &NoFiles)
        .map_err(|error: ContractError| InstallError::Trial(error.to_string()))?;
    let mut adapter = module.adapter();
    let planned = adapter.plan(&PlanInput {
        contract: sealed.task(),
        script: None,
        model: manifest.default_model.as_deref(),
        program: PROGRAM,
        entry: None,
        listener_port: LISTENER_PORT,
        environment: &BTreeMap::new(),
        earlier: None,
        prepared: &[],
    });
    if let Err(AdapterError::Module(trouble)) = planned {
        return Err(trouble.into());
    }
    match replay(adapter, &Transcript { lines: &[], exit: "exited:0" }).trouble {
        Some(trouble) => Err(trouble.into()),
        None => Ok(()),
    }
}
