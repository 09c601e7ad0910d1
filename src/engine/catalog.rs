//! Which engines are registered: three embedded manifests, and more from a directory.
//!
//! The embedded ones cannot be replaced. An installed manifest that cannot be read is an error, not an absence:
//! a decision must name every registered engine.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::adapter::{Adapter, AdapterError};
use super::component::ComponentFile;
use super::manifest::{AdapterKind, EngineManifest, ManifestError};
use super::{case, codex, fixture};
use crate::beneath::BeneathError;
use crate::eligibility::{ExecutionPermit, ProofFacts};
use crate::vocab::EngineId;

const EMBEDDED: [(&str, &str); 3] = [
    ("case", include_str!("../../engines/case/engine.toml")),
    ("codex", include_str!("../../engines/codex/engine.toml")),
    ("fixture", include_str!("../../engines/fixture/engine.toml")),
];

/// Bytes of an installed manifest that are read; a longer one is refused.
pub(super) const MANIFEST_BYTES: u64 = 64 * 1024;
/// Name of a manifest in its folder.
pub(super) const MANIFEST: &str = "engine.toml";
/// How the name of a folder begins that is being installed or removed, and holds no engine.
pub(super) const HALF_MADE: &str = ".part-";
/// Installed engines; more are refused, since each appears in every decision.
const MOST_INSTALLED: usize = 64;

/// The registered engines, by id.
#[derive(Debug, Clone)]
pub struct Catalog(BTreeMap<EngineId, EngineManifest>);

/// Why the catalog could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// A manifest is not one.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A file or folder could not be read.
    #[error("`{path}` could not be read: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Something there is not a folder with a regular, small `engine.toml`.
    #[error("`{path}` is not an engine: {why}")]
    NotAnEngine {
        /// Which.
        path: PathBuf,
        /// Why.
        why: &'static str,
    },
    /// Its module cannot be read.
    #[error("`{path}` is not an engine: its {name} cannot be read: {source}", name = ComponentFile::NAME)]
    Module {
        /// Which.
        path: PathBuf,
        /// Why.
        source: BeneathError,
    },
    /// An installed engine has the id of an embedded one.
    #[error("`{path}` calls itself `{id}`, which is built in and cannot be replaced; remove the folder")]
    Taken {
        /// Which.
        path: PathBuf,
        /// The id.
        id: EngineId,
    },
}

impl Catalog {
    /// The folder of installed engines, in the configuration.
    pub(super) const FOLDER: &'static str = "engines";

    /// The embedded engines, and those in `installed` (`DIR/<id>/engine.toml`) when that folder exists.
    pub fn load(installed: Option<&Path>) -> Result<Self, CatalogError> {
        let mut engines = BTreeMap::new();
        for (folder, text) in EMBEDDED {
            let manifest = EngineManifest::parse(folder, text, false)?;
            engines.insert(manifest.id.clone(), manifest);
        }
        let mut catalog = Self(engines);
        if let Some(dir) = installed {
            catalog.add_installed(dir)?;
        }
        Ok(catalog)
    }

    fn add_installed(&mut self, dir: &Path) -> Result<(), CatalogError> {
        let read = |path: &Path| {
            let path = path.to_owned();
            move |source| CatalogError::Read { path, source }
        };
        let entries = match std::fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(read(dir)(error)),
        };
        for (count, entry) in entries.enumerate() {
            let path = entry.map_err(read(dir))?.path();
            let refuse = |why| CatalogError::NotAnEngine { path: path.clone(), why };
            if count >= MOST_INSTALLED {
                return Err(refuse("there are too many installed engines (at most 64)"));
            }
            let folder = path
                .file_name()
                .and_then(|name| name.to_str())
                .ok_or_else(|| refuse("its name is not UTF-8"))?;
            if folder.starts_with(HALF_MADE) {
                continue;
            }
            if !std::fs::symlink_metadata(&path).map_err(read(&path))?.is_dir() {
                return Err(refuse("it is not a folder"));
            }
            let file = path.join(MANIFEST);
            let found = std::fs::symlink_metadata(&file).map_err(read(&file))?;
            if !found.is_file() || found.len() > MANIFEST_BYTES {
                return Err(refuse("its engine.toml is not a regular file of at most 64 KiB"));
            }
            let mut text = String::new();
            let opened = std::fs::File::open(&file).map_err(read(&file))?;
            opened.take(MANIFEST_BYTES).read_to_string(&mut text).map_err(read(&file))?;
            let mut manifest = EngineManifest::parse(folder, &text, true)?;
            if manifest.adapter == AdapterKind::Component {
                let file = ComponentFile::of(&path);
                let unread = |source| CatalogError::Module { path: path.clone(), source };
                manifest = manifest.with_component(file.map_err(unread)?);
            }
            if self.0.contains_key(&manifest.id) {
                return Err(CatalogError::Taken { id: manifest.id, path });
            }
            self.0.insert(manifest.id.clone(), manifest);
        }
        Ok(())
    }

    /// One engine.
    #[must_use]
    pub fn get(&self, id: &EngineId) -> Option<&EngineManifest> {
        self.0.get(id)
    }

    /// Every engine, by id.
    pub fn iter(&self) -> impl Iterator<Item = &EngineManifest> {
        self.0.values()
    }
}

