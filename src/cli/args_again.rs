//! A part of the grammar: the verbs for runs of other processes.

use clap::Args;

#[derive(Debug, Args)]
pub(super) struct ResumeArgs {
    /// A run by the beginning of its id
    pub(super) run: Option<String>,
    /// All of them, one after the other
    #[arg(long, conflicts_with = "run")]
    pub(super) all: bool,
    /// As `cto run --json`; for a list, one JSON object a line
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct CancelArgs {
    /// A run by the beginning of its id
    pub(super) run: String,
    /// One JSON object
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct PublishArgs {
    /// A run by the beginning of its id
    pub(super) run: String,
    /// One JSON object
    #[arg(long)]
    pub(super) json: bool,
}
