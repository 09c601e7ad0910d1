//! A module: its file, what it must be, and fresh instances of it.

use std::path::{Path, PathBuf};

use wasmtime::component::{Component, Linker};

use super::adapter::ComponentAdapter;
use super::bindings::AdapterPre;
use super::instance::{Bounds, Instance, misfit};
use super::limits::MODULE_BYTES;
use super::machine::{Machine, machine};
use crate::beneath::{BeneathError, Dir};
use crate::engine::adapter::Adapter;
use crate::engine::trouble::{Trouble, TroubleKind};
use crate::vocab::Digest;

/// A module's file as it was registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentFile {
    /// Where it lies.
    pub path: PathBuf,
    /// Digest of its bytes.
    pub digest: Digest,
}

/// A module that is ready to be instantiated: it imports nothing and answers every call of the seam.
#[derive(Clone)]
pub struct Module {
    pre: AdapterPre<Bounds>,
    digest: Digest,
}

impl std::fmt::Debug for Module {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Module").field("digest", &self.digest).finish_non_exhaustive()
    }
}

impl ComponentFile {
    /// Name of a module's file in its folder.
    pub const NAME: &'static str = "adapter.wasm";

    /// That of an engine's folder, digested.
    pub fn of(folder: &Path) -> Result<Self, BeneathError> {
        let bytes = Dir::open_root(folder)?.read_file(Self::NAME, MODULE_BYTES)?;
        Ok(Self { path: folder.join(Self::NAME), digest: Digest::of(&bytes) })
    }

    /// Its bytes, which must be those that were registered.
    fn read(&self) -> Result<Vec<u8>, Trouble> {
        let broken = |why: String| TroubleKind::Load.because(why);
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        let bytes = Dir::open_root(folder).and_then(|dir| dir.read_file(Self::NAME, MODULE_BYTES));
        let bytes = bytes.map_err(|error| broken(error.to_string()))?;
        match Digest::of(&bytes) {
            found if found == self.digest => Ok(bytes),
            found => Err(broken(format!("its file is {found}, and {} was decided on", self.digest))),
        }
    }

    /// The module, compiled for this process.
    pub fn load(&self) -> Result<Module, Trouble> {
        Module::load(&self.read()?)
    }
}

impl Module {
    /// The module that `bytes` are. Refused: what is no component, imports anything, or does not answer the seam.
    pub fn load(bytes: &[u8]) -> Result<Self, Trouble> {
        let machine = machine()?;
        let digest = Digest::of(bytes);
        let component = Component::from_binary(&machine.engine, bytes)
            .map_err(|error| TroubleKind::Load.because(format!("it is no module: {error:#}")))?;
        refuse_imports(machine, &component)?;
        let linker = Linker::<Bounds>::new(&machine.engine);
        let pre = linker.instantiate_pre(&component).and_then(AdapterPre::new);
        let pre = pre.map_err(|error| misfit(&format!("{error:#}")))?;
        // The forms of its calls are held against the page when it is put together.
        Instance::new(machine, &pre)?;
        Ok(Self { pre, digest })
    }

    /// Digest of its bytes.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// A fresh instance that has heard nothing.
    pub fn fresh(&self) -> Result<Instance, Trouble> {
        Instance::new(machine()?, &self.pre)
    }

    /// An adapter that speaks through it.
    #[must_use]
    pub fn adapter(&self) -> Box<dyn Adapter> {
        Box::new(ComponentAdapter::new(self.clone()))
    }
}

/// The linker is empty, so an import could never be satisfied; here it is named.
fn refuse_imports(machine: &Machine, component: &Component) -> Result<(), Trouble> {
    let kind = component.component_type();
    let mut imports = kind.imports(&machine.engine).map(|(name, _)| crate::vocab::shown(name));
    match imports.next() {
        None => Ok(()),
        Some(first) => Err(TroubleKind::Load.because(format!(
            "it imports `{first}`{}, and a module gets nothing",
            match imports.count() {
                0 => String::new(),
                more => format!(" and {more} more"),
            }
        ))),
    }
}
