//! Running the contract's commands and concluding what they showed.
//!
//! Two passes, each over one tree: first the commands that must fail on the base, then all of them on the patched tree.
//! Every command gets a sandbox and a tree of its own: what one command writes, be it code of the engine's that a test
//! executes, cannot reach the checks of the next (docs/adr/0009). The status comes from PID 1 over a pipe; nothing that a
//! command or an engine wrote is read as an answer.

use serde_json::json;
use tokio::sync::watch;

use super::log::TestLog;
use super::provisions::{ProvisionProblem, Provisions};
use crate::contract::{Expect, TaskContract, VerificationCommand};
use crate::engine::FinishedEngine;
use crate::event::{Draft, EventKind, EventSink, Redact, SinkError};
use crate::evidence::{CommandOutcome, CommandResult, CommandRow, VerificationSection};
use crate::process::{Payload, PayloadEvent, ProcessTree, Witnessed};
use crate::sandbox::{Bind, Grouping, Sandbox, SandboxError, SandboxPolicy, Stdio};
use crate::vocab::{LimitName, Limits, Timestamp, shown};
use crate::workspace::{RunUid, TreeMount, VerificationTree};

/// Statuses by which a shell says that it could not run the command.
const COULD_NOT_RUN: [&str; 2] = ["exited:126", "exited:127"];

/// A tree that is ready to be verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadyTree {
    /// The tree with an upper layer of its own.
    pub mount: TreeMount,
    /// The contract's verification files, to be laid over it read-only.
    pub files: Vec<Bind>,
}

impl ReadyTree {
    /// A tree that the workspace laid out.
    #[must_use]
    pub fn of(tree: &VerificationTree) -> Self {
        let files = tree.files().iter().map(|file| Bind::new(&file.from, &file.to)).collect();
        Self { mount: tree.mount(), files }
    }
}

/// Everything that verification needs.
pub struct Verification<'a> {
    /// What was asked.
    pub contract: &'a TaskContract,
    /// Toolchains and inputs, described again and compared with the decision; or why they may not be used.
    pub provisions: Result<&'a Provisions, ProvisionProblem>,
    /// Lays out a tree afresh: asked once for every command, so that nothing that one command wrote is there
    /// for the next.
    pub trees: &'a dyn Fn(Tree) -> Result<ReadyTree, String>,
    /// Who the payload is.
    pub uid: RunUid,
    /// The least Landlock ABI that will do.
    pub landlock_floor: u32,
    /// The newest one to use, where the configuration lowers it.
    pub landlock_at_most: Option<u32>,
    /// Where events go.
    pub events: &'a mut dyn EventSink,
    /// What must not be written.
    pub redact: &'a dyn Redact,
    /// Whether its sandboxes learn (docs/adr/0015).
    pub learning: bool,
    /// Becomes true when the run is cancelled.
    pub cancelled: watch::Receiver<bool>,
}

/// What verification showed.
#[derive(Debug)]
pub struct Verified {
    /// For the report.
    pub section: VerificationSection,
    /// `test.log`.
    pub log: Vec<u8>,
    /// Rules of the secrets that were replaced in the log.
    pub redacted: Vec<String>,
    /// Limits of the contract that a command reached (its own timeout is a status, not one of these).
    pub reached: Vec<ReachedLimit>,
    /// Whether it was cut short.
    pub cancelled: bool,
    /// What its commands wanted and used, all together; the whole of it only where it learns.
    pub witnessed: Option<Witnessed>,
}

/// A limit that a command reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReachedLimit {
    /// Which.
    pub name: LimitName,
    /// Its value, in the unit of the name.
    pub value: u64,
    /// When.
    pub at: Timestamp,
    /// The command, made visible.
    pub during: String,
}

/// Runs a contract's commands on what an engine left. That engine is handed in as proof that nothing of it is left that
/// could still write. An error means that an event could not be recorded; whatever else goes wrong is an answer that is no pass.
pub async fn verify(_: &FinishedEngine, verification: Verification<'_>) -> Result<Verified, SinkError> {
    verification.run().await
}

/// Runs a contract's commands again, as `cto verify --replay` does. A run itself hands in its finished engine,
/// as proof that nothing of it is left; here a trusted signature stands for it, so nobody else can call this.
///
/// An error means that an event could not be recorded; whatever else goes wrong is an answer that is no pass.
pub(crate) async fn replay(verification: Verification<'_>) -> Result<Verified, SinkError> {
    verification.run().await
}

