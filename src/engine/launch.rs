//! From a permit to a finished engine: the only place where an engine is started.
//!
//! ```text
//! ExecutionPermit ─launch→ RunningEngine ─drive→ FinishedEngine
//! ```
//! Launching spends the permit. The workspace goes in, and only a finished engine (whose whole process tree is dead)
//! gives it back, so a patch cannot be taken and nothing can be verified while anything still writes.

use std::time::Duration;

use super::adapter::{Adapter, PROGRAM};
use super::follow::Follower;
use super::leave::Leave;
use super::observed::EngineObservations;
use super::program::StoredProgram;
use crate::broker::{Broker, BrokerError, Notices, Ways};
use crate::eligibility::{ExecutionPermit, SpentPermit};
use crate::event::SinkError;
use crate::evidence::CallSums;
use crate::process::{Payload, ProcessError, ProcessIdentity, ProcessTree};
use crate::sandbox::{Sandbox, SandboxError, SandboxPolicy, Stdio};
use crate::vocab::Digest;
use crate::workspace::Workspace;

/// Why an engine could not be started or followed to its end. Its processes are dead when this is returned.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The stored program is not the one that was decided on.
    #[error("the permit is for the program {permitted}, and {stored} was to be started")]
    OtherProgram {
        /// The permit's.
        permitted: Digest,
        /// The store's.
        stored: Digest,
    },
    /// The permit is for the adapter that starts nothing, or for one that starts something.
    #[error("the permit is {0}")]
    OtherPermit(&'static str),
    /// The sandbox was established for something else.
    #[error("the sandbox does not fit the permit: {0}")]
    OtherSandbox(&'static str),
    /// A way out that the permit does not name.
    #[error("the permit names no way to {0}")]
    OtherWay(String),
    /// The payload could not be started.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The payload could not be controlled.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The broker could not be started.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The event log could not be written.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The raw log could not be written.
    #[error("the engine's raw log could not be written: {0}")]
    Raw(#[source] std::io::Error),
}

/// An engine at work. Dropped, its whole tree is killed.
#[must_use = "an engine that is not driven is killed"]
pub struct RunningEngine {
    pub(super) permit: SpentPermit,
    pub(super) payload: Payload,
    pub(super) workspace: Workspace,
    pub(super) adapter: Box<dyn Adapter>,
    pub(super) broker: Option<(Broker, Notices)>,
    pub(super) leave: Leave,
    pub(super) before: Before,
    pub(super) follower: Option<Follower>,
}

/// What earlier attempts of the run used and showed: it is counted and judged together with this one's.
#[derive(Debug, Clone, Default)]
pub struct Before {
    /// Wall time of their engines.
    pub wall: Duration,
    /// What they wrote to their streams, as it is kept.
    pub output_bytes: u64,
    /// What the kernel executed below them.
    pub processes: ProcessTree,
    /// What their model calls came to.
    pub calls: CallSums,
}

impl RunningEngine {
    /// Counts what earlier attempts had.
    pub fn after(mut self, before: Before) -> Self {
        self.before = before;
        self
    }

    /// Follows the files that it says things in.
    pub fn following(mut self, follower: Option<Follower>) -> Self {
        self.follower = follower;
        self
    }

    /// PID 1 of its sandbox, as the host knows it; `None` once that is dead.
    #[must_use]
    pub fn init(&self) -> Option<ProcessIdentity> {
        self.payload.init()
    }
}

/// An engine that has ended: its tree is dead and was seen to be.
#[derive(Debug)]
pub struct FinishedEngine {
    pub(super) permit: SpentPermit,
    pub(super) workspace: Workspace,
    /// What was seen of it, and what it said.
    pub observed: EngineObservations,
}

/// Starts the engine that the permit is for.
///
/// `program` is the stored program that the sandbox has at [`PROGRAM`]. Where the sandbox handed out a listener, a
/// broker serves it; without `ways` that broker refuses everything, and so records every attempt. `leave` judges what the
/// engine asks for before it acts.
pub fn launch(
    permit: ExecutionPermit,
    mut sandbox: Sandbox,
    workspace: Workspace,
    adapter: Box<dyn Adapter>,
    program: &StoredProgram,
    ways: Ways,
    leave: Leave,
) -> Result<RunningEngine, EngineError> {
    fits(&permit, sandbox.policy(), program)?;
    leads_only_where_permitted(&permit, &ways)?;
    let any = ways.model.is_some() || !ways.egress.is_empty();
    let broker = match sandbox.take_listener() {
        Some(listener) => Some(Broker::serve(listener, ways)?),
        None if any => {
            return Err(EngineError::OtherSandbox("the engine needs a listener and it has none"));
        }
        None => None,
    };
    let payload = sandbox.start(Stdio::Piped)?;
    let before = Before::default();
    let permit = permit.spend();
    Ok(RunningEngine { permit, payload, workspace, adapter, broker, leave, before, follower: None })
}

/// Whether what is about to start is what was decided on.
fn fits(
    permit: &ExecutionPermit,
    policy: &SandboxPolicy,
    program: &StoredProgram,
) -> Result<(), EngineError> {
    if permit.starts_nothing() {
        return Err(EngineError::OtherPermit("for the adapter that starts no process"));
    }
    if permit.program() != program.digest {
        return Err(EngineError::OtherProgram { permitted: permit.program(), stored: program.digest });
    }
    let laid = policy.files.iter().any(|bind| bind.from == program.path && bind.to.as_os_str() == PROGRAM);
    if !laid || policy.argv.first().is_none_or(|first| first != PROGRAM) {
        return Err(EngineError::OtherSandbox("it does not start the stored program"));
    }
    if policy.limits != *permit.limits() {
        return Err(EngineError::OtherSandbox("its limits are not the permitted ones"));
    }
    Ok(())
}

/// Whether every way out is one that was decided on.
fn leads_only_where_permitted(permit: &ExecutionPermit, ways: &Ways) -> Result<(), EngineError> {
    let stray = |to: &&str| !permit.network_allow().iter().any(|named| named == to);
    ways.egress.destinations().find(stray).map_or(Ok(()), |to| Err(EngineError::OtherWay(to.to_owned())))
}

impl FinishedEngine {
    /// The tree as the engine left it.
    #[must_use]
    pub fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// The terms under which it ran.
    #[must_use]
    pub fn permit(&self) -> &SpentPermit {
        &self.permit
    }

    /// Gives the workspace up, to be removed.
    #[must_use]
    pub fn into_workspace(self) -> Workspace {
        self.workspace
    }
}
