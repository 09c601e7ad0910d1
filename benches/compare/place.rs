//! Where a measurement happens: repositories, `CTO_HOME` and bundles in one folder below `target/`, so that every
//! contender works on the same file system; all gone afterwards.

use std::cell::{Cell, OnceCell};
use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// How long the machine rests after a build.
const REST: Duration = Duration::from_secs(15);
/// A uid that may do nothing.
const NOBODY: u32 = 65_534;

const PROGRAMS: [&str; 3] = ["cto", "cto-stub", "cto-player"];

/// The place, with the programs installed in it, as people install them: built by `cargo build --release`, because beside a
/// bench cargo builds them with the features that the tests' dependencies ask for, and copied, because what a linker has
/// just written lies in the page cache in single pages (each of the two costs 0.4 ms a start here).
pub(crate) struct Place {
    dir: tempfile::TempDir,
    calls: Cell<usize>,
    installed: OnceCell<()>,
    /// Whose calls these are; `None`: the caller's own.
    user: Option<u32>,
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir =
            tempfile::Builder::new().prefix("compare-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        Self { dir, calls: Cell::new(0), installed: OnceCell::new(), user: None }
    }

    /// A place with the same programs, whose calls are an ordinary user's. It is where he can reach it; `None` where the
    /// caller is no root, and ordinary himself.
    pub(crate) fn of_an_ordinary_user(&self) -> Option<Self> {
        let dir = tempfile::Builder::new().prefix("compare-").tempdir().unwrap();
        std::os::unix::fs::chown(dir.path(), Some(NOBODY), Some(NOBODY)).ok()?;
        let theirs = Self { dir, calls: Cell::new(0), installed: OnceCell::from(()), user: Some(NOBODY) };
        std::fs::create_dir(theirs.path("bin")).unwrap();
        for program in PROGRAMS {
            std::fs::copy(self.program(program), theirs.path("bin").join(program)).unwrap();
        }
        Some(theirs)
    }

    /// Builds what is measured, for the first row that needs it.
    fn install(&self) {
        std::fs::create_dir(self.path("bin")).unwrap();
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/measured");
        eprintln!("building what is measured …");
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--release", "--locked", "--bins", "--target-dir"]).arg(&target);
        must(build.current_dir(env!("CARGO_MANIFEST_DIR")));
        for program in PROGRAMS {
            std::fs::copy(target.join("release").join(program), self.path("bin").join(program)).unwrap();
        }
        // What a build leaves to be written and freed is nobody's here.
        must(&mut Command::new("sync"));
        std::thread::sleep(REST);
    }

    /// One of the installed programs.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.installed.get_or_init(|| self.install());
        self.path("bin").join(name)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A folder, made if it is not there.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    /// A path where nothing is yet.
    pub(crate) fn fresh(&self, name: &str) -> PathBuf {
        self.calls.set(self.calls.get() + 1);
        self.path(&format!("{name}-{}", self.calls.get()))
    }

    /// A call of `cto`, not started yet.
    pub(crate) fn cto(&self, args: &[&str]) -> Command {
        let mut command = self.call(self.program("cto"));
        command.args(args);
        command
    }

    /// A call of any program.
    pub(crate) fn call(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command.current_dir(self.dir.path()).env("CTO_HOME", self.path("home")).stdin(Stdio::null());
        command
    }

    /// Stock git in `folder`, with the configuration of nobody.
    pub(crate) fn git(&self, folder: &Path, args: &[&str]) {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=a", "-c", "user.email=a@b.invalid", "-c", "gc.auto=0"]).args(args);
        must(command.current_dir(folder).env("GIT_CONFIG_NOSYSTEM", "1").env("HOME", self.dir.path()));
    }

    /// A repository of `files` text files of about one kilobyte, a hundred in a folder, clean at one commit. Made once.
    pub(crate) fn repository(&self, files: usize) -> PathBuf {
        let path = self.path(&format!("repository-{files}"));
        if path.exists() {
            return path;
        }
        for n in 0..files {
            let folder = path.join(format!("part-{:02}/unit-{:03}", n / 5_000, n / 100));
            if n % 100 == 0 {
                std::fs::create_dir_all(&folder).unwrap();
            }
            let text = format!("file {n}: the quick brown fox jumps over the lazy dog\n").repeat(20);
            std::fs::write(folder.join(format!("file-{n:05}.txt")), text).unwrap();
        }
        self.git(&path, &["init", "-q", "-b", "main"]);
        self.git(&path, &["add", "-A"]);
        self.git(&path, &["commit", "-qm", "base"]);
        // As any repository is that was not checked out within this second: a file as young as the index has to be
        // read to know whether it is clean.
        std::thread::sleep(Duration::from_millis(1100));
        self.git(&path, &["update-index", "--force-write-index"]);
        path
    }
}

/// Runs a call to its end; anything but exit 0 ends the measurement.
pub(crate) fn must(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// First line of what a program says about its version; `None` where it is missing.
pub(crate) fn version(program: &str) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).lines().next()?.to_owned())
}
