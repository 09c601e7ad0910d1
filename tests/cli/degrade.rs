//! Hosts that cannot enforce what is asked for: the layer and the way out are named, and nothing runs.

use std::path::PathBuf;
use std::process::Command;

use super::bench::{Answer, TestBench};

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
    let is_root = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0;
    let namespaces = if is_root { "-m" } else { "-rm" };
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
