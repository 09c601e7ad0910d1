//! Hosts that cannot enforce what is asked for: the layer and the way out are named, and nothing runs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use super::bench::{Answer, TestBench};

/// Where programs of everybody lie.
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) fn is_root() -> bool {
    std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0
}

/// `script` in a mount namespace of its own: what is mounted there is seen by nobody else. For root; `$CTO` is the program.
fn apart(bench: &TestBench, script: &str) -> Answer {
    let mut command = Command::new("unshare");
    let script = format!("mount --make-rprivate / || exit 9; {script}");
    command
        .args(["-m", "sh", "-c", &script])
        .current_dir(bench.path())
        .env("PATH", SYSTEM_PATH)
        .env("CTO", env!("CARGO_BIN_EXE_cto"))
        .env("CTO_HOME", bench.path().join("home"));
    Answer::of(&command.output().unwrap())
}

/// The programs, copied to where a sandbox can have them.
fn programs(bench: &TestBench) -> PathBuf {
    let folder = bench.path().join("programs");
    std::fs::create_dir(&folder).unwrap();
    for name in ["cto", "cto-stub", "cto-player"] {
        let from = PathBuf::from(env!("CARGO_BIN_EXE_cto")).with_file_name(name);
        std::fs::copy(from, folder.join(name)).unwrap();
    }
    folder
}

#[test]
fn a_sandbox_inside_a_sandbox_is_refused_by_name_and_nothing_runs() {
    let bench = TestBench::new();
    let programs = programs(&bench);
    let fixture = bench.fixture("fix-failing-test");
    let inside = |words: &[&str]| {
        let program = programs.join("cto").display().to_string();
        let (programs, fixture) = (programs.to_str().unwrap(), fixture.to_str().unwrap());
        let mut all = vec!["sandbox", "--ro", programs, "--ro", fixture, "--", &program];
        all.extend(words);
        bench.call(&all)
    };
    let doctor = inside(&["doctor"]).ends(3);
    assert!(doctor.out.contains("missing: user, mnt, pid, net, ipc, uts, cgroup"), "{}", doctor.out);
    assert!(doctor.out.contains("in a container, allow user namespaces"), "{}", doctor.out);
    let run = inside(&["run", fixture.to_str().unwrap(), "--json"]).ends(3);
    assert!(run.out.contains("gate.host.sandbox"), "{}", run.out);
}

#[test]
fn a_container_that_hides_parts_of_proc_is_told_how_to_show_them() {
    let bench = TestBench::new();
    // In a mount namespace of its own: what is laid over /proc there is seen by nobody else.
    let script = format!(
        "mount --make-rprivate / && mount -t tmpfs hidden /proc/sys && exec '{}' doctor",
        programs(&bench).join("cto").display()
    );
    let namespaces = if is_root() { "-m" } else { "-rm" };
    let mut command = Command::new("unshare");
    command.arg(namespaces).args(["sh", "-c", &script]).env("CTO_HOME", bench.path().join("home"));
    let doctor = Answer::of(&command.output().unwrap()).ends(3);
    assert!(doctor.out.contains("cannot mount a fresh /proc"), "{}", doctor.out);
    assert!(doctor.out.contains("systempaths=unconfined"), "{}", doctor.out);
    let fixture = bench.fixture("fix-failing-test");
    let script = script.replace("doctor", &format!("run '{}' --json", fixture.display()));
    let mut command = Command::new("unshare");
    command.arg(namespaces).args(["sh", "-c", &script]).env("CTO_HOME", bench.path().join("home"));
    let run = Answer::of(&command.current_dir(bench.path()).output().unwrap()).ends(3);
    assert!(
        run.out.contains("gate.host.sandbox") && run.out.contains("systempaths=unconfined"),
        "{}",
        run.out
    );
}

