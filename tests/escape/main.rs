//! The sandbox from the inside: what must not work does not, and real work does.
//!
//! Each escape is first shown to work outside (positive control), then to fail inside. Run as root, everything
//! runs once more as an ordinary user, because the two take different paths into the namespaces.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests say what they expect by failing"
)]

mod attacks;
mod files;
mod kernel;
mod learned;
mod limits;
mod limits_tree;
mod observed;
mod ordinary;
mod processes;
mod rig;
mod work;

#[test]
fn everything_again_as_an_ordinary_user() {
    if !rig::is_root() {
        return;
    }
    // The table has both users by itself.
    let output = ordinary::copy().args(["--test-threads", "2", "--skip", "attacks::"]).output();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "as an ordinary user:\n{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(!text.contains("running 0 tests"), "{text}");
}