/// Which tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tree {
    /// The base alone.
    Base,
    /// Base and patch.
    Result,
}

impl Tree {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Result => "result",
        }
    }
}

struct Progress {
    log: TestLog,
    reached: Vec<ReachedLimit>,
    sandbox_ok: bool,
    cancelled: bool,
    witnessed: Option<Witnessed>,
}

impl Verification<'_> {
    /// Runs everything.
    pub(super) async fn run(mut self) -> Result<Verified, SinkError> {
        let commands = self.contract.verification_commands.clone();
        self.tell(EventKind::VerificationStarted, json!({ "commands": commands.len() }))?;
        let mut progress = Progress {
            log: TestLog::default(),
            reached: Vec::new(),
            sandbox_ok: true,
            cancelled: false,
            witnessed: None,
        };
        let mut on_base = Vec::with_capacity(commands.len());
        for (index, command) in commands.iter().enumerate() {
            on_base.push(match command.expect {
                Expect::Pass => None,
                Expect::FailToPass => Some(self.one(index, command, Tree::Base, &mut progress).await?),
            });
        }
        let mut rows = Vec::with_capacity(commands.len());
        for ((index, command), on_base) in commands.iter().enumerate().zip(on_base) {
            let on_result = self.one(index, command, Tree::Result, &mut progress).await?;
            let outcome = outcome(command.expect, on_base.as_ref(), &on_result);
            let row = row(command, shown_command(command, self.redact), on_base, on_result, outcome);
            self.tell(
                EventKind::CheckFinished,
                json!({ "index": index, "command": row.command, "expect": row.expect, "outcome": row.outcome,
                    "on_base": row.on_base, "on_result": row.on_result }),
            )?;
            rows.push(row);
        }
        let count = |wanted| rows.iter().filter(|row| row.outcome == wanted).count();
        self.tell(
            EventKind::VerificationFinished,
            json!({ "passed": count(CommandOutcome::Passed), "failed": count(CommandOutcome::Failed),
                "errored": count(CommandOutcome::Errored), "sandbox_ok": progress.sandbox_ok }),
        )?;
        let (log, redacted) = progress.log.finish();
        Ok(Verified {
            section: VerificationSection { commands: rows, sandbox_ok: progress.sandbox_ok },
            log,
            redacted,
            reached: progress.reached,
            cancelled: progress.cancelled,
            witnessed: progress.witnessed,
        })
    }

    fn tell(&mut self, kind: EventKind, data: serde_json::Value) -> Result<(), SinkError> {
        self.events.append(Draft::observed(kind, data))
    }

    /// One command on one tree.
    async fn one(
        &mut self,
        index: usize,
        command: &VerificationCommand,
        tree: Tree,
        progress: &mut Progress,
    ) -> Result<CommandResult, SinkError> {
        let text = shown_command(command, self.redact);
        let all = self.contract.verification_commands.len();
        progress.log.header(&format!("{}/{all} on {}: {text}", index + 1, tree.as_str()));
        let result = match self.policy(command, tree) {
            _ if progress.cancelled || *self.cancelled.borrow() => {
                progress.cancelled = true;
                not_started("cancelled")
            }
            Err(why) => not_started(&why),
            Ok(policy) => match start(policy).await {
                Ok(payload) => self.follow(payload, &text, progress).await?,
                Err(error) => {
                    progress.sandbox_ok = false;
                    not_started(&error.to_string())
                }
            },
        };
        progress.log.footer(&format!("{} after {} ms", result.status, result.micros / 1000));
        Ok(result)
    }

    fn policy(&self, command: &VerificationCommand, tree: Tree) -> Result<SandboxPolicy, String> {
        let provisions = self.provisions.as_ref().map_err(ToString::to_string)?;
        let ready = (self.trees)(tree)?;
        let limits = Limits {
            wall_seconds: command.timeout_seconds,
            // Silence is no failure of a check; its timeout is what bounds it.
            idle_seconds: command.timeout_seconds,
            ..self.contract.limits.clone()
        };
        let mut policy =
            SandboxPolicy::for_verification(ready.mount.clone(), command.argv.clone(), self.uid, limits);
        policy.read_only = provisions.read_only(&ready.mount.at);
        policy.files.clone_from(&ready.files);
        policy.env.extend(provisions.env());
        (policy.landlock_floor, policy.landlock_at_most) = (self.landlock_floor, self.landlock_at_most);
        policy.learning = self.learning;
        policy.group = Grouping::for_risk(self.contract.risk_class);
        Ok(policy)
    }

    /// Takes a started command to its end.
    async fn follow(
        &mut self,
        mut payload: Payload,
        text: &str,
        progress: &mut Progress,
    ) -> Result<CommandResult, SinkError> {
        let mut programs = ProcessTree::default();
        let mut limited = None;
        let mut watching = true;
        loop {
            let event = tokio::select! {
                event = payload.next() => event,
                changed = self.cancelled.changed(), if watching => {
                    // A sender that is gone can no longer cancel.
                    watching = changed.is_ok();
                    if *self.cancelled.borrow() && !progress.cancelled {
                        progress.cancelled = true;
                        // Dropping the payload would end it too; this way its end is still seen.
                        if payload.kill().is_err() {
                            return Ok(not_started("cancelled"));
                        }
                    }
                    continue;
                }
            };
            match event {
                PayloadEvent::Line { stream, bytes, truncated } => {
                    progress.log.line(stream, &bytes, truncated, self.redact);
                }
                PayloadEvent::Seen(seen) => {
                    // Of a verification the log keeps the programs; the report's tree is the engine's.
                    if let Some(draft) = programs.take(seen, "verification") {
                        self.events.append(draft)?;
                    }
                }
                PayloadEvent::LimitReached { name, value, at } => {
                    let data = json!({ "name": name, "value": value, "during": text });
                    self.tell(EventKind::LimitReached, data)?;
                    if name != LimitName::WallSeconds {
                        progress.reached.push(ReachedLimit { name, value, at, during: text.to_owned() });
                    }
                    limited.get_or_insert(name);
                }
                PayloadEvent::Exited(exit) => {
                    progress.sandbox_ok &= programs.is_seen_to_its_end();
                    let seen = Witnessed::of(&exit, &programs);
                    Witnessed::join(&mut progress.witnessed, seen);
                    let status = match limited {
                        _ if progress.cancelled => "not-started:cancelled".to_owned(),
                        Some(LimitName::WallSeconds | LimitName::IdleSeconds) => "timeout".to_owned(),
                        Some(name) => format!("limit:{}", name.as_str()),
                        None => shown(&exit.status),
                    };
                    return Ok(CommandResult { status, micros: exit.micros });
                }
            }
        }
    }
}

