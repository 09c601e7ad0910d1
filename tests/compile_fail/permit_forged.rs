//! A permit cannot be put together by hand.

use cto_harness::eligibility::ExecutionPermit;

fn main() {
    let _permit = ExecutionPermit { terms: panic!() };
}
