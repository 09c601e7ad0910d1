//! What an engine is: its manifest, strict TOML, embedded or installed.
//!
//! A manifest grants nothing. An installed one is always gated, whatever it writes; a gated engine starts `unproven`.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::component::ComponentFile;
use crate::broker::Dialect;
use crate::vocab::{Digest, EngineId};

/// A registered engine, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one line of the manifest, and no two exclude each other"
)]
pub struct EngineManifest {
    /// Its id.
    pub id: EngineId,
    /// Name for people.
    pub display: String,
    /// Whether it must prove itself.
    pub gated: bool,
    /// Which adapter speaks to it.
    pub adapter: AdapterKind,
    /// Whether running it can cost money.
    pub spends: bool,
    /// Where its program is found.
    pub program: ProgramRule,
    /// Its model when nobody names one.
    pub default_model: Option<String>,
    /// Whether it needs a model.
    pub has_models: bool,
    /// How it speaks to its model.
    pub dialect: Dialect,
    /// Whether it can be asked for a document of a given form.
    pub documents: bool,
    /// The module that is the adapter, where it is somebody else's.
    pub component: Option<ComponentFile>,
    /// Digest of the manifest's bytes together with the adapter's version and, of a module, every byte of it.
    pub digest: Digest,
}

/// The adapters that are compiled in, and the host of those that are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AdapterKind {
    /// `cto-player` and its JSON lines.
    FixturePlayer,
    /// `codex app-server` over stdio.
    CodexAppServer,
    /// The files, events and words of Case.
    CaseFiles,
    /// The one that plans nothing and starts no process; no manifest can name it.
    #[serde(skip)]
    NoOp,
    /// A WebAssembly component beside the manifest.
    Component,
    /// None: the engine is known and cannot be loaded.
    None,
}

impl AdapterKind {
    /// Changes whenever the adapter's behaviour does; part of the adapter digest, which is a bound fact.
    #[must_use]
    pub const fn version(self) -> &'static str {
        match self {
            Self::FixturePlayer => "fixture-player/1",
            Self::CodexAppServer => "codex-app-server/5",
            Self::CaseFiles => "case-files/1",
            Self::NoOp => "no-op/1",
            Self::Component => "component/1",
            Self::None => "none",
        }
    }

    /// Whether it reads an event log, so that logs of an installation can be held against it.
    #[must_use]
    pub const fn reads_logs(self) -> bool {
        matches!(self, Self::CaseFiles)
    }
}

/// Where an engine's program is found.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProgramRule {
    /// Where to look.
    pub discover: Discover,
    /// Its file name.
    pub name: String,
    /// What it must be.
    pub form: ProgramForm,
    /// The programs that this build's own suite covers.
    #[serde(default)]
    pub covered: Vec<Covered>,
}

/// A program that this build's own suite covers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Covered {
    /// Its version, for people.
    pub version: String,
    /// Its digest.
    pub digest: Digest,
}

/// Where to look for a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Discover {
    /// Beside the running executable.
    Beside,
    /// Only where the configuration says.
    Configured,
    /// Where the configuration says, else in `PATH`.
    ConfiguredOrPath,
}

/// What a program must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProgramForm {
    /// An ELF executable; a script is refused.
    Native,
}

/// Why a manifest is not one.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not this format; the text has line and column.
    #[error("the engine manifest `{name}` cannot be read: {source}")]
    Parse {
        /// Which.
        name: String,
        /// Why.
        source: Box<toml::de::Error>,
    },
    /// The manifest's id is not the name of its folder.
    #[error("the engine manifest in `{folder}` calls itself `{id}`: folder and id must be the same")]
    OtherName {
        /// The folder.
        folder: String,
        /// The id.
        id: EngineId,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    id: EngineId,
    display: String,
    gated: bool,
    adapter: AdapterKind,
    spends: bool,
    #[serde(default)]
    documents: bool,
    program: ProgramRule,
    models: Option<WireModels>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireModels {
    default: Option<String>,
    dialect: Dialect,
}

impl EngineManifest {
    /// The programs that need no check; `None` where the program is built with the harness.
    #[must_use]
    pub fn covered(&self) -> Option<BTreeSet<Digest>> {
        let elsewhere = self.program.discover != Discover::Beside;
        elsewhere.then(|| self.program.covered.iter().map(|one| one.digest).collect())
    }

    /// Reads a manifest. `folder` is the name of the folder it lies in; `installed` ones are always gated.
    pub fn parse(folder: &str, text: &str, installed: bool) -> Result<Self, ManifestError> {
        let wire: Wire = toml::from_str(text)
            .map_err(|source| ManifestError::Parse { name: folder.to_owned(), source: Box::new(source) })?;
        if wire.id.as_str() != folder {
            return Err(ManifestError::OtherName { folder: folder.to_owned(), id: wire.id });
        }
        let digest = Digest::of(&[text.as_bytes(), b"\0", wire.adapter.version().as_bytes()].concat());
        Ok(Self {
            id: wire.id,
            display: wire.display,
            gated: wire.gated || installed,
            adapter: wire.adapter,
            // Whoever asks a model can spend, whatever he writes of himself.
            spends: wire.spends || wire.models.is_some(),
            program: wire.program,
            documents: wire.documents,
            has_models: wire.models.is_some(),
            dialect: wire.models.as_ref().map(|models| models.dialect).unwrap_or_default(),
            default_model: wire.models.and_then(|models| models.default),
            component: None,
            digest,
        })
    }

    /// The same with the module that is its adapter, whose digest becomes part of its own.
    #[must_use]
    pub fn with_component(self, file: ComponentFile) -> Self {
        let digest = Digest::of(format!("{} {}", self.digest, file.digest).as_bytes());
        // A document is read once more by `cto verify`, which has no modules.
        Self { component: Some(file), digest, documents: false, ..self }
    }
}