/// Begins a command, waits until it has, does `act`, and says how the command ended.
fn meanwhile(limit: &str, act: &str) -> String {
    format!(
        "rm -f said; \"$CTO\" sandbox {limit} -- sh -c 'echo begun; sleep 30' >said & cto=$!; \
         for i in $(seq 200); do grep -qs begun said && break; sleep 0.05; done; \
         {act}; wait $cto; code=$?; exit $code"
    )
}

#[test]
fn a_counter_that_holds_nonsense_or_is_hidden_ends_what_it_counts() {
    let bench = TestBench::new();
    let memory = ["--limit", "memory_bytes=100000000"];
    let trial = bench.call(&[&["sandbox"][..], &memory, &["--", "true"]].concat()).ends(0);
    if !is_root() || trial.err.contains("no control group here") {
        return;
    }
    for counter in ["pids.events", "cgroup.procs", "memory.oom_control", "cpuacct.usage"] {
        let find = format!("find /sys/fs/cgroup -path \"*/cto-*-$cto-*/{counter}\"");
        // Version 2 calls two of them otherwise.
        let act = format!("for file in $({find}); do mount --bind said $file; touch hidden; done");
        let seen = apart(&bench, &meanwhile(&memory.join(" "), &act));
        if !bench.path().join("hidden").exists() {
            assert!(counter.contains("oom_control") || counter.contains("cpuacct"), "{counter}");
            continue;
        }
        std::fs::remove_file(bench.path().join("hidden")).unwrap();
        assert!(seen.err.contains("was not held to its end") && seen.err.contains(counter), "{}", seen.err);
        assert!(seen.err.contains("remedy: ") && seen.err.contains("sandbox: lost:"), "{}", seen.err);
        assert_eq!(seen.code, 125);
    }
}

#[test]
fn a_proc_that_does_not_show_the_tree_any_more_ends_the_tree() {
    if !is_root() {
        return;
    }
    let bench = TestBench::new();
    // Positive control: the same command with /proc in sight ends when somebody ends it.
    let seen = apart(&bench, &meanwhile("--limit wall_seconds=2", "true"));
    assert!(seen.err.contains("limit wall_seconds of 2 reached"), "{}", seen.err);
    let seen = apart(&bench, &meanwhile("", "mount -t tmpfs hidden /proc"));
    assert!(seen.err.contains("PID 1 lives, and is not shown"), "{}", seen.err);
    assert_eq!(seen.code, 125);
}

#[test]
fn a_proc_that_hides_the_tree_from_its_owner_is_named_before_anything_runs() {
    let Some(bench) = TestBench::of_an_ordinary_user() else { return };
    let fixture = bench.fixture("fix-failing-test");
    let call = |words: &str, hidden: &str| {
        let become_nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups";
        apart(&bench, &format!("mount -t proc -o {hidden} proc /proc && exec {become_nobody} ./cto {words}"))
    };
    call("sandbox -- true", "hidepid=0").ends(0);
    let doctor = call("doctor", "hidepid=2").ends(3);
    assert!(doctor.out.contains("`watchdog`") && doctor.out.contains("without `hidepid`"), "{}", doctor.out);
    let run = call(&format!("run {} --json", fixture.display()), "hidepid=2").ends(3);
    assert!(run.out.contains("gate.host.sandbox") && run.out.contains("hidepid"), "{}", run.out);
}

/// A run whose engine sleeps for half a minute; once it sleeps, `act` is done. Nothing where there are no groups, by which
/// `act` finds what belongs to the run (`$cto` is its pid).
fn while_an_engine_sleeps(bench: &TestBench, act: &str) -> Option<Answer> {
    let folder = bench.fixture("output-flood");
    if !is_root() || !bench.call(&["doctor"]).out.contains("held by cgroup") {
        return None;
    }
    let step = "[[step]]\ndo = \"run\"\nargv = [\"sleep\", \"30\"]\n";
    std::fs::write(folder.join("script.toml"), step).unwrap();
    let log = "evidence/runs/*/events.normalized.jsonl";
    let script = format!(
        "\"$CTO\" run output-flood --json & cto=$!; \
         for i in $(seq 200); do grep -qs '\"sleep\"' {log} && break; sleep 0.05; done; \
         {act}; wait $cto; code=$?; exit $code"
    );
    Some(apart(bench, &script))
}

