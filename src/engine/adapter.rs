//! The seam: what an engine is asked for, and what it may answer.
//!
//! An adapter is a state machine over bytes. It performs no I/O and reads no clock, so every one of its answers can
//! be replayed from a recorded transcript. It decides nothing: an event that it emits is a claim, whatever it says.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::follow::{FileTrouble, WatchedFile, WatchedFolder};
use super::leave::Wish;
use super::trouble::Trouble;
use crate::contract::TaskContract;
use crate::event::{Draft, EventKind};
use crate::evidence::EngineOutcome;
use crate::vocab::shown_bytes;

/// The contract's tree, as every engine finds it inside.
pub const WORKSPACE: &str = "/workspace";
/// Where the engine's program lies inside.
pub const PROGRAM: &str = "/engine/program";

/// Where the admitted installation lies inside, for engines that have one; read-only.
pub const INSTALLATION: &str = "/engine/installation";

/// Everything an adapter gets to plan with.
#[derive(Debug, Clone, Copy)]
pub struct PlanInput<'a> {
    /// What was asked.
    pub contract: &'a TaskContract,
    /// The script sealed with the contract (engine `fixture` only).
    pub script: Option<&'a [u8]>,
    /// The model, a bound fact of the decision.
    pub model: Option<&'a str>,
    /// Absolute path of the program inside the sandbox.
    pub program: &'a str,
    /// Absolute path inside of the file that the program is given, where it is a runtime that takes one.
    pub entry: Option<&'a str>,
    /// Port of the listener on 127.0.0.1 inside, for engines that need one.
    pub listener_port: u16,
    /// Environment that the commands of the engine need (toolchains, and [`proxy_environment`] where the contract names
    /// destinations); holds no secret.
    pub environment: &'a BTreeMap<String, String>,
    /// Whether an earlier attempt was cut short, and what it left.
    pub earlier: Option<EarlierAttempt<'a>>,
    /// What the check on record had the program make in a home of nobody's; empty where no record names any.
    pub prepared: &'a [PreparedFile],
}

/// A file that the program itself made in a new home, and that a later home can have from the start (docs/adr/0028).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedFile {
    /// Its name in the home, one component.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What an attempt that was cut short left to the next one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EarlierAttempt<'a> {
    /// The thread to go on with; what the plan keeps of the home is as that attempt left it.
    pub thread: Option<&'a str>,
    /// Whether the work tree is as that attempt left it.
    pub tree: bool,
}

/// What tells programs inside that destinations are reached by CONNECT to the listener on `port` of 127.0.0.1, and
/// everything on 127.0.0.1 itself (the model's endpoint above all) without. Plain HTTP has no way, so nothing says so.
#[must_use]
pub fn proxy_environment(port: u16) -> BTreeMap<String, String> {
    let proxy = format!("http://127.0.0.1:{port}");
    let none = "127.0.0.1,localhost".to_owned();
    [("HTTPS_PROXY", proxy.clone()), ("https_proxy", proxy), ("NO_PROXY", none.clone()), ("no_proxy", none)]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
}

/// How to start an engine: plain data that the harness carries out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LaunchPlan {
    /// What is executed; the first is the program's path inside.
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: BTreeMap<String, String>,
    /// Absolute path inside.
    pub cwd: String,
    /// A writable folder of the run's own, gone afterwards.
    pub home: Option<PrivateHome>,
    /// Single read-only files.
    pub files: Vec<SealedFile>,
    /// Whether the sandbox must hand out a listener for the broker.
    pub needs_listener: bool,
    /// Absolute paths inside at which the program lies as well.
    pub program_also_at: Vec<String>,
    /// Absolute path inside of a folder that holds nothing and takes nothing: what starts there finds nobody's files.
    pub empty_at: Option<String>,
    /// Folders of the home whose files are read while the engine works, line by line.
    pub watched: Vec<WatchedFolder>,
    /// Files that become evidence as they were handed in: name in the bundle and bytes.
    pub given: Vec<(String, Vec<u8>)>,
    /// Files of the home that become evidence as the engine left them.
    pub left: Vec<KeptFiles>,
}

