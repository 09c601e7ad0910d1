//! Plants in a plain clone, where it works, and by an engine in a whole `cto run`, where it must not.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use super::planted::{Planted, REPOSITORY, Says};
use super::planted_tree::TREE;
use super::table::Row;
use super::world::OUTSIDE_PATH;
use crate::rig::cto;

/// A contract whose engine runs what `script.toml` says; nothing but its patch decides.
pub(crate) const CONTRACT: &str = r#"contract_version = "1"
task_id = "escape"
title = "t"
instructions = "t"
target_repository = "repo"
authority_basis = { kind = "task-contract", reference = "T-1" }
risk_class = "RESTRICTED"
mutation_mode = "copied-fixture"
allowed_paths = ["**"]
forbidden_actions = []
approval_required = false
verification_commands = [{ run = "true", timeout = 20 }]
evidence_expectations = []
engine = "fixture"
script = "script.toml"
"#;

/// A place for one attack: a target, two repositories of its files as a person has them (`clone`, `applied`), one of
/// somebody else's, a home.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

/// The one that all others are copies of.
static FIRST: OnceLock<Place> = OnceLock::new();

/// Removes it: what is static is never dropped.
pub(crate) fn clean() {
    if let Some(first) = FIRST.get() {
        std::fs::remove_dir_all(first.at("")).ok();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A folder that is closed to its owner could not be removed by him.
        self.bash("chmod -R u+rwX . 2>/dev/null", &self.at(""));
    }
}

/// What came out of a run.
pub(crate) struct Ran {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) bundle: PathBuf,
    pub(crate) report: Value,
}

impl Place {
    pub(crate) fn new() -> Self {
        let first = FIRST.get_or_init(Self::first);
        let place = Self { folder: tempfile::tempdir().unwrap() };
        let copy = format!("cp -a {}/. .", first.at("").display());
        assert!(place.bash(&copy, &place.at("")), "a place cannot be copied");
        place
    }

    /// A new one.
    fn first() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        let setup =
            "mkdir -p task/repo/hooks other home; echo one > task/repo/a; echo x > task/repo/hooks/keep
            touch -d @1000000000 task/repo/a; echo secret > other/secret; cp -a task/repo clone
            for repository in clone other; do
                (cd $repository; git init -q; git add .; git commit -q -m base) || exit
            done
            cp -a clone applied";
        assert!(place.bash(setup, &place.at("")), "a place cannot be made");
        place
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn mark(&self) -> PathBuf {
        self.at("mark")
    }

    /// The text with the places of this one in it.
    fn filled(&self, text: &str) -> String {
        let (mark, other) = (self.mark(), self.at("other"));
        text.replace("@MARK@", mark.to_str().unwrap()).replace("@OTHER@", other.to_str().unwrap())
    }

    /// Runs a text of somebody's who has nothing of his own configured; true if it ended with 0.
    fn bash(&self, text: &str, within: &Path) -> bool {
        let mut command = Command::new("bash");
        command.args(["-c", text]).current_dir(within).env_clear().env("PATH", OUTSIDE_PATH);
        command.env("HOME", self.at("home")).env("GIT_CONFIG_NOSYSTEM", "1").env("LC_ALL", "C.UTF-8");
        command.env("MARK", "").env("GIT_TERMINAL_PROMPT", "0");
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "a").env(format!("GIT_{who}_EMAIL"), "a@example.invalid");
        }
        command.output().unwrap().status.success()
    }

    /// Whether what was planted in `tree` works there.
    fn shows(&self, planted: &Planted, tree: &Path) -> bool {
        std::fs::remove_file(self.mark()).ok();
        self.bash(&self.filled(planted.shows), tree);
        self.mark().exists()
    }

    fn target(&self) -> Vec<u8> {
        let text = "find . -printf '%p %y %m %T@ %s %l\\n' | sort; cat a hooks/keep";
        Command::new("bash").args(["-c", text]).current_dir(self.at("task/repo")).output().unwrap().stdout
    }

    /// A whole run of an engine that does `steps`.
    pub(crate) fn run(&self, steps: &str) -> Result<Ran, String> {
        std::fs::write(self.at("task/contract.toml"), CONTRACT).unwrap();
        std::fs::write(self.at("task/script.toml"), steps).unwrap();
        let said = self.cto(&["run", "task", "--out", "out"]);
        let folder = std::fs::read_dir(self.at("out")).map_err(|_| said.1.clone())?;
        let bundle =
            folder.flatten().map(|entry| entry.path()).find(|path| path.join("report.json").exists());
        let bundle = bundle.ok_or_else(|| said.1.clone())?;
        let report = std::fs::read(bundle.join("report.json")).unwrap();
        let report = serde_json::from_slice(&report).unwrap();
        Ok(Ran { out: said.0, err: said.1, bundle, report })
    }

    /// What `cto` says to standard output and standard error.
    pub(crate) fn cto(&self, args: &[&str]) -> (String, String) {
        let mut command = Command::new(cto());
        command.args(args).current_dir(self.at("")).env_clear().env("PATH", OUTSIDE_PATH);
        let output = command.env("CTO_HOME", self.at("state")).env("HOME", self.at("home")).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&output.stdout), text(&output.stderr))
    }
}

