//! Launching takes the permit, so one permit launches one engine.

use cto_harness::eligibility::ExecutionPermit;
use cto_harness::engine::{Adapter, EngineError, RunningEngine, StoredProgram, launch};
use cto_harness::sandbox::Sandbox;
use cto_harness::workspace::Workspace;

type Parts = (Sandbox, Workspace, Box<dyn Adapter>);

fn twice(
    permit: ExecutionPermit,
    one: Parts,
    two: Parts,
    program: &StoredProgram,
) -> Result<RunningEngine, EngineError> {
    launch(permit, one.0, one.1, one.2, program, Default::default(), Default::default())?;
    launch(permit, two.0, two.1, two.2, program, Default::default(), Default::default())
}

fn main() {
    let _ = twice;
}
