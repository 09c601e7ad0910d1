//! Other processes, what is inherited, and what is left.

use std::io::{BufRead as _, BufReader};
use std::os::fd::AsFd as _;
use std::process::{Command, Stdio as Pipes};
use std::time::Duration;

use cto_harness::process::PayloadEvent;
use cto_harness::sandbox::Stdio;

use super::rig::{finish, inside, lease, outside, policy, run, start};

/// Whether any process of the host has `marker` among its arguments.
fn exists(marker: &str) -> bool {
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|argument| argument == marker.as_bytes())
    })
}

/// Whether it comes to exist: a shell goes on before its child has executed.
fn appears(marker: &str) -> bool {
    (0..250).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        exists(marker)
    })
}

/// A `sleep` argument that no other process has.
fn marker(of: u32) -> String {
    format!("{}.{of}", 1_000_000 + u64::from(std::process::id()))
}

#[tokio::test]
async fn host_processes_are_not_there() {
    let host = std::process::id();
    assert!(outside(&format!("test -d /proc/{host}")));
    let seen = inside(&format!(
        "test -d /proc/{host}; echo $?; ls -d /proc/[0-9]* | wc -l; cat /proc/1/environ; ls /proc/1/root"
    ))
    .await;
    let lines: Vec<_> = seen.out.lines().collect();
    assert_eq!(lines[0], "1", "{seen:?}");
    assert!(lines[1].parse::<u32>().unwrap() <= 5, "{seen:?}");
    assert_eq!(seen.err.matches("Permission denied").count(), 2, "{seen:?}");
}

#[tokio::test]
async fn the_environment_is_exactly_the_policys() {
    let lease = lease();
    let mut policy = policy(lease.uid(), &["/usr/bin/env"]);
    policy.env.insert("GIVEN".to_owned(), "a b".to_owned());
    let mut seen: Vec<_> = run(policy).await.ok().lines().map(ToOwned::to_owned).collect();
    seen.sort();
    let path = "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";
    assert_eq!(seen, ["GIVEN=a b", "HOME=/tmp/home", "LANG=C.UTF-8", path, "TMPDIR=/tmp"]);
}

#[tokio::test]
async fn inherited_descriptors_do_not_get_in() {
    let folder = std::fs::File::open("/").unwrap();
    rustix::io::fcntl_setfd(folder.as_fd(), rustix::io::FdFlags::empty()).unwrap();
    let count = "test $(ls /proc/self/fd | wc -l) -gt 4";
    assert!(outside(count));
    // Standard streams, and the one that `ls` opens.
    assert_eq!(inside("ls /proc/self/fd").await.ok(), "0\n1\n2\n3\n");
}

#[tokio::test]
async fn survivors_do_not_exist() {
    let marker = marker(1);
    let daemon = format!("(setsid -f sleep {marker} >/dev/null 2>&1 </dev/null); sleep 0.1; pgrep -c sleep");
    let lease = lease();
    let mut payload = start(policy(lease.uid(), &["bash", "-c", &daemon]), Stdio::PipedNoInput);
    let PayloadEvent::Line { bytes, .. } = payload.next().await else { panic!("no line") };
    assert_eq!(bytes, b"1");
    finish(payload).await.ok();
    assert!(!exists(&marker));
}

#[tokio::test]
async fn dropping_a_payload_ends_it() {
    let marker = marker(2);
    let lease = lease();
    let payload = start(
        policy(lease.uid(), &["bash", "-c", &format!("sleep {marker} & echo up; wait")]),
        Stdio::PipedNoInput,
    );
    let mut payload = payload;
    assert!(matches!(payload.next().await, PayloadEvent::Line { .. }));
    assert!(appears(&marker));
    drop(payload);
    assert!(!exists(&marker));
}

/// Not a test of its own: the harness that `nothing_outlives_the_harness` kills.
#[tokio::test]
#[ignore = "run by another test"]
async fn hold_a_payload() {
    let Ok(marker) = std::env::var("ESCAPE_MARKER") else { return };
    let lease = lease();
    let mut payload = start(
        policy(lease.uid(), &["bash", "-c", &format!("setsid -f sleep {marker}; echo up; sleep {marker}")]),
        Stdio::PipedNoInput,
    );
    while let PayloadEvent::Line { bytes, .. } = payload.next().await {
        // Not captured: the parent waits for it.
        std::fs::write("/proc/self/fd/2", [&bytes[..], b"\n"].concat()).unwrap();
    }
}

