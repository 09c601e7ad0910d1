//! This program once more, as a user who owns nothing.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output};

/// An account that owns nothing on any host.
const ORDINARY: u32 = 64_999;

/// A copy of this program, where that user can reach it, not yet started.
pub(crate) struct Copy {
    command: Command,
    _folder: tempfile::TempDir,
}

pub(crate) fn copy() -> Copy {
    let folder = tempfile::tempdir().unwrap();
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).unwrap();
    let program = folder.path().join("escape");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    for (from, to) in [
        (env!("CARGO_BIN_EXE_cto"), "cto"),
        (env!("CARGO_BIN_EXE_cto-stub"), "cto-stub"),
        (env!("CARGO_BIN_EXE_cto-player"), "cto-player"),
    ] {
        std::fs::copy(from, folder.path().join(to)).unwrap();
    }
    let mut command = Command::new(&program);
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").current_dir("/");
    command.uid(ORDINARY).gid(ORDINARY);
    Copy { command, _folder: folder }
}

impl Copy {
    pub(crate) fn args<const N: usize>(&mut self, args: [&str; N]) -> &mut Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(&mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> &mut Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn output(&mut self) -> Output {
        self.command.output().unwrap()
    }
}