#[test]
fn an_engine_that_nobody_could_hold_blocks_its_run() {
    let bench = TestBench::new();
    bench.write("nonsense", "max many\n");
    let find = "find /sys/fs/cgroup -path \"*/cto-*-$cto-*/pids.events\"";
    let act = format!("for file in $({find}); do mount --bind nonsense $file; done");
    let Some(run) = while_an_engine_sleeps(&bench, &act) else { return };
    let run = run.ends(3);
    assert!(run.out.contains("engine.lost") && run.out.contains("pids.events"), "{} {}", run.out, run.err);
    bench.call(&["verify", "latest"]).ends(0);
}

#[test]
fn an_observer_that_was_killed_is_a_layer_that_was_not_in_force() {
    let bench = TestBench::new();
    // The parent of the first process in the run's group is the stub, which observes.
    let first = "find /sys/fs/cgroup -path \"*/cto-*-$cto-*/cgroup.procs\" -exec head -qn1 {} + | head -n1";
    let act = format!(
        "stub=$(awk '/^PPid:/ {{print $2}}' /proc/$({first})/status); \
         case $(cat /proc/$stub/comm) in cto*) kill -9 $stub;; esac"
    );
    let Some(run) = while_an_engine_sleeps(&bench, &act) else { return };
    let run = run.ends(3);
    assert!(run.out.contains("sandbox.layer-not-enforced"), "{} {}", run.out, run.err);
    assert!(run.out.contains("`observation`") && run.out.contains("last word is missing"), "{}", run.out);
    bench.call(&["verify", "latest"]).ends(0);
}

/// Executes a program under a filter that refuses what is named in its first argument, as what is around `cto` may do.
/// `unshare`: no user namespace, by either call (as containers have it). `mount`: namespaces, and nothing to mount in them.
const OUTER_FILTER: &str = r"
import ctypes, os, platform, struct, sys
x86 = platform.machine() == 'x86_64'
unshare, clone, clone3, old = (272, 56, 435, [165, 166, 155]) if x86 else (97, 220, 435, [40, 39, 41])
NEWUSER, EPERM, ENOSYS = 0x10000000, 0x50001, 0x50026
def op(code, value, yes=0, no=0): return struct.pack('=HBBI', code, yes, no, value)
load_number, load_flags = op(0x20, 0), op(0x20, 16)
def refuse(number, answer): return [op(0x15, number, 0, 1), op(6, answer)]
def refuse_flag(number, flag):
    return [op(0x15, number, 0, 3), load_flags, op(0x45, flag, 0, 1), op(6, EPERM), load_number]
