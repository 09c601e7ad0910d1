//! One decision gives one permit, and a permit cannot be doubled.

use cto_harness::eligibility::ExecutionPermit;

fn double(permit: ExecutionPermit) -> (ExecutionPermit, ExecutionPermit) {
    (permit.clone(), permit)
}

fn main() {
    let _ = double;
}
