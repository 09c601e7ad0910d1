//! There is no permit that is there by default.

use cto_harness::eligibility::ExecutionPermit;

fn main() {
    let _permit = ExecutionPermit::default();
}