rules = {
    'unshare': refuse_flag(unshare, NEWUSER) + refuse_flag(clone, NEWUSER) + refuse(clone3, ENOSYS),
    'mount': [rule for number in old + list(range(428, 434)) + [442] for rule in refuse(number, EPERM)],
}[sys.argv[1]]
code = b''.join([load_number] + rules + [op(6, 0x7fff0000)])
class Program(ctypes.Structure): _fields_ = [('length', ctypes.c_ushort), ('code', ctypes.c_char_p)]
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(Program(len(code) // 8, code)), 0, 0) == 0, ctypes.get_errno()
os.execv(sys.argv[2], sys.argv[2:])
";

/// `cto` with these words under [`OUTER_FILTER`]; as an ordinary user where it is to be one.
fn filtered(bench: &TestBench, ordinary: bool, kind: &str, words: &[&str]) -> Answer {
    let program = if ordinary { "./cto" } else { env!("CARGO_BIN_EXE_cto") };
    let become_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let call = ["python3", "-c", OUTER_FILTER, kind, program];
    let all: Vec<&str> =
        become_nobody.iter().filter(|_| ordinary).chain(&call).chain(words).copied().collect();
    let mut command = Command::new(all[0]);
    command.args(&all[1..]).current_dir(bench.path()).env("PATH", SYSTEM_PATH);
    command.env("CTO_HOME", bench.path().join("home"));
    Answer::of(&command.output().unwrap())
}

#[test]
fn a_filter_that_refuses_user_namespaces_is_told_apart_and_nothing_runs() {
    for (bench, ordinary) in [(Some(TestBench::new()), false), (TestBench::of_an_ordinary_user(), true)] {
        let Some(bench) = bench else { return };
        let fixture = bench.fixture("fix-failing-test").display().to_string();
        let doctor = filtered(&bench, ordinary, "unshare", &["doctor"]).ends(3);
        assert!(doctor.out.contains("missing: user"), "{}", doctor.out);
        assert!(doctor.out.contains("seccomp=unconfined"), "{}", doctor.out);
        let run = filtered(&bench, ordinary, "unshare", &["run", &fixture, "--json"]).ends(3);
        assert!(run.out.contains("gate.host.sandbox") && run.out.contains("user namespace"), "{}", run.out);
        assert!(run.out.contains("seccomp=unconfined"), "{}", run.out);
        let by_hand = filtered(&bench, ordinary, "unshare", &["sandbox", "--", "echo", "ran"]);
        assert!(by_hand.code != 0 && !by_hand.out.contains("ran"), "{}", by_hand.out);
        assert!(by_hand.err.contains("layer `namespaces` refused"), "{}", by_hand.err);
    }
}

#[test]
fn namespaces_without_capabilities_are_told_by_the_first_act_that_needs_one() {
    let Some(bench) = TestBench::of_an_ordinary_user() else { return };
    let fixture = bench.fixture("fix-failing-test").display().to_string();
    // Positive control: the same user, the same program, nothing around it.
    bench.call_as_ordinary_user(&["sandbox", "--", "true"]).ends(0);
    let doctor = filtered(&bench, true, "mount", &["doctor"]).ends(3);
    assert!(doctor.out.contains("all seven"), "they can be made: {}", doctor.out);
    assert!(doctor.out.contains("cannot take mounts from the caller only"), "{}", doctor.out);
    assert!(doctor.out.contains("although namespaces can be made"), "{}", doctor.out);

    // The same where the kernel says that AppArmor does it (Ubuntu since 23.10).
    bench.write("kernel/apparmor_restrict_unprivileged_userns", "1\n");
    bench.write("kernel/osrelease", &std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap());
    bench.write("filter.py", OUTER_FILTER);
    let restricted = |words: &str| {
        let become_nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups";
        let call = format!("exec {become_nobody} python3 filter.py mount ./cto {words}");
        apart(&bench, &format!("mount --bind kernel /proc/sys/kernel || exit 9; {call}"))
    };
    let doctor = restricted("doctor").ends(3);
    assert!(doctor.out.contains("cannot take mounts from the caller only"), "{}", doctor.out);
    assert!(doctor.out.contains("kernel.apparmor_restrict_unprivileged_userns=0"), "{}", doctor.out);
    let run = restricted(&format!("run {fixture} --json")).ends(3);
    assert!(
        run.out.contains("gate.host.sandbox") && run.out.contains("take mounts from the caller only"),
        "{}",
        run.out
    );
    assert!(run.out.contains("apparmor_restrict_unprivileged_userns"), "{}", run.out);
}

/// As where `AppArmor` leaves the new namespace without a word to say: they can be made, and then no ids be mapped.
#[test]
fn a_namespace_whose_ids_cannot_be_mapped_is_told_as_that() {
    let Some(bench) = TestBench::of_an_ordinary_user() else { return };
    let become_nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups";
    let doctor = format!("mount -o remount,bind,ro /proc || exit 9; exec {become_nobody} ./cto doctor");
    let doctor = apart(&bench, &doctor).ends(3);
    assert!(doctor.out.contains("all seven"), "they can be made: {}", doctor.out);
    assert!(doctor.out.contains("layer `identity` refused: cannot write setgroups"), "{}", doctor.out);
}

/// The rows of a bundle's sandbox: what was asked for and what was in force, by layer.
fn layers(answer: &Answer) -> BTreeMap<String, (String, String)> {
    let bundle = answer.json()[1]["result"]["bundle"].as_str().unwrap().to_owned();
    let text = std::fs::read_to_string(format!("{bundle}/report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    let rows = report["sections"]["sandbox"]["layers"].as_array().unwrap().iter();
    let text = |row: &serde_json::Value, name: &str| row[name].as_str().unwrap().to_owned();
    rows.map(|row| (text(row, "layer"), (text(row, "requested"), text(row, "enforced")))).collect()
}

#[test]
fn an_older_landlock_by_configuration_is_all_that_a_run_gets() {
    let bench = TestBench::new();
    let fixture = bench.fixture("fix-failing-test").display().to_string();
    let elevated = bench.path().join("elevated");
    assert!(Command::new("cp").args(["-R", &fixture]).arg(&elevated).status().unwrap().success());
    let contract = std::fs::read_to_string(elevated.join("contract.toml")).unwrap();
    std::fs::write(elevated.join("contract.toml"), contract.replace("RESTRICTED", "ELEVATED")).unwrap();
    let link =
        ["sandbox", "--", "sh", "-c", "mkdir /tmp/a /tmp/b && echo x >/tmp/a/x && ln /tmp/a/x /tmp/b/x"];
    bench.call(&link).ends(0);
    let kernels = bench.call(&["doctor", "--json"]).json()[0]["layers"][1]["detail"].to_string();

    for (most, truncate) in
        [(1, "not restricted: ABI 1 has no such right"), (2, "not restricted: ABI 2 has no such right")]
    {
        let config = format!("[sandbox]\nlandlock_abi_at_most = {most}\n");
        bench.write("home/config/config.toml", &config);
        let doctor = bench.call(&["doctor"]).ends(0);
        assert!(doctor.out.contains(&format!("ABI {most}, at most {most}")), "{}", doctor.out);
        let run = bench.call(&["run", &fixture, "--json"]).ends(0);
        let rows = layers(&run);
        let whole =
            (format!("ABI 1 or newer, at most {most}, hard"), format!("ABI {most}, fully (the kernel has "));
        assert_eq!(rows["landlock"].0, whole.0);
        assert!(rows["landlock"].1.starts_with(&whole.1), "{rows:?}");
        let right = |name: &str| rows[&format!("landlock.{name}")].1.as_str();
        assert_eq!((right("write_file"), right("truncate")), ("restricted", truncate));
        bench.call(&["verify", "latest"]).ends(0);
        // The kernel's word: before ABI 2, nothing is moved or linked between folders.
        let linked = bench.call(&link);
        assert_eq!(linked.code == 0, most >= 2, "{most}: {}", linked.err);
        assert_eq!(right("refer"), if most >= 2 { "restricted" } else { "refused altogether by ABI 1" });

        let refused = bench.call(&["run", elevated.to_str().unwrap(), "--json"]).ends(3);
        let reason = format!("Landlock ABI 3 (it is configured to use {most})");
        assert!(refused.out.contains(&reason), "{}", refused.out);
        assert!(refused.out.contains("raise `landlock_abi_at_most`"), "{}", refused.out);
    }
    bench.write("home/config/config.toml", "[sandbox]\nlandlock_abi_at_most = 0\n");
    let refused = bench.call(&["run", &fixture, "--json"]).ends(3);
    assert!(refused.out.contains("Landlock ABI 1 (it is configured to use 0)"), "{}", refused.out);
    assert!(bench.call(&["sandbox", "--", "true"]).err.contains("layer `landlock` refused"));
    // It never raises.
    bench.write("home/config/config.toml", "[sandbox]\nlandlock_abi_at_most = 99\n");
    let raised = bench.call(&["doctor", "--json"]).json()[0]["layers"][1]["detail"].to_string();
    assert!(raised.starts_with(kernels.trim_end_matches('"')), "{raised} {kernels}");
}
