//! A decision document that was read back is not a decision, so it gives no permit.

use cto_harness::eligibility::DecisionDocument;
use cto_harness::vocab::Timestamp;

fn main() {
    let read: DecisionDocument = serde_json::from_str("{}").unwrap();
    let _permit = read.permit(Timestamp::now());
}
