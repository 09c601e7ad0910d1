//! Only the launch of an engine turns a permit into a spent one.

use cto_harness::eligibility::{ExecutionPermit, SpentPermit};

fn spend(permit: ExecutionPermit) -> SpentPermit {
    permit.spend()
}

fn main() {
    let _ = spend;
}
