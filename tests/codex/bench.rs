//! A made-up machine for one run: own configuration and state, a small crate with a failing test, a key.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Once;

use serde_json::Value;

use crate::model_server::ModelServer;

/// Copying and digesting 294 MB once is enough for all tests: the store of programs is shared between them, and kept
/// in the build folder; everything else is each one's own.
const PROGRAMS: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/codex-programs");
static FILLED: Once = Once::new();

const CONTRACT: &str = r#"
contract_version = "1"
task_id = "codex-crate"
title = "Make add add"
instructions = "`cargo test` fails: `add` subtracts. Make it add."
target_repository = "repo"
authority_basis = { kind = "task-contract", reference = "codex test" }
risk_class = "RESTRICTED"
mutation_mode = "copied-fixture"
allowed_paths = ["src/**"]
forbidden_actions = ["git.push", "network.egress"]
approval_required = false
verification_commands = [
    { run = ["cargo", "test", "--offline", "--locked"], timeout = 300, expect = "fail-to-pass" },
]
evidence_expectations = [{ verification = "all" }, { patch = "non-empty" }]
engine = "codex"
toolchains = ["rust"]
"#;

const FILES: [(&str, &str); 5] = [
    ("Cargo.toml", "[package]\nname = \"sum\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"),
    ("Cargo.lock", "version = 4\n\n[[package]]\nname = \"sum\"\nversion = \"0.1.0\"\n"),
    (".gitignore", "/target\n"),
    ("src/lib.rs", "pub fn add(left: i64, right: i64) -> i64 {\n    left - right\n}\n"),
    ("tests/add.rs", "#[test]\nfn adds() {\n    assert_eq!(sum::add(2, 3), 5);\n}\n"),
];

/// The endpoint's key, made from parts so that no file of the tests holds it.
pub fn made_up_key() -> String {
    ["sk", "-live", "-Zq8", "Lm2", "Xv7", "Rt4", "Bn9", "Kd3"].concat()
}

/// The pinned program.
pub fn codex() -> PathBuf {
    let link = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/codex/codex");
    std::fs::canonicalize(&link).unwrap_or_else(|error| {
        panic!("{}: {error}; remedy: run scripts/install-codex.sh (scripts/test.sh does)", link.display())
    })
}

pub struct Bench {
    place: tempfile::TempDir,
}

#[derive(Debug)]
pub struct Run {
    pub exit: i32,
    pub result: Value,
    /// For the message of a failed test.
    #[allow(dead_code, reason = "shown by `Debug`")]
    pub stderr: String,
    bundle: PathBuf,
}

impl Bench {
    pub fn new(server: &ModelServer) -> Self {
        let bench = Self { place: tempfile::tempdir().unwrap() };
        std::fs::create_dir_all(bench.at("fixture/repo/src")).unwrap();
        std::fs::create_dir_all(bench.at("fixture/repo/tests")).unwrap();
        std::fs::create_dir_all(bench.at("fixture/elsewhere")).unwrap();
        std::fs::write(bench.at("fixture/contract.toml"), CONTRACT).unwrap();
        for (path, text) in FILES {
            std::fs::write(bench.at("fixture/repo").join(path), text).unwrap();
        }
        bench.configure(&server.url(), &codex());
        bench
    }

    /// Makes the check one that takes no time.
    pub fn check_by(&self, argv: &[&str]) {
        let cargo = r#"["cargo", "test", "--offline", "--locked"]"#;
        let contract = CONTRACT.replace(cargo, &format!("{argv:?}")).replace("toolchains = [\"rust\"]\n", "");
        assert!(!contract.contains("cargo\""));
        std::fs::write(self.at("fixture/contract.toml"), contract).unwrap();
    }

    pub fn at(&self, path: &str) -> PathBuf {
        self.place.path().join(path)
    }

    /// Writes the configuration anew.
    pub fn configure(&self, endpoint: &str, program: &Path) {
        use std::os::unix::fs::PermissionsExt as _;
        for folder in ["home", "home/config", "home/state"] {
            std::fs::create_dir_all(self.at(folder)).unwrap();
            std::fs::set_permissions(self.at(folder), std::fs::Permissions::from_mode(0o700)).unwrap();
        }
        let (key, program) = (self.at("key"), program.display());
        std::fs::write(&key, made_up_key()).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        let text = format!(
            "[engines.codex]\nprogram = \"{program}\"\nendpoint = \"{endpoint}\"\nmodel = \"gpt-5.5\"\n\
             unpriced = true\nkey = {{ file = \"{}\" }}\n",
            key.display()
        );
        std::fs::write(self.at("home/config/config.toml"), text).unwrap();
    }

    /// Puts a price on the model (1 and 10 dollars for a million tokens in and out, 20,000 out at most) and caps the run.
    pub fn price(&self, run_usd: &str) {
        let config = self.at("home/config/config.toml");
        let text =
            std::fs::read_to_string(&config).unwrap().replace("unpriced = true", "provider = \"made-up\"");
        std::fs::write(config, text).unwrap();
        let row = "version = 1\nas_of = \"2026-01-01\"\n[[price]]\nprovider = \"made-up\"\nmodel = \"gpt-5.5\"\ninput = \"1\"\n\
                   cached_input = \"0.1\"\noutput = \"10\"\nmax_output_tokens = 20000\nsource = \"made up\"\n";
        std::fs::write(self.at("home/config/prices.toml"), row).unwrap();
        let spend =
            format!("limits = {{ spend = {{ run_usd = \"{run_usd}\", thread_usd = \"{run_usd}\" }} }}\n");
        std::fs::write(self.at("fixture/contract.toml"), format!("{CONTRACT}{spend}")).unwrap();
    }

