//! A place of its own for one test: configuration, state, cache and a work folder, all gone afterwards.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// The place.
pub(crate) struct TestBench {
    dir: tempfile::TempDir,
}

/// What a finished call said.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    pub(crate) fn of(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The `result` of the last line, for calls with `--json`.
    pub(crate) fn result(&self) -> Value {
        let last =
            self.out.lines().last().unwrap_or_else(|| panic!("nothing on stdout; stderr: {}", self.err));
        serde_json::from_str::<Value>(last).unwrap()["result"].clone()
    }

    /// Fails unless the code is `code` and the message holds every one of `texts`.
    pub(crate) fn expect(&self, code: i32, texts: &[&str]) {
        let all = format!("{}{}", self.out, self.err);
        assert_eq!(self.code, Some(code), "{all}");
        for text in texts {
            assert!(all.contains(text), "`{text}` is not in:\n{all}");
        }
    }
}

impl TestBench {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("work")).unwrap();
        Self { dir }
    }

    /// The folder that calls start in.
    pub(crate) fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    /// The state folder.
    pub(crate) fn state(&self) -> PathBuf {
        self.dir.path().join("home/state")
    }

    /// A call that is not started yet.
    pub(crate) fn call(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cto"));
        command.args(args).current_dir(self.work()).env("CTO_HOME", self.dir.path().join("home"));
        command.env_remove("NO_COLOR").stdin(Stdio::null());
        command
    }

    /// A call, to its end.
    pub(crate) fn cto(&self, args: &[&str]) -> Said {
        Said::of(&self.call(args).output().unwrap())
    }

    /// Writes a file below the work folder and returns its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.work().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Runs stock git in a folder; for making targets only.
    pub(crate) fn git(&self, folder: &Path, args: &[&str]) {
        let output = Command::new("git")
            .args(["-c", "user.name=a", "-c", "user.email=a@b.invalid", "-c", "protocol.file.allow=always"])
            .args(args)
            .current_dir(folder)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("HOME", self.dir.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A repository with one commit.
    pub(crate) fn repository(&self, name: &str) -> PathBuf {
        let path = self.work().join(name);
        std::fs::create_dir_all(path.join("src")).unwrap();
        std::fs::write(path.join("src/a.txt"), "one\n").unwrap();
        self.git(&path, &["init", "-q", "-b", "main"]);
        self.git(&path, &["add", "-A"]);
        self.git(&path, &["commit", "-qm", "base"]);
        path
    }

    /// What is left of dead processes, or belongs to living ones.
    pub(crate) fn leftovers(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(self.state().join("live")) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().path()).collect()
    }
}

/// A fixture of the project.
pub(crate) fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name);
    assert!(path.is_dir(), "{}", path.display());
    path.display().to_string()
}

/// Starts a call and returns it as soon as a line of its standard error begins with `text`.
pub(crate) fn until(mut command: Command, text: &str) -> Child {
    let mut child = command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut answer = child.stdout.take().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut heard = Vec::new();
    for line in lines.by_ref() {
        let line = line.unwrap();
        if line.starts_with(text) {
            // What is said afterwards is read and dropped, so that the call never waits for a reader.
            std::thread::spawn(move || lines.for_each(drop));
            std::thread::spawn(move || std::io::copy(&mut answer, &mut std::io::sink()));
            return child;
        }
        heard.push(line);
    }
    let mut said = String::new();
    answer.read_to_string(&mut said).unwrap();
    child.wait().unwrap();
    panic!("`{text}` was never said; heard: {heard:#?}\n{said}");
}

/// A contract in mode `none` of risk SAFE that does nothing, as lines that a test changes.
pub(crate) fn contract(target: &str) -> String {
    format!(
        r#"contract_version = "1"
task_id = "t"
title = "t"
instructions = "do nothing"
target_repository = "{target}"
authority_basis = {{ kind = "task-contract", reference = "T-1" }}
risk_class = "SAFE"
allowed_paths = []
forbidden_actions = []
mutation_mode = "none"
approval_required = false
verification_commands = []
evidence_expectations = []
engine = "fixture"
"#
    )
}
