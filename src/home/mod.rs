//! Where this installation keeps its configuration, state and cache, and what the files in there say.
//!
//! Guarantees: every place is the caller's own and closed to others, or [`Home::open`] refuses; every file is
//! parsed strictly (an unknown field is an error that names file, line and remedy); every write is a new file
//! renamed over the old one, so a reader sees the old text or the new one and never a part.
//! What it does not do: it decides nothing, and it does not know what principals, engines or prices are. The
//! file of principals and the price table are handed out as text, because the types that read them belong to `approval`
//! and `broker`.

mod accounts;
mod config;
mod config_syntax;
mod error;
mod file;
mod key_source;
mod places;
mod registry;
mod sealing;
mod trust;

pub use accounts::Accounts;
pub(crate) use accounts::{is_uid, parts};
pub use config::{Config, EngineConfig, NetworkConfig, SandboxConfig, SpendConfig, ToolchainConfig};
pub use error::HomeError;
pub use file::OwnedText;
pub use key_source::{KeySource, KeySourceError};
pub use places::{Home, SYSTEM_FOLDERS};
pub use registry::{PROTECTED, RegisteredCriticality, RegisteredOwnership, Registry, RepoEntry};
pub use trust::{Trust, TrustedKey};