/// A writable folder of the run's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PrivateHome {
    /// Absolute path inside.
    pub at: String,
    /// Folders made in it before the start, relative, parents first.
    pub folders: Vec<String>,
    /// Files laid into it before the start: relative path and bytes.
    pub files: Vec<(String, Vec<u8>)>,
    /// What of it a later attempt of the run needs to go on with the engine's thread. `None`: the engine cannot.
    pub kept: Option<KeptFiles>,
    /// Folders of it that lie at another place inside as well: relative name and absolute path. One in the work tree is
    /// no part of it: the patch does not see it.
    pub also_at: Vec<(String, String)>,
}

/// Files of the home that become evidence once the engine is dead. Those that hold an engine's threads stay for a
/// later attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeptFiles {
    /// A folder in the home; the one that holds threads lies directly in it.
    pub folder: String,
    /// How the names of the files in it begin and end, at whatever depth.
    pub named: (String, String),
    /// Name of their copies in the bundle, up to the number that each gets.
    pub copies: String,
}

/// A read-only file handed in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SealedFile {
    /// Absolute path inside.
    pub at: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Whether it can be executed.
    pub executable: bool,
}

/// Where a line of an engine's comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file in one of the plan's watched folders.
    File(WatchedFile),
}

/// What an adapter asks the harness to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Record this claim. The harness sets source and basis, bounds it, and makes its text visible.
    Event(Draft),
    /// Write these bytes to the engine's standard input.
    Send(Vec<u8>),
    /// The engine asked for leave: it is judged, recorded as `approval.*` by policy, and then answered.
    Ask {
        /// What for.
        wish: Wish,
        /// The answer that gives leave, a whole line.
        granted: Vec<u8>,
        /// The answer that declines and lets the engine go on, a whole line.
        declined: Vec<u8>,
        /// What was asked, in the engine's words.
        asked: Value,
        /// Exactly what leave is asked for, as JSON: the command and its folder, or the changes with their content.
        exactly: String,
    },
    /// The engine is about to do, or says that it does, what no engine may: it is recorded as asked for and as denied by
    /// policy, and nobody is told. What stops it is the missing route and credential.
    Deny {
        /// What it is about, in the engine's words.
        asked: Value,
        /// Exactly what it is about.
        exactly: String,
        /// Why not.
        why: &'static str,
    },
    /// The engine named its thread.
    ThreadId(String),
    /// Close the engine's standard input.
    CloseInput,
    /// The engine's work is over; what remains is to see it end.
    Done,
}

/// How an adapter read the engine's end, and what the engine said. Claims, all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdapterOutcome {
    /// How it ended.
    pub outcome: EngineOutcome,
    /// The engine's own words for a failure, or its last message.
    pub message: Option<String>,
    /// Its last message, whole and as it came: the document, where one was asked for.
    pub last_words: Option<String>,
    /// What it says it did.
    pub claims: Claims,
}

/// What an engine says it did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    /// Commands with the exit codes it says it saw; at most [`Claims::MOST`].
    pub commands: Vec<CommandClaim>,
    /// Paths it says it changed, relative to the work tree where they lie in it; at most [`Claims::MOST`].
    pub files: Vec<String>,
    /// Other things it says are so; at most [`Claims::MOST`].
    pub statements: Vec<String>,
    /// Input tokens.
    pub input_tokens: Option<u64>,
    /// Output tokens.
    pub output_tokens: Option<u64>,
    /// How many claims were left out because there were too many.
    pub left_out: u64,
}

/// A command that the engine says it ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandClaim {
    /// What it says it ran.
    pub command: String,
    /// The exit code that it says it saw.
    pub exit_code: Option<i64>,
}

impl Claims {
    /// Claims of one kind that are kept; an engine cannot grow the harness beyond this.
    pub const MOST: usize = 1_000;

    /// Keeps a command, or counts it as left out.
    pub fn command(&mut self, command: String, exit_code: Option<i64>) {
        if self.commands.len() < Self::MOST {
            self.commands.push(CommandClaim { command, exit_code });
        } else {
            self.left_out = self.left_out.saturating_add(1);
        }
    }

    /// Keeps a changed path once, or counts it as left out.
    pub fn file(&mut self, path: &str) {
        let relative = path.strip_prefix("/workspace/").unwrap_or(path);
        if self.files.iter().any(|known| known == relative) {
            return;
        }
        if self.files.len() < Self::MOST {
            self.files.push(relative.to_owned());
        } else {
            self.left_out = self.left_out.saturating_add(1);
        }
    }

