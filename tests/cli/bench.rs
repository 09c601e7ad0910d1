//! The program as a person or a script calls it: own home, own folder, own streams.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// An installation of its own.
pub struct TestBench {
    /// Everything lies in here.
    pub root: tempfile::TempDir,
}

impl TestBench {
    pub fn new() -> Self {
        Self { root: tempfile::Builder::new().prefix("cto-cli-").tempdir().unwrap() }
    }

    pub fn path(&self) -> &Path {
        self.root.path()
    }

    /// `cto` with these words, in the bench's folder, without a terminal.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cto"));
        command
            .args(words)
            .current_dir(self.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("CTO_HOME", self.path().join("home"))
            .stdin(Stdio::null());
        command
    }

    pub fn call(&self, words: &[&str]) -> Answer {
        Answer::of(&self.command(words).output().unwrap())
    }

    /// One that belongs to an ordinary user; nothing when the tests do not run as root.
    pub fn of_an_ordinary_user() -> Option<Self> {
        let uid = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap());
        (uid == 0).then(|| {
            let other = Self::new();
            std::os::unix::fs::chown(other.path(), Some(NOBODY), Some(NOBODY)).unwrap();
            for name in ["cto", "cto-stub", "cto-player"] {
                let from = Path::new(env!("CARGO_BIN_EXE_cto")).with_file_name(name);
                std::fs::copy(from, other.path().join(name)).unwrap();
            }
            other
        })
    }

    /// Calls the copied program as the ordinary user.
    pub fn call_as_ordinary_user(&self, words: &[&str]) -> Answer {
        let mut command = Command::new(self.path().join("cto"));
        command
            .args(words)
            .current_dir(self.path())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("CTO_HOME", self.path().join("home"))
            .stdin(Stdio::null())
            .uid(NOBODY)
            .gid(NOBODY);
        Answer::of(&command.output().unwrap())
    }

    /// A copy of one of the repository's fixtures, readable to all.
    pub fn fixture(&self, name: &str) -> PathBuf {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name);
        let to = self.path().join(name);
        let copied = Command::new("cp").args(["-R", "--"]).arg(&from).arg(&to).status().unwrap();
        assert!(copied.success());
        to
    }

    /// Writes a file below the bench's folder.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }
}

const NOBODY: u32 = 65534;

/// What a call came to.
pub struct Answer {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Answer {
    pub fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The exit code, with everything that was said where it is another.
    #[track_caller]
    pub fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    /// Every line of standard output, each of which must be JSON.
    #[track_caller]
    pub fn json(&self) -> Vec<Value> {
        self.out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
            .collect()
    }
}
