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

mod files;
mod kernel;
mod limits;
mod limits_tree;
mod observed;
mod processes;
mod rig;
mod work;

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// An account that owns nothing on any host.
const ORDINARY: u32 = 64_999;

#[test]
fn everything_again_as_an_ordinary_user() {
    if !rig::is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).unwrap();
    let me = std::env::current_exe().unwrap();
    let program = folder.path().join("escape");
    std::fs::copy(&me, &program).unwrap();
    std::fs::copy(env!("CARGO_BIN_EXE_cto-stub"), folder.path().join("cto-stub")).unwrap();
    let output = Command::new(&program)
        .args(["--test-threads", "2"])
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .current_dir("/")
        .uid(ORDINARY)
        .gid(ORDINARY)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "as an ordinary user:\n{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(!text.contains("running 0 tests"), "{text}");
}