impl Ran {
    pub(crate) fn verdict(&self) -> &str {
        self.report["verdict"].as_str().unwrap_or("none")
    }

    fn changed(&self) -> Vec<String> {
        texts(&self.report["sections"]["patch"]["files"], "path")
    }

    fn findings(&self) -> Vec<String> {
        texts(&self.report["sections"]["findings"], "code")
    }
}

/// The texts at `field` of every row of a section.
pub(crate) fn texts(section: &Value, field: &str) -> Vec<String> {
    let rows = section.as_array().into_iter().flatten();
    rows.filter_map(|row| row[field].as_str()).map(ToOwned::to_owned).collect()
}

/// Every plant, not yet tried.
pub(crate) fn all() -> impl Iterator<Item = Box<dyn Fn() -> Row + Send>> {
    let one = |planted: &'static Planted| Box::new(move || row(planted)) as Box<dyn Fn() -> Row + Send>;
    REPOSITORY.iter().chain(TREE).map(one)
}

fn row(planted: &Planted) -> Row {
    let place = Place::new();
    let mut row = Row::new("git", planted.id, planted.what, "the patch is computed from outside");
    let clone = place.at("clone");
    place.bash(&place.filled(planted.plant), &clone);
    "works".clone_into(&mut row.outside);
    if !place.shows(planted, &clone) {
        "does not work".clone_into(&mut row.outside);
        row.wrong("the control outside does not work".to_owned());
    }
    std::fs::remove_file(place.mark()).ok();
    let before = place.target();
    let told = inside(planted, &place);
    if place.target() != before {
        row.wrong("the target is not what it was".to_owned());
    }
    match told {
        Ok(word) => row.inside = word,
        Err(why) => {
            "NOT HELD".clone_into(&mut row.inside);
            row.wrong(why);
        }
    }
    row
}

/// What the report says, which must be what was expected of it; else why it is no pass.
fn inside(planted: &Planted, place: &Place) -> Result<String, String> {
    let text = format!("echo x > made; {}", place.filled(planted.plant));
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    let ran = place.run(&format!("[[step]]\ndo = \"run\"\nargv = [\"bash\", \"-c\", \"{text}\"]\n"))?;
    if place.mark().exists() {
        return Err("it worked while the run went on".to_owned());
    }
    let (changed, findings) = (ran.changed(), ran.findings());
    let some = &changed[..changed.len().min(9)];
    let all = format!("{} with findings {findings:?} and changes {some:?}", ran.verdict());
    match planted.says {
        Says::Finding(code) if ran.verdict() != "pass" && findings.iter().any(|found| found == code) => {
            Ok(format!("{}: {code}", ran.verdict()))
        }
        Says::Changed(path) if changed.iter().any(|changed| changed == path) => {
            Ok(format!("told as a change of {path}"))
        }
        Says::Nothing if ran.verdict() == "pass" && findings.is_empty() => {
            let applied = place.at("applied");
            let apply = format!("git apply --binary {}/patch.diff", ran.bundle.display());
            if !place.bash(&apply, &applied) {
                return Err("the patch cannot be applied".to_owned());
            }
            if place.shows(planted, &applied) {
                return Err("it works where the patch was applied".to_owned());
            }
            Ok("not in the patch".to_owned())
        }
        _ => Err(format!("the report says {all} and not {:?}", planted.says)),
    }
}
