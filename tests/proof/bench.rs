//! An installation with an operator, an approver and a runner, and gated engines whose program is the fixture player.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use cto_harness::home::Home;
use cto_harness::vocab::SealingKey;
use serde_json::Value;

/// A gated engine of the tests' own: installed, and spoken to by the adapter of the fixture player.
pub const MINE: &str = "mine";
const MANIFEST: &str = "id = \"mine\"\ndisplay = \"Mine\"\ngated = false\nadapter = \"fixture-player\"\nspends = false\n\n\
                        [program]\ndiscover = \"configured\"\nname = \"player\"\nform = \"native\"\n";

/// What a call came to.
#[derive(Debug)]
pub struct Answer {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Answer {
    fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    pub fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    /// The last line, as JSON.
    #[track_caller]
    pub fn last(&self) -> Value {
        let line = self.out.lines().last().unwrap_or_default();
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {}\n{}", self.out, self.err))
    }

    /// The codes of a run's reasons, sorted.
    #[track_caller]
    pub fn codes(&self) -> Vec<String> {
        let reasons = self.last()["result"]["reasons"].as_array().unwrap().clone();
        for reason in &reasons {
            assert!(reason["sentence"] != "" && reason["remedy"] != "", "{reason}");
        }
        let mut codes: Vec<String> =
            reasons.iter().map(|reason| reason["code"].as_str().unwrap().to_owned()).collect();
        codes.sort();
        codes
    }

    /// The bundle of a run.
    #[track_caller]
    pub fn bundle(&self) -> PathBuf {
        self.last()["result"]["bundle"].as_str().unwrap().into()
    }
}

pub struct Bench {
    root: tempfile::TempDir,
    /// Whose it is, where it is not the tests'.
    user: Option<u32>,
}

const NOBODY: u32 = 65_534;

impl Bench {
    /// With the three principals: `ops` operates, `ann` approves, `me` approves and is the one who runs.
    pub fn new() -> Self {
        Self::of(None)
    }

    /// One that belongs to an ordinary user; nothing when the tests do not run as root.
    pub fn of_an_ordinary_user() -> Option<Self> {
        (std::fs::metadata("/proc/self").unwrap().uid() == 0).then(|| Self::of(Some(NOBODY)))
    }

    fn of(user: Option<u32>) -> Self {
        let root = tempfile::Builder::new().prefix("cto-proof-").tempdir().unwrap();
        let bench = Self { root, user };
        for name in ["cto", "cto-stub", "cto-player"].iter().filter(|_| user.is_some()) {
            let from = Path::new(env!("CARGO_BIN_EXE_cto")).with_file_name(name);
            std::fs::copy(from, bench.path(name)).unwrap();
        }
        let manifest = bench.write("home/config/engines/mine/engine.toml", MANIFEST);
        for folder in manifest.ancestors().skip(1).take(4) {
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)).unwrap();
        }
        let own = user.unwrap_or_else(|| std::fs::metadata("/proc/self").unwrap().uid()).to_string();
        for (name, role, account) in
            [("ops", "operate", None), ("ann", "approve", None), ("me", "approve", Some(own))]
        {
            bench.key(name);
            let public = format!("{name}.pub.pem");
            let mut words = vec!["principal", "add", name, "--key", &public, "--role", role];
            words.extend(account.iter().flat_map(|own| ["--account", own.as_str()]));
            bench.call(&words).ends(0);
        }
        bench.installation();
        bench
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cto"));
        if let Some(user) = self.user {
            self.give(user);
            command = Command::new(self.path("cto"));
            command.uid(user).gid(user);
        }
        command
            .args(words)
            .current_dir(self.root.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("CTO_HOME", self.path("home"))
            .stdin(Stdio::null());
        command
    }

    /// Gives everything to somebody.
    fn give(&self, user: u32) {
        let given =
            Command::new("chown").arg("-hR").arg(format!("{user}:{user}")).arg(self.root.path()).status();
        assert!(given.unwrap().success());
    }

    pub fn call(&self, words: &[&str]) -> Answer {
        Answer::of(&self.command(words).output().unwrap())
    }

