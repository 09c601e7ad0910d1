//! Whoever launches takes the permit, so there is nothing left to launch with again.

use cto_harness::eligibility::ExecutionPermit;

fn launch(_permit: ExecutionPermit) {}

fn twice(permit: ExecutionPermit) {
    launch(permit);
    launch(permit);
}

fn main() {
    twice as fn(ExecutionPermit);
}
