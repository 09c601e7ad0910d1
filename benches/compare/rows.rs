//! What is compared with what. Each function makes what it needs, lets the contenders take turns and answers rows.

use std::path::Path;
use std::process::Command;

use super::bundle;
use super::place::{Place, must, version};
use super::rounds::{Contender, Times, take_turns};

/// Remedy for the one tool that is not everywhere.
pub(crate) const NO_BWRAP: &str = "not measured: `bwrap` is missing (Debian: `apt-get install bubblewrap`)";

/// The script that people write instead. `$1` is the repository, `$2` the work tree.
const SCRIPT: &str = "\
set -eu
git -C \"$1\" worktree add -q --detach \"$2\"
bwrap --ro-bind / / --dev /dev --proc /proc --bind \"$2\" \"$2\" \
 --unshare-all --die-with-parent --new-session /bin/true
git -C \"$2\" diff HEAD
git -C \"$1\" worktree remove --force \"$2\"
";

/// One line of the table.
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) goal: Goal,
    pub(crate) rounds: usize,
    pub(crate) measured: Result<Measured, &'static str>,
}

/// The most that is wanted.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    /// Of the peer's time, as people write it and as a number.
    Ratio(&'static str, f64),
    /// Milliseconds, whatever the peer takes.
    Millis(u32),
    /// Microseconds, likewise.
    Micros(u32),
}

/// Ours and the peer's.
pub(crate) struct Measured {
    pub(crate) ours: Times,
    pub(crate) peer: &'static str,
    pub(crate) peer_millis: (f64, f64, f64),
}

impl Measured {
    pub(crate) fn ratio(&self) -> f64 {
        self.ours.median().as_secs_f64() * 1_000.0 / self.peer_millis.0
    }
}

/// Median, shortest and longest, milliseconds.
pub(crate) fn millis(times: &Times) -> (f64, f64, f64) {
    let of = |duration: std::time::Duration| duration.as_secs_f64() * 1_000.0;
    (of(times.median()), of(times.shortest()), of(times.longest()))
}

/// The last of `times` is the peer of all before it.
fn rows(times: Vec<Times>, rounds: usize, what: Vec<(String, Goal)>) -> Vec<Row> {
    let mut times = times;
    let peer = times.pop().unwrap();
    let row = |(ours, (what, goal)): (Times, (String, Goal))| {
        let measured = Measured { ours, peer: peer.name, peer_millis: millis(&peer) };
        Row { what, goal, rounds, measured: Ok(measured) }
    };
    times.into_iter().zip(what).map(row).collect()
}

fn missing(rounds: usize, what: Vec<(String, Goal)>) -> Vec<Row> {
    let row = |(what, goal)| Row { what, goal, rounds, measured: Err(NO_BWRAP) };
    what.into_iter().map(row).collect()
}

/// A whole run that changes nothing, with and without the clean check, beside the script.
pub(crate) fn run(place: &Place, files: usize, rounds: usize) -> Vec<Row> {
    let (none, checked) = if files >= 50_000 {
        (Goal::Ratio("1/50", 0.02), Goal::Ratio("1/10", 0.1))
    } else {
        (Goal::Ratio("1/3", 1.0 / 3.0), Goal::Ratio("1/3", 1.0 / 3.0))
    };
    let what = vec![
        (format!("`cto run`, {files} files, mode `none` (no clean check)"), none),
        (format!("`cto run`, {files} files, mode `sandbox-repo` (clean check)"), checked),
    ];
    if version("bwrap").is_none() {
        return missing(rounds, what);
    }
    let repository = place.repository(files);
    let target = repository.display().to_string();
    must(&mut place.cto(&["repo", "add", &target, "--ownership", "sandbox", "--owner", "bench"]));
    let script = place.path("script.sh");
    std::fs::write(&script, SCRIPT).unwrap();
    let modes = ["none", "sandbox-repo"];
    let contracts = modes.map(|mode| {
        let path = place.path(&format!("{mode}-{files}.toml"));
        std::fs::write(&path, contract(&target, mode)).unwrap();
        path.display().to_string()
    });
    let ours = |name, contract: &str| {
        let contract = contract.to_owned();
        Contender::new(name, move || no_op(place, &contract))
    };
    let times = take_turns(
        rounds,
        vec![
            ours("mode none", &contracts[0]),
            ours("mode sandbox-repo", &contracts[1]),
            Contender::new("the script", || by_hand(place, &script, &repository)),
        ],
    );
    rows(times, rounds, what)
}

