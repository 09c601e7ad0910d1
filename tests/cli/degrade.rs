//! Hosts that cannot enforce what is asked for: the layer and the way out are named, and nothing runs.

use std::path::PathBuf;
use std::process::Command;

use super::bench::{Answer, TestBench};

fn is_root() -> bool {
    std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0
}

/// `script` in a mount namespace of its own: what is mounted there is seen by nobody else. For root; `$CTO` is the program.
fn apart(bench: &TestBench, script: &str) -> Answer {
    let mut command = Command::new("unshare");
    let script = format!("mount --make-rprivate / || exit 9; {script}");
    command
        .args(["-m", "sh", "-c", &script])
        .current_dir(bench.path())
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
        assert_eq!(seen.code, 127);
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
    assert_eq!(seen.code, 127);
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
