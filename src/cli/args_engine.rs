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
    /// (not yet)
    #[command(hide = true)]
    Install(Later),
    /// (not yet)
    #[command(hide = true)]
    Remove(Later),
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