impl EngineManifest {
    /// A fresh adapter for this engine, without any permit: for built-in engines alone.
    pub fn load_adapter(&self) -> Result<Box<dyn Adapter>, AdapterError> {
        if self.gated {
            return Err(AdapterError::NoAdapter(self.id.to_string()));
        }
        self.make_adapter()
    }

    /// A fresh adapter for the engine that `permit` is for. Of a gated engine nothing is loaded any other way: the permit
    /// is proof that its gate record, admission, licence, enabling, conformance and stage were there.
    pub fn load_permitted(&self, permit: &ExecutionPermit) -> Result<Box<dyn Adapter>, AdapterError> {
        if *permit.engine() != self.id || permit.starts_nothing() {
            return Err(AdapterError::NotPermitted(self.id.to_string()));
        }
        self.make_adapter()
    }

    /// A fresh adapter to be asked what it makes of logs, which starts nothing. `_opened` is what the records say of the
    /// engine's proof: without one nothing of a gated engine is loaded.
    pub fn load_to_check(&self, _opened: &ProofFacts) -> Result<Box<dyn Adapter>, AdapterError> {
        self.make_adapter()
    }

    fn make_adapter(&self) -> Result<Box<dyn Adapter>, AdapterError> {
        match self.adapter {
            AdapterKind::Component => match &self.component {
                Some(file) => Ok(file.load()?.adapter()),
                None => Err(AdapterError::NoAdapter(self.id.to_string())),
            },
            AdapterKind::FixturePlayer => Ok(Box::new(fixture::FixtureAdapter::new())),
            AdapterKind::CodexAppServer => Ok(Box::new(codex::CodexAdapter::new())),
            // No installed manifest can have this id.
            AdapterKind::CaseFiles if self.id.as_str() == "case" => Ok(Box::new(case::CaseAdapter::new())),
            AdapterKind::CaseFiles | AdapterKind::NoOp | AdapterKind::None => {
                Err(AdapterError::NoAdapter(self.id.to_string()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> EngineId {
        EngineId::parse(text).unwrap()
    }

    #[test]
    fn the_three_embedded_engines_are_there_and_case_is_gated() {
        let catalog = Catalog::load(None).unwrap();
        let ids: Vec<_> = catalog.iter().map(|manifest| manifest.id.to_string()).collect();
        assert_eq!(ids, ["case", "codex", "fixture"]);
        let case = catalog.get(&id("case")).unwrap();
        assert!(case.gated);
        assert!(case.load_adapter().is_err(), "not without a permit");
        assert!(case.make_adapter().is_ok());
        assert!(catalog.get(&id("codex")).unwrap().load_adapter().is_ok());
        assert!(catalog.get(&id("fixture")).unwrap().load_adapter().is_ok());
    }

    #[test]
    fn installed_engines_are_always_gated_and_never_shadow() {
        let dir = tempfile::tempdir().unwrap();
        let text = EMBEDDED[2].1.replace("id = \"fixture\"", "id = \"mine\"");
        std::fs::create_dir(dir.path().join("mine")).unwrap();
        std::fs::write(dir.path().join("mine/engine.toml"), &text).unwrap();
        let catalog = Catalog::load(Some(dir.path())).unwrap();
        let mine = catalog.get(&id("mine")).unwrap();
        assert!(mine.gated, "`gated = false` in an installed manifest must not count");
        assert!(mine.load_adapter().is_err());
        // Nor does one get an embedded engine's adapter by naming it.
        let of_case = EMBEDDED[0].1.replace("id = \"case\"", "id = \"other\"");
        std::fs::create_dir(dir.path().join("other")).unwrap();
        std::fs::write(dir.path().join("other/engine.toml"), &of_case).unwrap();
        let catalog = Catalog::load(Some(dir.path())).unwrap();
        assert!(catalog.get(&id("other")).unwrap().make_adapter().is_err());
        assert!(!mine.spends);
        let models = format!("{text}\n[models]\ndialect = \"messages\"\n");
        assert!(
            EngineManifest::parse("mine", &models, true).unwrap().spends,
            "whoever asks a model can spend"
        );
        let no_op = text.replace("adapter = \"fixture-player\"", "adapter = \"no-op\"");
        assert!(
            EngineManifest::parse("mine", &no_op, true).is_err(),
            "no manifest names what starts nothing"
        );

        std::fs::create_dir(dir.path().join("codex")).unwrap();
        std::fs::write(dir.path().join("codex/engine.toml"), EMBEDDED[1].1).unwrap();
        assert!(matches!(Catalog::load(Some(dir.path())), Err(CatalogError::Taken { .. })));
    }

    #[test]
    fn a_manifest_is_strict_and_its_digest_covers_every_byte() {
        let text = EMBEDDED[2].1;
        assert!(EngineManifest::parse("fixture", &format!("surprise = 1\n{text}"), false).is_err());
        assert!(EngineManifest::parse("other", text, false).is_err());
        let one = EngineManifest::parse("fixture", text, false).unwrap();
        let two = EngineManifest::parse("fixture", &format!("{text}\n"), false).unwrap();
        assert_ne!(one.digest, two.digest);
    }

    #[test]
    fn a_missing_folder_is_fine_and_a_broken_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Catalog::load(Some(&dir.path().join("none"))).is_ok());
        std::fs::write(dir.path().join("stray"), "").unwrap();
        assert!(matches!(Catalog::load(Some(dir.path())), Err(CatalogError::NotAnEngine { .. })));
    }
}