    /// With the operator's signature.
    pub fn ops(&self, words: &[&str]) -> Answer {
        self.call(&[words, &["--as", "ops", "--key", "ops.pem"]].concat())
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    pub fn key(&self, name: &str) {
        let (private, public) = (self.path(&format!("{name}.pem")), self.path(&format!("{name}.pub.pem")));
        let key = SealingKey::generate().unwrap();
        std::fs::write(&private, key.to_pem().unwrap().as_bytes()).unwrap();
        std::fs::set_permissions(&private, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(public, key.public().to_pem()).unwrap();
    }

    fn installation(&self) {
        std::fs::create_dir_all(self.path("inst/bin")).unwrap();
        std::fs::copy(env!("CARGO_BIN_EXE_cto-player"), self.path("inst/bin/player")).unwrap();
        self.write("inst/lib/index.ts", "// nothing\n");
        std::os::unix::fs::symlink("../bin/player", self.path("inst/lib/player")).unwrap();
    }

    pub fn record(&self, engine: &str, name: &str) -> PathBuf {
        self.path(&format!("home/config/proof/{engine}/{name}"))
    }

    pub fn open(&self, engine: &str) {
        let words = ["proof", "open", engine, "--stage", "copied-fixture=1", "--stage", "sandbox-repo=3"];
        self.ops(&words).ends(0);
    }

    pub fn admit(&self, engine: &str) {
        let (commit, tree) = ("1".repeat(40), "2".repeat(40));
        self.ops(&[
            "engine",
            "admit",
            engine,
            "--installation",
            "inst",
            "--program",
            "bin/player",
            "--entry",
            "lib/index.ts",
            "--origin",
            "https://example.org/engine.git",
            "--commit",
            &commit,
            "--tree",
            &tree,
            "--runtime",
            "none",
        ])
        .ends(0);
    }

    pub fn license(&self, engine: &str) {
        self.ops(&[
            "engine",
            "license",
            engine,
            "--spdx",
            "Apache-2.0",
            "--widest-mode",
            "candidate-default",
        ])
        .ends(0);
    }

    pub fn enable(&self, engine: &str) {
        self.ops(&["engine", "enable", engine]).ends(0);
    }

    pub fn home(&self) -> Home {
        if self.user.is_some() {
            self.give(0);
        }
        Home::at(&self.path("home")).unwrap()
    }

    /// Lets the adapter show what it makes of logs; nothing of the engine is started.
    pub fn conform(&self, engine: &str) {
        self.call(&["engine", "check", engine, "--json"]).ends(0);
    }

    /// Everything that an operator can put in place before anything ran.
    pub fn in_place(&self, engine: &str) {
        self.open(engine);
        self.admit(engine);
        self.license(engine);
        self.enable(engine);
        self.conform(engine);
    }

    pub fn prove(&self, engine: &str) -> Answer {
        self.call(&["proof", "run", engine, "--stage", "default-deny", "--json"])
    }

    pub fn promote(&self, engine: &str, to: &str, by: &str, bundles: &[PathBuf]) -> Answer {
        let key = format!("{by}.pem");
        let mut words = vec!["proof", "promote", engine, "--to", to, "--as", by, "--key", &key, "--evidence"];
        words.extend(bundles.iter().map(|path| path.to_str().unwrap()));
        self.call(&words)
    }

    /// A fixture in which nothing is asked, whose tree is like no other's, for `engine`; registered.
    pub fn fixture(&self, name: &str, engine: &str) -> String {
        self.stranger(name, engine);
        let repo = format!("{name}/repo");
        self.call(&["repo", "add", &repo, "--ownership", "sandbox", "--owner", "jp"]).ends(0);
        name.to_owned()
    }

    /// The same, and nobody knows whose it is.
    pub fn stranger(&self, name: &str, engine: &str) {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/does-nothing");
        let copied = Command::new("cp").args(["-R", "--"]).arg(&from).arg(self.path(name)).status().unwrap();
        assert!(copied.success());
        self.write(&format!("{name}/repo/NAME"), name);
        let contract = self.path(name).join("contract.toml");
        let text = std::fs::read_to_string(&contract).unwrap();
        std::fs::write(contract, text.replace("engine = \"fixture\"", &format!("engine = \"{engine}\"")))
            .unwrap();
    }

    pub fn run(&self, fixture: &str, engine: &str) -> Answer {
        self.call(&["run", fixture, "--engine", engine, "--json"])
    }

    pub fn stage(&self, engine: &str) -> String {
        self.call(&["proof", "show", engine, "--json"]).ends(0).last()["stage"].as_str().unwrap().to_owned()
    }
}