async fn start(policy: SandboxPolicy) -> Result<Payload, SandboxError> {
    Sandbox::establish(policy).await?.start(Stdio::PipedNoInput)
}

fn not_started(why: &str) -> CommandResult {
    CommandResult { status: format!("not-started:{}", shown(why)), micros: 0 }
}

/// The command as people read it; a shell text without its shell.
#[must_use]
pub fn shown_command(command: &VerificationCommand, redact: &dyn Redact) -> String {
    let text = match command.argv.as_slice() {
        [sh, flag, text] if sh == "/bin/sh" && flag == "-c" => text.clone(),
        argv => argv.join(" "),
    };
    let clean = redact.redact(text.as_bytes()).map(|(clean, _)| String::from_utf8_lossy(&clean).into_owned());
    shown(&clean.unwrap_or(text)).replace('\n', "\\n")
}

fn row(
    command: &VerificationCommand,
    text: String,
    on_base: Option<CommandResult>,
    on_result: CommandResult,
    outcome: CommandOutcome,
) -> CommandRow {
    CommandRow {
        command: text,
        expect: command.expect.as_str().to_owned(),
        on_base,
        on_result: Some(on_result),
        outcome,
    }
}

/// What a command showed (SPEC §3). Pure.
#[must_use]
pub fn outcome(expect: Expect, on_base: Option<&CommandResult>, on_result: &CommandResult) -> CommandOutcome {
    let base_says_no = match (expect, on_base) {
        (Expect::Pass, _) => true,
        (Expect::FailToPass, Some(base)) => {
            base.status.starts_with("exited:")
                && base.status != "exited:0"
                && !COULD_NOT_RUN.contains(&base.status.as_str())
        }
        (Expect::FailToPass, None) => false,
    };
    let result = on_result.status.as_str();
    let ended_by_itself = result.starts_with("exited:") || result.starts_with("signal:");
    match result {
        _ if !base_says_no => CommandOutcome::Errored,
        "exited:0" => CommandOutcome::Passed,
        _ if ended_by_itself && !COULD_NOT_RUN.contains(&result) => CommandOutcome::Failed,
        _ => CommandOutcome::Errored,
    }
}

#[cfg(test)]
#[path = "outcome_tests.rs"]
mod outcome_tests;
