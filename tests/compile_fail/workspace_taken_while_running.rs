//! What an engine at work has changed cannot be had: only a finished one shows its work tree.

use cto_harness::engine::RunningEngine;

fn peek(running: &RunningEngine) {
    let _ = running.workspace();
}

fn main() {
    peek as fn(&RunningEngine);
}