    /// What `cto spend --json` says of all runs.
    pub fn spent(&self) -> Vec<Value> {
        let output = self.command(&["spend", "--json"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Adds lines to the contract.
    pub fn ask(&self, lines: &str) {
        std::fs::write(self.at("fixture/contract.toml"), format!("{CONTRACT}{lines}\n")).unwrap();
    }

    /// Lets the contract name `to`, on loopback, and the operator allow it.
    pub fn allow(&self, to: &str) {
        let contract = CONTRACT.replace(", \"network.egress\"]", "]");
        let contract = format!("{contract}network = {{ allow = [\"{to}\"] }}\n");
        std::fs::write(self.at("fixture/contract.toml"), contract).unwrap();
        let config = self.at("home/config/config.toml");
        let text = std::fs::read_to_string(&config).unwrap();
        let network = format!("[network]\nallow = [\"{to}\"]\naddresses = [\"127.0.0.1\"]\n");
        std::fs::write(config, text + &network).unwrap();
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cto"));
        command.args(arguments).current_dir(self.place.path()).env("CTO_HOME", self.at("home"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn start(&self, more: &[&str]) -> Child {
        self.share_the_store();
        let out = self.at("out");
        let arguments = [&["run", "fixture", "--json", "--out", out.to_str().unwrap()], more].concat();
        self.command(&arguments).spawn().unwrap()
    }

    pub fn end(child: Child) -> Run {
        let output = child.wait_with_output().unwrap();
        let (stdout, stderr) =
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
        let lines: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let result = lines.last().map_or(Value::Null, |line| line["result"].clone());
        let bundle = PathBuf::from(result["bundle"].as_str().unwrap_or(""));
        Run { exit: output.status.code().unwrap_or(-1), result, stderr: stderr.into_owned(), bundle }
    }

    /// `cto run` to its end.
    pub fn run(&self, more: &[&str]) -> Run {
        Self::end(self.start(more))
    }

    /// `cto run` until `ready`, then a signal.
    pub fn run_until(&self, ready: impl Fn() -> bool, signal: &str) -> Run {
        let mut child = self.start(&[]);
        while !ready() && child.try_wait().unwrap().is_none() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().unwrap();
        Self::end(child)
    }

    /// `cto verify` of a run's bundle, with this machine's trust.
    pub fn verify(&self, run: &Run) -> i32 {
        self.command(&["verify", run.bundle.to_str().unwrap()]).output().unwrap().status.code().unwrap()
    }

    /// Takes a fixture of the repository in place of the crate, for this engine.
    pub fn takes(&self, fixture: &str) {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(fixture);
        std::fs::remove_dir_all(self.at("fixture/repo")).unwrap();
        let copied =
            Command::new("cp").arg("-r").arg(from.join("repo")).arg(self.at("fixture/repo")).status();
        assert!(copied.unwrap().success());
        let contract = std::fs::read_to_string(from.join("contract.toml")).unwrap();
        let contract = contract.replace("\"fixture\"\nscript = \"script.toml\"\n", "\"codex\"\n");
        std::fs::write(self.at("fixture/contract.toml"), contract).unwrap();
    }

    /// `cto` with these words to its end: exit code, standard output, standard error.
    pub fn call(&self, arguments: &[&str]) -> (i32, String, String) {
        self.share_the_store();
        let output = self.command(arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    }

    /// `cto engine check codex` to its end.
    pub fn check(&self) -> Run {
        self.share_the_store();
        let out = self.at("checks");
        let words = ["engine", "check", "codex", "--json", "--out", out.to_str().unwrap()];
        Self::end(self.command(&words).spawn().unwrap())
    }

    /// A path below the bench.
    pub fn path(&self, path: &str) -> PathBuf {
        self.at(path)
    }

    /// The first bench admits the program for all of them.
    pub fn share_the_store(&self) {
        let store = self.at("home/state/programs");
        if !store.exists() {
            std::fs::create_dir_all(PROGRAMS).unwrap();
            std::os::unix::fs::symlink(PROGRAMS, &store).unwrap();
        }
        FILLED.call_once(|| drop(self.command(&["decide", "fixture"]).output().unwrap()));
    }

    /// Every file below the bench, but the key's own, that holds `text`.
    pub fn places_with(&self, text: &str) -> Vec<String> {
        let found = Command::new("grep")
            .args(["-rlaF", "--exclude-dir=programs", text, "."])
            .current_dir(self.place.path())
            .output()
            .unwrap();
        let names = String::from_utf8(found.stdout).unwrap();
        names.lines().filter(|name| *name != "./key").map(str::to_owned).collect()
    }
}

impl Run {
    pub fn file(&self, name: &str) -> String {
        let path = self.bundle.join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}; {self:?}", path.display()))
    }

    pub fn report(&self) -> Value {
        serde_json::from_str(&self.file("report.json")).unwrap()
    }

    pub fn events(&self) -> Vec<Value> {
        let text = self.file("events.normalized.jsonl");
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}
