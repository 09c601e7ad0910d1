//! A permit does not survive the process: nothing reads one back.

use cto_harness::eligibility::ExecutionPermit;

fn main() {
    let _permit: ExecutionPermit = serde_json::from_str("{}").unwrap();
}
