//! The whole grammar of the command line on one page. Nothing here acts.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::args_again::{CancelArgs, ResumeArgs};
use super::args_engine::EngineVerb;
use super::args_proof::ProofVerb;
use super::examples;

/// Runs coding agents it does not trust, and proves what they did.
#[derive(Debug, Parser)]
#[command(name = "cto", version, about, after_help = examples::CTO, max_term_width = 110)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Carry out a task contract: decide, run the engine in a sandbox, verify, seal the evidence
    Run(RunArgs),
    /// Ask every gate whether a contract may run; starts nothing
    #[command(after_help = examples::DECIDE)]
    Decide(DecideArgs),
    /// Check evidence bundles: intact, by whom, and what can be derived again
    Verify(VerifyArgs),
    /// Approve a pending request with a principal's key
    Approve(AnswerArgs),
    /// Deny a pending request with a principal's key
    Deny(AnswerArgs),
    /// List the runs of this machine, newest first
    #[command(after_help = examples::RUNS)]
    Runs(ListArgs),
    /// Show one run: verdict, reasons, checks, evidence, patch
    #[command(after_help = examples::SHOW)]
    Show(RunRef),
    /// Show the normalized events of one run
    #[command(after_help = examples::EVENTS)]
    Events(RunRef),
    /// Show the raw engine output and the test log of one run
    #[command(after_help = examples::LOGS)]
    Logs(RunRef),
    /// Show the patch of one run (exact bytes when not on a terminal)
    #[command(after_help = examples::DIFF)]
    Diff(RunRef),
    /// Show caps and what was spent, by run, thread, day and model
    #[command(after_help = examples::SPEND)]
    Spend(SpendArgs),
    /// Run one command in the same sandbox by hand; not evidence
    Sandbox(SandboxArgs),
    /// Register the repositories that may be targets
    #[command(subcommand, after_help = examples::REPO)]
    Repo(RepoVerb),
    /// Keep the file of principals: who may submit, approve, operate
    #[command(subcommand, after_help = examples::PRINCIPAL)]
    Principal(PrincipalVerb),
    /// Show or rotate this machine's sealing key
    #[command(subcommand, after_help = examples::KEY)]
    Key(KeyVerb),
    /// The registered engines
    #[command(subcommand, after_help = examples::ENGINE)]
    Engine(EngineVerb),
    /// What this machine can enforce, with the remedy for what it cannot
    #[command(after_help = examples::DOCTOR)]
    Doctor(DoctorArgs),
    /// Go on with a run whose process died; without RUN, list those that can be gone on with
    #[command(after_help = examples::RESUME)]
    Resume(ResumeArgs),
    /// Ask a running run to stop and wait until it has sealed; give a dead one up
    #[command(after_help = examples::CANCEL)]
    Cancel(CancelArgs),
    /// Staged proof of gated engines: open, run, promote, show, check
    #[command(subcommand, after_help = examples::PROOF)]
    Proof(ProofVerb),
    /// Serve runs to others (not yet)
    #[command(hide = true)]
    Serve(Later),
    /// Work for an orchestrator (not yet)
    #[command(hide = true)]
    Worker(Later),
}

/// A verb of a later version: takes anything, does nothing.
#[derive(Debug, Args)]
pub(super) struct Later {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _rest: Vec<OsString>,
}

