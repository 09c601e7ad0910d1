//! A positive decision is not enough to launch: its permit is asked for.

use cto_harness::eligibility::Decision;
use cto_harness::engine::{Adapter, EngineError, RunningEngine, StoredProgram, launch};
use cto_harness::sandbox::Sandbox;
use cto_harness::workspace::Workspace;

fn start(
    decision: Decision,
    sandbox: Sandbox,
    workspace: Workspace,
    adapter: Box<dyn Adapter>,
    program: &StoredProgram,
) -> Result<RunningEngine, EngineError> {
    launch(decision, sandbox, workspace, adapter, program, Default::default(), Default::default())
}

fn main() {
    let _ = start;
}
