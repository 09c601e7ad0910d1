//! The work tree: ready, its patch, and its base where no cache has it yet, at two sizes of the repository.
//!
//! Ours are the steps of whole runs, as a run times them itself, with what each writes into the evidence; the peer's
//! are the commands of git that people use for the same. Nothing is removed between two rounds: for minutes after a
//! removal, ext4 looks at each inode that became free before it gives one out (`recently_deleted` in its ialloc.c), and
//! whoever makes files next pays for that, whichever contender it is.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use cto_harness::home::Home;
use cto_harness::run::{ContractInput, Observer, Progress, RunRequest, Step, run};
use cto_harness::vocab::Verdict;

use super::place::{Place, must};
use super::rounds::Times;
use super::rows::{Goal, Measured, Row, contract, millis};

/// A file that every repository of the bench has.
const FILE: &str = "part-00/unit-000/file-00007.txt";
/// An engine that changes one file.
const SCRIPT: &str = r#"
[[step]]
do = "write"
path = "part-00/unit-000/file-00007.txt"
text = "changed\n"
"#;

/// How long each step of a run took.
#[derive(Default)]
struct Steps(BTreeMap<Step, Duration>);

impl Observer for Steps {
    fn progress(&mut self, progress: Progress) {
        if let Progress::Ended { step, micros, .. } = progress {
            self.0.insert(step, Duration::from_micros(micros));
        }
    }
}

/// Ready and patch over a cached base, and the base itself.
pub(crate) fn tree(place: &Place, files: usize, rounds: usize) -> Vec<Row> {
    let repository = place.repository(files);
    let target = repository.display().to_string();
    must(&mut place.cto(&["repo", "add", &target, "--ownership", "sandbox", "--owner", "bench"]));
    // The player is looked for beside the running program, which is this bench.
    let beside = std::env::current_exe().unwrap().with_file_name("cto-player");
    std::fs::copy(place.program("cto-player"), beside).unwrap();
    std::fs::write(place.path("one-file.toml"), SCRIPT).unwrap();
    let path = place.path(&format!("tree-{files}.toml"));
    std::fs::write(&path, format!("{}script = \"one-file.toml\"\n", contract(&target, "sandbox-repo")))
        .unwrap();

    let home = Home::at(&place.path("home")).unwrap();
    let mut taken: [Vec<Duration>; 6] = Default::default();
    for round in 0..=rounds {
        let worktree = place.fresh("worktree");
        std::fs::rename(home.cache().join("bases"), place.fresh("bases-before")).ok();
        let cold = one_file_changed(&home, place, &path);
        let checked_out = checkout(place, &repository);
        let warm = one_file_changed(&home, place, &path);
        let added = timed(git(&repository).args(["worktree", "add", "-q", "--detach"]).arg(&worktree));
        std::fs::write(worktree.join(FILE), "changed\n").unwrap();
        let compared = timed(git(&worktree).args(["diff", "HEAD"]));
        let ours = |steps: &Steps, step| *steps.0.get(&step).unwrap();
        let times = [
            (ours(&warm, Step::Workspace), added),
            (ours(&warm, Step::Patch), compared),
            (ours(&cold, Step::Workspace), checked_out),
        ];
        if round > 0 {
            for (at, (ours, peer)) in times.into_iter().enumerate() {
                taken[2 * at].push(ours);
                taken[2 * at + 1].push(peer);
            }
        }
    }
    let [ready, added, changed, compared, cold, checked_out] = taken;
    let row = |what: &str, goal, ours, name, peer| {
        let peer = Times::of(name, peer);
        let measured = Measured { ours: Times::of("ours", ours), peer: name, peer_millis: millis(&peer) };
        Row { what: format!("{what}, {files} files"), goal, rounds, measured: Ok(measured) }
    };
    vec![
        row("work tree ready, base cached", Goal::Millis(1), ready, "`git worktree add`", added),
        row("patch of a one-file change", Goal::Millis(5), changed, "`git diff HEAD`", compared),
        row("work tree ready, base not cached", Goal::Ratio("1", 1.0), cold, "`git checkout`", checked_out),
    ]
}

/// A run of the script; how long its steps took.
fn one_file_changed(home: &Home, place: &Place, contract: &Path) -> Steps {
    settle();
    let mut steps = Steps::default();
    let request = RunRequest {
        input: ContractInput::Path(contract.to_owned()),
        cwd: place.path(""),
        engine: None,
        out: Some(place.fresh("bundle")),
        wait: false,
        learn: false,
    };
    let outcome = run(home, &request, &mut steps).unwrap();
    assert_eq!(outcome.verdict, Verdict::Pass, "{:?}", outcome.reasons);
    steps
}

/// `git checkout` of everything into an empty folder on the same file system.
fn checkout(place: &Place, repository: &Path) -> Duration {
    let folder = place.fresh("checkout");
    must(Command::new("git").args(["clone", "-q", "--shared", "--no-checkout"]).arg(repository).arg(&folder));
    timed(git(&folder).args(["checkout", "-q", "HEAD", "--", "."]))
}

fn git(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).env("GIT_CONFIG_NOSYSTEM", "1");
    command
}

fn timed(command: &mut Command) -> Duration {
    settle();
    let begin = Instant::now();
    must(command);
    begin.elapsed()
}

/// Nobody pays for his predecessor.
fn settle() {
    must(&mut Command::new("sync"));
}
