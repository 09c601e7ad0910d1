//! Verification takes an engine that has ended, not one at work.

use cto_harness::engine::RunningEngine;
use cto_harness::verification::{Verification, verify};

async fn early(running: &RunningEngine, verification: Verification<'_>) {
    let _ = verify(running, verification).await;
}

fn main() {
    let _ = early;
}
