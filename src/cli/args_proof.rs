//! The words behind `cto proof`, and who signs a record.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::examples;

/// Who signs, and with which key.
#[derive(Debug, Args)]
pub(super) struct SignerArgs {
    /// The principal who signs
    #[arg(long = "as", value_name = "NAME")]
    pub(super) principal: String,
    /// The principal's private key (Ed25519, PEM)
    #[arg(long, value_name = "FILE")]
    pub(super) key: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(super) enum ProofVerb {
    /// Open the staged proof of a gated engine: without this record nothing of it is loaded
    #[command(after_help = examples::PROOF_OPEN)]
    Open(ProofOpenArgs),
    /// Take every gate away, one at a time, with an adapter that starts nothing, and seal what came of it
    #[command(after_help = examples::PROOF_RUN)]
    Run(ProofRunArgs),
    /// Let an engine reach the next stage, by evidence of the one before
    #[command(after_help = examples::PROOF_PROMOTE)]
    Promote(ProofPromoteArgs),
    /// Show what an engine has earned, and what holds it
    #[command(after_help = examples::PROOF_SHOW)]
    Show(ProofShowArgs),
    /// Check every record and its evidence, for CI; exit 0 only if each one holds
    #[command(after_help = examples::PROOF_CHECK)]
    Check(ProofCheckArgs),
}

#[derive(Debug, Args)]
pub(super) struct ProofOpenArgs {
    /// The engine
    pub(super) engine: String,
    /// A stage that can be earned, and how many passing bundles of the one before it takes [default: copied-fixture=1
    /// sandbox-repo=3 owned-noncritical-repo=5 candidate-default=10]
    #[arg(long, value_name = "STAGE=BUNDLES")]
    pub(super) stage: Vec<String>,
    /// A principal who may promote [default: everybody with role `approve`]
    #[arg(long, value_name = "NAME")]
    pub(super) promoter: Vec<String>,
    /// When everything earned under it ends, as a date or a moment [default: in 365 days]
    #[arg(long, value_name = "DATE")]
    pub(super) expires: Option<String>,
    #[command(flatten)]
    pub(super) signer: SignerArgs,
    /// Answer as one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ProofRunArgs {
    /// The engine
    pub(super) engine: String,
    /// The stage to prove: `default-deny`
    #[arg(long, value_name = "STAGE")]
    pub(super) stage: String,
    /// Folder for the bundle [default: evidence/runs/<run id>]
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// First line {"launch":…}, last line {"result":…}, nothing else on standard output
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ProofPromoteArgs {
    /// The engine
    pub(super) engine: String,
    /// The stage to reach
    #[arg(long, value_name = "STAGE")]
    pub(super) to: String,
    /// Bundles of passing runs in the stage before, on different fixtures; they are copied beside the records
    #[arg(long, value_name = "BUNDLE", num_args = 1.., required = true)]
    pub(super) evidence: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) signer: SignerArgs,
    /// Answer as one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ProofShowArgs {
    /// The engine
    pub(super) engine: String,
    /// Folder with the records, one folder an engine [default: `proof` of the configuration]
    #[arg(long, value_name = "DIR")]
    pub(super) records: Option<PathBuf>,
    /// One JSON object
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ProofCheckArgs {
    /// The engines [default: every gated one that has records]
    pub(super) engines: Vec<String>,
    /// Folder with the records, one folder an engine [default: `proof` of the configuration]
    #[arg(long, value_name = "DIR")]
    pub(super) records: Option<PathBuf>,
    /// One JSON object an engine
    #[arg(long)]
    pub(super) json: bool,
}