#[derive(Debug, Args)]
#[command(after_help = examples::RUN)]
pub(super) struct RunArgs {
    /// A contract (.toml, .json), a fixture's folder, or `-` for JSON from standard input
    pub(super) contract: PathBuf,
    /// The engine to use; gated engines must be named here and in the contract
    #[arg(long, value_name = "ID")]
    pub(super) engine: Option<String>,
    /// Folder for the bundle [default: evidence/runs/<run id>]
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Wait for a missing approval instead of ending `blocked`
    #[arg(long)]
    pub(super) wait: bool,
    /// Put what the run needed into the bundle, as a part of a contract to review; mode `copied-fixture` only, and
    /// nothing is granted for it
    #[arg(long)]
    pub(super) learn: bool,
    /// First line {"launch":…}, last line {"result":…}, nothing else on standard output
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct DecideArgs {
    /// A contract (.toml, .json), a fixture's folder, or `-` for JSON from standard input
    pub(super) contract: PathBuf,
    /// The engine to ask for
    #[arg(long, value_name = "ID")]
    pub(super) engine: Option<String>,
    /// The decision document as one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = examples::VERIFY)]
pub(super) struct VerifyArgs {
    /// Bundle folders, or runs by the beginning of their id
    #[arg(required_unless_present = "print_script", value_name = "BUNDLE")]
    pub(super) bundles: Vec<PathBuf>,
    /// Whose seals and approvals count [default: trust.toml of the configuration]
    #[arg(long, value_name = "FILE")]
    pub(super) trust: Option<PathBuf>,
    /// What it must say: contract=DIGEST, base=COMMIT, result=TREE, verdict=pass|fail|blocked, max-age=SECONDS
    #[arg(long, value_name = "NAME=VALUE", value_delimiter = ',')]
    pub(super) expect: Vec<String>,
    /// A clone of the target repository, to derive the trees again
    #[arg(long, value_name = "DIR")]
    pub(super) repo: Option<PathBuf>,
    /// Run the verification commands again in the full sandbox (after a trusted signature only)
    #[arg(long)]
    pub(super) replay: bool,
    /// Print verify.sh, which checks a bundle with nothing but a shell, coreutils and openssl
    #[arg(long)]
    pub(super) print_script: bool,
    /// One JSON object a bundle
    #[arg(long)]
    pub(super) json: bool,
}

impl VerifyArgs {
    /// Whether the call needs this machine's installation, or only what it names.
    pub(super) fn uses_installation(&self) -> bool {
        let by_name = self.bundles.iter().any(|bundle| !bundle.is_dir());
        !self.print_script && (self.trust.is_none() || self.repo.is_some() || by_name)
    }
}

#[derive(Debug, Args)]
#[command(after_help = examples::ANSWER)]
pub(super) struct AnswerArgs {
    /// The request, as the run printed it
    pub(super) id: String,
    /// The principal who answers; without it, what is asked is only shown
    #[arg(long = "as", value_name = "NAME", requires = "key")]
    pub(super) principal: Option<String>,
    /// The principal's private key (Ed25519, PEM)
    #[arg(long, value_name = "FILE", requires = "principal")]
    pub(super) key: Option<PathBuf>,
    /// Answer as one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// One JSON object a line
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct SpendArgs {
    /// Only what this run spent
    #[arg(long, value_name = "ID", conflicts_with_all = ["thread", "day"])]
    pub(super) run: Option<String>,
    /// Only what this thread spent
    #[arg(long, value_name = "ID", conflicts_with = "day")]
    pub(super) thread: Option<String>,
    /// Only what was reserved on this day (UTC)
    #[arg(long, value_name = "DATE")]
    pub(super) day: Option<String>,
    /// One JSON object a line, amounts in micro-dollars
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct RunRef {
    /// A run by the beginning of its id, a bundle's folder, or `latest`
    #[arg(default_value = "latest")]
    pub(super) run: PathBuf,
    /// The recorded document itself
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = examples::SANDBOX)]
pub(super) struct SandboxArgs {
    /// A copy-on-write view of DIR at the same path; DIR itself stays as it is. As root, and where there is no
    /// overlay, it is a copy, without sockets, pipes and devices
    #[arg(long, value_name = "DIR")]
    pub(super) workspace: Option<PathBuf>,
    /// Write what changed in the workspace as a patch, without what DIR's ignore files ignore
    #[arg(long, value_name = "FILE", requires = "workspace")]
    pub(super) patch: Option<PathBuf>,
    /// A writable folder, at the same path
    #[arg(long, value_name = "DIR")]
    pub(super) rw: Vec<PathBuf>,
    /// A read-only folder, at the same path
    #[arg(long, value_name = "DIR")]
    pub(super) ro: Vec<PathBuf>,
    /// An environment variable
    #[arg(long, value_name = "NAME=VALUE")]
    pub(super) env: Vec<String>,
    /// A limit: its name, `=`, and a number
    #[arg(long, value_name = "NAME=VALUE")]
    pub(super) limit: Vec<String>,
    /// Write what the command needed as a part of a contract to review; grants nothing, and never overwrites
    /// [default file: learned.contract.toml]
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true,
        default_missing_value = "learned.contract.toml")]
    pub(super) learn: Option<PathBuf>,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(super) command: Vec<OsString>,
}

/// Whose repository it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum OwnershipArg {
    /// Made for trying things
    Sandbox,
    /// Somebody's
    Owned,
}

