//! The words behind `cto engine`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::args::{Later, ListArgs};
use super::examples;

#[derive(Debug, Subcommand)]
pub(super) enum EngineVerb {
    /// List the registered engines and what each still lacks
    #[command(after_help = examples::ENGINE_LIST)]
    List(ListArgs),
    /// Let the installed program show that the adapter understands it, and record that
    #[command(after_help = examples::ENGINE_CHECK)]
    Check(CheckArgs),
    /// (not yet)
    #[command(hide = true)]
    Admit(Later),
    /// (not yet)
    #[command(hide = true)]
    License(Later),
    /// (not yet)
    #[command(hide = true)]
    Enable(Later),
    /// (not yet)
    #[command(hide = true)]
    Disable(Later),
    /// Register an engine of somebody else's: its manifest and its adapter, a WebAssembly component
    #[command(after_help = examples::ENGINE_INSTALL)]
    Install(InstallArgs),
    /// Remove an installed engine
    #[command(after_help = examples::ENGINE_REMOVE)]
    Remove(RemoveArgs),
}

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The engine
    pub(super) engine: String,
    /// Folder for the bundle [default: evidence/runs/<run id>]
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// First line {"launch":…}, last line {"result":…}, nothing else on standard output
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct InstallArgs {
    /// A folder with engine.toml and adapter.wasm, or a manifest and a module
    #[arg(required = true, num_args = 1..=2, value_name = "DIR | FILE FILE")]
    pub(super) paths: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct RemoveArgs {
    /// The engine
    pub(super) engine: String,
}