#[test]
fn nothing_outlives_the_harness() {
    let marker = marker(3);
    let mut harness = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "processes::hold_a_payload", "--ignored", "--nocapture"])
        .env("ESCAPE_MARKER", &marker)
        .stdout(Pipes::null())
        .stderr(Pipes::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(harness.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("up") && appears(&marker), "{line}");
    harness.kill().unwrap();
    harness.wait().unwrap();
    // The kernel's signal runs through three processes; it is not instantaneous.
    let gone = (0..500).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        !exists(&marker)
    });
    assert!(gone);
}

#[tokio::test]
async fn shared_memory_stays_inside() {
    let name = format!("/dev/shm/escape-{}", std::process::id());
    let seen = inside(&format!(
        "echo x > {name} && ls {name}; ipcmk -M 4096 >/dev/null 2>&1; ipcs -m | grep -c 4096"
    ))
    .await;
    assert!(seen.out.starts_with(&name), "{seen:?}");
    assert!(!std::path::Path::new(&name).exists());
    let table = std::fs::read_to_string("/proc/sysvipc/shm").unwrap();
    let uids = (2_000_000_000..2_000_000_064).any(|uid: u32| table.contains(&format!(" {uid} ")));
    assert!(!uids, "{table}");
}

#[tokio::test]
async fn exit_statuses_are_the_kernels() {
    for (script, expected) in [
        ("exit 7", "exited:7"),
        ("kill -9 $$", "signal:9"),
        ("kill -40 $$", "signal:40"),
        ("echo exited:0; exit 3", "exited:3"),
    ] {
        assert_eq!(inside(script).await.exit.status, expected, "{script}");
    }
    let lease = lease();
    let missing = run(policy(lease.uid(), &["no-such-program"])).await;
    assert!(missing.exit.status.starts_with("not-started:execute no-such-program"), "{missing:?}");
    let mut elsewhere = policy(lease.uid(), &["true"]);
    elsewhere.cwd = "/nowhere".into();
    assert!(run(elsewhere).await.exit.status.starts_with("not-started:enter /nowhere"));
}

#[tokio::test]
async fn a_child_given_to_pid_one_is_not_taken_for_the_payload() {
    // clone(2) with CLONE_PARENT: the child is a sibling of the payload, and ends first.
    let number = if cfg!(target_arch = "x86_64") { 56 } else { 220 };
    let script = format!(
        "import ctypes, os, time\nif ctypes.CDLL(None).syscall({number}, 0x8000 | 17, 0, 0, 0, 0) == 0: os._exit(0)\n\
         time.sleep(0.2)\nprint('goes on', flush=True)\nos._exit(3)"
    );
    let lease = lease();
    let seen = run(policy(lease.uid(), &["python3", "-c", &script])).await;
    assert_eq!((seen.exit.status.as_str(), seen.out.as_str()), ("exited:3", "goes on\n"), "{seen:?}");
}

#[tokio::test]
async fn pid_one_cannot_be_killed_and_killing_all_ends_only_this() {
    let seen = inside("kill -9 1; kill -STOP 1; kill -TERM 1; echo alive; kill -9 -1; echo never").await;
    assert!(seen.out.starts_with("alive\n"), "{seen:?}");
    assert!(seen.exit.status == "exited:0" || seen.exit.status == "signal:9", "{seen:?}");
}

#[tokio::test]
async fn input_is_sent_closed_and_interrupted() {
    let lease = lease();
    let mut payload = start(policy(lease.uid(), &["cat"]), Stdio::Piped);
    let big = "y".repeat(300_000);
    payload.send(format!("{big}\nlast").as_bytes()).await.unwrap();
    payload.close_stdin();
    assert!(payload.send(b"more").await.is_err());
    assert_eq!(finish(payload).await.ok(), format!("{big}\nlast\n"));
    let script = "trap 'echo interrupted; exit 5' INT; echo up; while :; do sleep 0.05; done";
    let mut payload = start(policy(lease.uid(), &["bash", "-c", script]), Stdio::Piped);
    assert!(matches!(payload.next().await, PayloadEvent::Line { .. }));
    payload.interrupt().unwrap();
    let seen = finish(payload).await;
    assert_eq!((seen.exit.status.as_str(), seen.out.as_str()), ("exited:5", "interrupted\n"));
    let mut payload = start(policy(lease.uid(), &["sleep", "1000"]), Stdio::Piped);
    payload.kill().unwrap();
    assert_eq!(finish(payload).await.exit.status, "signal:9");
}