/// How much depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum CriticalityArg {
    /// Nothing that cannot wait
    Noncritical,
    /// People depend on it
    Critical,
}

#[derive(Debug, Subcommand)]
pub(super) enum RepoVerb {
    /// Register a repository, or change its entry
    Add(RepoAddArgs),
    /// List the registered repositories
    #[command(after_help = examples::REPO_LIST)]
    List(ListArgs),
}

#[derive(Debug, Args)]
#[command(after_help = examples::REPO_ADD)]
pub(super) struct RepoAddArgs {
    /// The repository's top
    pub(super) dir: PathBuf,
    /// The URL that stands for it in contracts; nothing is fetched
    #[arg(long)]
    pub(super) url: Option<String>,
    /// Whose repository it is
    #[arg(long, value_enum)]
    pub(super) ownership: OwnershipArg,
    /// Who owns it, by name
    #[arg(long, value_name = "NAME")]
    pub(super) owner: Option<String>,
    /// How much depends on it
    #[arg(long, value_enum)]
    pub(super) criticality: Option<CriticalityArg>,
}

#[derive(Debug, Subcommand)]
pub(super) enum PrincipalVerb {
    /// List the principals
    #[command(after_help = examples::PRINCIPAL_LIST)]
    List(ListArgs),
    /// Add a principal
    Add(PrincipalAddArgs),
    /// Remove a principal
    #[command(after_help = examples::PRINCIPAL_REMOVE)]
    Remove {
        /// Whom
        name: String,
    },
}

#[derive(Debug, Args)]
#[command(after_help = examples::PRINCIPAL_ADD)]
pub(super) struct PrincipalAddArgs {
    /// The principal's name
    pub(super) name: String,
    /// The public key (Ed25519, PEM)
    #[arg(long, value_name = "FILE.pem")]
    pub(super) key: PathBuf,
    /// What the principal may do: submit, approve, operate
    #[arg(long, required = true)]
    pub(super) role: Vec<String>,
    /// An OS account of the principal's, `uid:name`
    #[arg(long)]
    pub(super) account: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum KeyVerb {
    /// The public part, as PEM
    #[command(after_help = examples::KEY_SHOW)]
    Show(ListArgs),
    /// Make a new sealing key; the old public part stays trusted
    #[command(after_help = examples::KEY_ROTATE)]
    Rotate(ListArgs),
}

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Remove what dead runs left and caches that nothing uses
    #[arg(long)]
    pub(super) clean: bool,
    /// One JSON object
    #[arg(long)]
    pub(super) json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_grammar_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_visible_verb_explains_itself() {
        let command = Cli::command();
        for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
            assert!(verb.get_about().is_some(), "{}", verb.get_name());
        }
    }

    #[test]
    fn verbs_are_read() {
        let parse = |words: &[&str]| Cli::try_parse_from(std::iter::once("cto").chain(words.iter().copied()));
        assert!(parse(&["run", "-", "--json", "--wait"]).is_ok());
        assert!(parse(&["verify", "--print-script"]).is_ok());
        assert!(parse(&["verify"]).is_err());
        assert!(parse(&["approve"]).is_err() && parse(&["approve", "apr-1", "--key", "k"]).is_err());
        assert!(parse(&["approve", "apr-1"]).is_ok(), "without a key it only shows");
        assert!(parse(&["sandbox", "--", "/bin/sh", "-c", "exit 3"]).is_ok());
        assert!(parse(&["sandbox", "--patch", "p", "--", "/bin/true"]).is_err());
        assert!(parse(&["proof", "open", "--anything"]).is_err());
        assert!(parse(&["show"]).is_ok());
    }
}