    /// Adds tokens to what is claimed.
    pub fn tokens(&mut self, input: Option<u64>, output: Option<u64>) {
        for (sum, more) in [(&mut self.input_tokens, input), (&mut self.output_tokens, output)] {
            if let Some(more) = more {
                *sum = Some(sum.unwrap_or(0).saturating_add(more));
            }
        }
    }

    /// Keeps a statement, or counts it as left out.
    pub fn statement(&mut self, text: String) {
        if self.statements.len() < Self::MOST {
            self.statements.push(text);
        } else {
            self.left_out = self.left_out.saturating_add(1);
        }
    }
}

/// Why an adapter cannot make a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdapterError {
    /// The engine has no adapter in this version.
    #[error("the engine `{0}` has no adapter in this version")]
    NoAdapter(String),
    /// The permit is for another engine, or for the adapter that starts nothing.
    #[error("the permit is not for the adapter of the engine `{0}`")]
    NotPermitted(String),
    /// The decision carries no model.
    #[error("the engine `{0}` needs a model, and the decision names none")]
    NoModel(String),
    /// A text that would be written into the engine's configuration holds what cannot be written there.
    #[error("`{what}` cannot be written into the engine's configuration: {why}")]
    Unwritable {
        /// Which.
        what: String,
        /// Why.
        why: String,
    },
    /// The engine cannot go on with what an earlier attempt left.
    #[error("the engine `{0}` starts from nothing each time and cannot go on with what was left")]
    NeverResumed(String),
    /// The adapter is a module, and it failed or was held.
    #[error(transparent)]
    Module(Trouble),
}

impl AdapterError {
    /// What is wrong with the module behind the adapter, where it is one and it is that.
    #[must_use]
    pub const fn trouble(&self) -> Option<&Trouble> {
        match self {
            Self::Module(trouble) => Some(trouble),
            _ => None,
        }
    }
}

/// Translates between the harness and one engine. Pure: no file, no network, no clock.
pub trait Adapter: Send {
    /// How to start the engine for this contract.
    fn plan(&mut self, input: &PlanInput<'_>) -> Result<LaunchPlan, AdapterError>;
    /// What is said first, right after the start.
    fn opening(&mut self) -> Vec<Step>;
    /// One line of output without its newline; possibly cut, possibly not UTF-8, possibly hostile.
    fn on_line(&mut self, stream: Stream, line: &[u8]) -> Vec<Step>;
    /// A watched file is not what was followed any more, or cannot be followed. The harness recorded it already.
    fn on_trouble(&mut self, _trouble: &FileTrouble) -> Vec<Step> {
        Vec::new()
    }
    /// The whole tree is dead: `exited:<code>` or `signal:<number>`. What is still open is settled here.
    fn on_exit(&mut self, exit: &str) -> Vec<Step>;
    /// Leave was declined, and this is why: what to tell the engine beside the answer. Nothing, unless there is a way.
    fn declined(&mut self, _why: &str) -> Vec<Step> {
        Vec::new()
    }
    /// The harness wants the engine to stop; what to say to it before the signals.
    fn interrupt(&mut self) -> Vec<Step>;
    /// What came of it. Asked after [`Adapter::on_exit`].
    fn outcome(&self) -> AdapterOutcome;
    /// What went wrong with the adapter itself. Nothing can, unless it is somebody else's module.
    fn trouble(&self) -> Option<Trouble> {
        None
    }
}

/// Bytes of an unknown line that are shown in its event; the raw log has all of it.
const SHOWN_BYTES: usize = 2_000;

/// A line that an adapter does not know, kept as it came (cut for the event, whole in the raw log).
pub(super) fn unrecognized(stream: Stream, line: &[u8]) -> Step {
    let name = match stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
        Stream::File(_) => "file",
    };
    let head = line.get(..SHOWN_BYTES).unwrap_or(line);
    let data = json!({"stream": name, "bytes": line.len(), "line": shown_bytes(head)});
    Step::Event(Draft::claimed(EventKind::RawUnrecognized, data))
}
