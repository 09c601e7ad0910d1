//! Who does the work: which engines are registered, how each is started, and what its output means.
//!
//! One seam for all of them. A manifest says what an engine is; an [`Adapter`] turns the contract into a
//! [`LaunchPlan`] and the engine's lines into normalized events; [`launch`] is the only way to start one, and
//! spends the permit. Adapters get no file, no network and no clock, and nothing they say decides anything: limits,
//! exit status and refused requests are measured by the sandbox, the kernel and the broker.

mod adapter;
pub mod case;
mod catalog;
mod claim;
pub mod codex;
pub mod component;
mod conformance;
mod drive;
mod find;
pub mod fixture;
mod follow;
mod installed;
mod launch;
mod lay_out;
mod leave;
mod manifest;
mod no_op;
mod observed;
mod offered;
mod people;
mod program;
mod raw_log;
mod replay;
#[cfg(test)]
mod replay_tests;
mod stop;
mod trouble;

pub use adapter::{
    Adapter, AdapterError, AdapterOutcome, Claims, CommandClaim, EarlierAttempt, INSTALLATION, KeptFiles,
    LaunchPlan, PROGRAM, PlanInput, PreparedFile, PrivateHome, SealedFile, Step, Stream, WORKSPACE,
    proxy_environment,
};
pub use catalog::{Catalog, CatalogError};
pub use conformance::conformance;
pub use find::find_program;
pub use follow::{FileFault, FileTrouble, Follower, WatchedFile, WatchedFolder};
pub use installed::{Found, InstallError, InstalledEngines, Origin};
pub use launch::{Before, EngineError, FinishedEngine, RunningEngine, launch};
pub use lay_out::{HOME_FOLDER, LayOutError, Provision};
pub use leave::{Leave, Wish};
pub use manifest::{AdapterKind, Discover, EngineManifest, ManifestError};
pub use no_op::{NoOpSeen, exercise_no_op};
pub use observed::{EngineCounts, EngineObservations, LimitHit, Yes};
pub use offered::OfferedLog;
pub use people::{Asked, People, Question, Said};
pub use program::{Installed, ProgramError, ProgramStore, StoredProgram};
pub use raw_log::{RawLog, RawStream};
pub use replay::{Replayed, Transcript, last_words, replay};
pub use stop::StopSignal;
pub use trouble::{Trouble, TroubleKind};
