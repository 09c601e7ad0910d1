//! The words behind `cto engine`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::args::ListArgs;
use super::args_proof::SignerArgs;
use super::examples;

#[derive(Debug, Subcommand)]
pub(super) enum EngineVerb {
    /// List the registered engines and what each still lacks
    #[command(after_help = examples::ENGINE_LIST)]
    List(ListArgs),
    /// Let a program (of a gated engine: its adapter) show that the two fit, and record that
    #[command(after_help = examples::ENGINE_CHECK)]
    Check(CheckArgs),
    /// Admit one installation of a gated engine: origin, commit, and every file of it, signed
    #[command(after_help = examples::ENGINE_ADMIT)]
    Admit(AdmitArgs),
    /// Note under which licence the admitted installation may be used, and how far
    #[command(after_help = examples::ENGINE_LICENSE)]
    License(LicenseArgs),
    /// Let the admitted installation be used
    #[command(after_help = examples::ENGINE_ENABLE)]
    Enable(EnableArgs),
    /// Let it not be used any more
    #[command(after_help = examples::ENGINE_DISABLE)]
    Disable(EnableArgs),
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
    /// An event log that your own installation left: the adapter has to hold against it, too (16 times at most)
    #[arg(long, value_name = "FILE")]
    pub(super) log: Vec<PathBuf>,
    /// Folder for the bundle [default: evidence/runs/<run id>]
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// First line {"launch":…}, last line {"result":…}, nothing else on standard output
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct AdmitArgs {
    /// The engine
    pub(super) engine: String,
    /// The folder with everything that it is made of; nothing outside of it is ever used
    #[arg(long, value_name = "DIR")]
    pub(super) installation: PathBuf,
    /// The native program in it, relative
    #[arg(long, value_name = "PATH")]
    pub(super) program: String,
    /// The file in it that the program is given, relative, where it takes one
    #[arg(long, value_name = "PATH")]
    pub(super) entry: Option<String>,
    /// Where it is from
    #[arg(long, value_name = "URL")]
    pub(super) origin: String,
    /// The commit that was reviewed there
    #[arg(long, value_name = "HEX")]
    pub(super) commit: String,
    /// The tree of that commit
    #[arg(long, value_name = "HEX")]
    pub(super) tree: String,
    /// What it runs on, with the version
    #[arg(long, value_name = "TEXT")]
    pub(super) runtime: String,
    #[command(flatten)]
    pub(super) signer: SignerArgs,
    /// Answer as one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct LicenseArgs {
    /// The engine
    pub(super) engine: String,
    /// Its SPDX licence id [default: NOASSERTION]
    #[arg(long, value_name = "ID", required_unless_present_any = ["decision", "decision_file"])]
    pub(super) spdx: Option<String>,
    /// What an operator decided, where no licence resolves its use; it has to end
    #[arg(long, value_name = "TEXT", conflicts_with = "decision_file")]
    pub(super) decision: Option<String>,
    /// The same, from a file
    #[arg(long, value_name = "FILE")]
    pub(super) decision_file: Option<PathBuf>,
    /// The widest mode in which it may be used
    #[arg(long, value_name = "MODE")]
    pub(super) widest_mode: String,
    /// When the note ends, as a date or a moment
    #[arg(long, value_name = "DATE")]
    pub(super) expires: Option<String>,
    #[command(flatten)]
    pub(super) signer: SignerArgs,
    /// Answer as one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct EnableArgs {
    /// The engine
    pub(super) engine: String,
    #[command(flatten)]
    pub(super) signer: SignerArgs,
    /// Answer as one JSON object
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
