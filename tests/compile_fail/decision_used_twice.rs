//! A decision is consumed by the permit that it gives.

use cto_harness::eligibility::Decision;
use cto_harness::vocab::Timestamp;

fn twice(decision: Decision, now: Timestamp) {
    let _first = decision.permit(now);
    let _second = decision.permit(now);
}

fn main() {
    twice as fn(Decision, Timestamp);
}