fn no_op(place: &Place, contract: &str) {
    let out = place.fresh("bundle").display().to_string();
    let output = must(&mut place.cto(&["run", contract, "--out", &out, "--json"]));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains(r#""verdict":"pass""#), "the run did not pass: {said}");
}

fn by_hand(place: &Place, script: &Path, repository: &Path) {
    let mut command = Command::new("sh");
    command.arg(script).arg(repository).arg(place.fresh("tree"));
    assert!(must(&mut command).stdout.is_empty(), "the script's diff is not empty");
}

/// A task that asks for nothing. Other fields may follow it.
pub(crate) fn contract(target: &str, mode: &str) -> String {
    let (risk, paths, clean_start) =
        if mode == "none" { ("SAFE", "[]", false) } else { ("RESTRICTED", r#"["**"]"#, true) };
    format!(
        r#"contract_version = "1"
task_id = "bench"
title = "bench"
instructions = "do nothing"
target_repository = "{target}"
authority_basis = {{ kind = "task-contract", reference = "T-1" }}
risk_class = "{risk}"
allowed_paths = {paths}
forbidden_actions = []
mutation_mode = "{mode}"
clean_start = {clean_start}
approval_required = false
verification_commands = []
evidence_expectations = []
engine = "fixture"
"#
    )
}

/// The sandbox alone, beside bubblewrap asked for the same view: the same identity, the same parts of `/etc`, the same
/// entries of `/proc` covered, no nested user namespaces. (bubblewrap has no Landlock, filters system calls only where
/// somebody hands it a compiled filter, and reads nothing back; none of that is asked of it.)
pub(crate) fn sandbox(place: &Place) -> Vec<Row> {
    let mut rows = sandbox_beside_bwrap(place, "`cto sandbox -- /bin/true`");
    if real_time(true) {
        rows.extend(sandbox_beside_bwrap(place, "the same, both with real-time priority"));
        assert!(real_time(false), "the ordinary priority again");
    }
    if let Some(theirs) = place.of_an_ordinary_user() {
        rows.extend(sandbox_beside_bwrap(&theirs, "the same, both called by an ordinary user"));
    }
    rows
}

/// Gives this process and what it starts real-time or ordinary priority; false where that is not allowed. On a busy
/// machine the ordinary one also measures how often the others were asked first.
fn real_time(wanted: bool) -> bool {
    let how = if wanted { ["-f", "-p", "50"] } else { ["-o", "-p", "0"] };
    let output = Command::new("chrt").args(how).arg(std::process::id().to_string()).output();
    output.is_ok_and(|output| output.status.success())
}

fn sandbox_beside_bwrap(place: &Place, what: &str) -> Vec<Row> {
    const ROUNDS: usize = 61;
    let what = vec![(what.to_owned(), Goal::Ratio("1", 1.0))];
    if version("bwrap").is_none() {
        return missing(ROUNDS, what);
    }
    let flags = bwrap_flags();
    let times = take_turns(
        ROUNDS,
        vec![
            Contender::new("cto sandbox", || drop(must(&mut place.cto(&["sandbox", "--", "/bin/true"])))),
            Contender::new("bwrap", || drop(must(place.call("bwrap").args(&flags).arg("/bin/true")))),
        ],
    );
    rows(times, ROUNDS, what)
}

/// What `src/sandbox` shows of `/etc`, and covers of `/proc`.
const ETC: &str =
    "ld.so.cache ld.so.conf ld.so.conf.d alternatives localtime ssl/certs ssl/openssl.cnf services";
const COVERED: &str = "acpi asound bus driver fs irq scsi interrupts kallsyms kcore key-users keys kmsg sched_debug \
                       sysrq-trigger timer_list";

pub(crate) fn bwrap_flags() -> Vec<String> {
    let fixed = "--unshare-all --unshare-user --uid 1000 --gid 1000 --disable-userns --die-with-parent --new-session \
                 --cap-drop ALL --clearenv --hostname sandbox --setenv PATH /usr/local/bin:/usr/bin:/bin \
                 --ro-bind /usr /usr --proc /proc --dev /dev --tmpfs /dev/shm --tmpfs /tmp --chdir /tmp";
    let mut flags: Vec<String> = fixed.split_whitespace().map(str::to_owned).collect();
    let mut ask = |words: &[&str]| flags.extend(words.iter().map(|word| (*word).to_owned()));
    for name in COVERED.split_whitespace().map(|name| format!("/proc/{name}")) {
        match Path::new(&name) {
            path if path.is_dir() => ask(&["--tmpfs", &name]),
            path if path.exists() => ask(&["--ro-bind", "/dev/null", &name]),
            _ => {}
        }
    }
    for name in ETC.split_whitespace().map(|name| format!("/etc/{name}")) {
        if Path::new(&name).exists() {
            ask(&["--ro-bind", &name, &name]);
        }
    }
    for name in ["/bin", "/sbin", "/lib", "/lib64"] {
        match std::fs::read_link(name) {
            Ok(to) => ask(&["--symlink", &to.display().to_string(), name]),
            Err(_) if Path::new(name).is_dir() => ask(&["--ro-bind", name, name]),
            Err(_) => {}
        }
    }
    flags
}

/// Verification of a large bundle, beside the digests alone.
pub(crate) fn verify(place: &Place) -> Vec<Row> {
    const ROUNDS: usize = 15;
    let made = bundle::large(place);
    let what = format!(
        "`cto verify`, {} events, {} MB in {} files",
        made.events,
        made.bytes / 1_000_000,
        made.files.len()
    );
    let dir = made.dir.display().to_string();
    let trust = made.trust.display().to_string();
    let times = take_turns(
        ROUNDS,
        vec![
            Contender::new("cto verify", || drop(must(&mut place.cto(&["verify", &dir, "--trust", &trust])))),
            Contender::new("sha256sum", || drop(must(Command::new("sha256sum").args(&made.files)))),
        ],
    );
    rows(times, ROUNDS, vec![(what, Goal::Ratio("3", 3.0))])
}
