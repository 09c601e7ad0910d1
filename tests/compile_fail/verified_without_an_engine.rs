//! Verification without a finished engine is for the harness's own replay only.

use cto_harness::verification::{Verification, replay};

async fn alone(verification: Verification<'_>) {
    let _ = replay(verification).await;
}

fn main() {
    let _ = alone;
}
