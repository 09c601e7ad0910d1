//! Limits hold, end the payload, and are named.

use cto_harness::process::{LINE_MAX, PayloadEvent};
use cto_harness::sandbox::{SandboxPolicy, Stdio};
use cto_harness::vocab::LimitName;
use cto_harness::workspace::RunUid;

use super::rig::{inside, lease, policy, run, start};

fn script(uid: RunUid, text: &str) -> SandboxPolicy {
    policy(uid, &["bash", "-c", text])
}

#[tokio::test]
async fn a_flood_is_cut_counted_and_ended() {
    let lease = lease();
    let mut policy = script(lease.uid(), "yes flood");
    policy.limits.output_bytes = 100_000;
    let seen = run(policy).await;
    assert_eq!(seen.reached, [LimitName::OutputBytes]);
    assert!(seen.out.len() <= 100_001 && seen.exit.output_bytes > 100_000, "{}", seen.out.len());
    assert_eq!(seen.exit.status, "signal:15");
}

/// Ends of lines and marks make what is kept of a flood more than was let through.
#[tokio::test]
async fn where_earlier_attempts_used_up_the_output_the_first_byte_more_ends_it() {
    let lease = lease();
    let mut policy = script(lease.uid(), "echo more; exec sleep 20");
    policy.limits.output_bytes = 100_000;
    for before in [99_999, 100_000, 100_002] {
        let mut payload = start(policy.clone(), Stdio::PipedNoInput);
        payload.count_before(std::time::Duration::ZERO, before);
        let mut reached = Vec::new();
        let exit = loop {
            match payload.next().await {
                PayloadEvent::LimitReached { name, .. } => reached.push(name),
                PayloadEvent::Exited(exit) => break exit,
                _ => {}
            }
        };
        assert_eq!((reached.as_slice(), exit.output_bytes), (&[LimitName::OutputBytes][..], 5), "{before}");
    }
}

#[tokio::test]
async fn a_line_without_end_is_cut() {
    let lease = lease();
    let bytes = LINE_MAX + 5000;
    let mut payload = start(
        script(lease.uid(), &format!("head -c {bytes} /dev/zero; echo; echo next")),
        Stdio::PipedNoInput,
    );
    let PayloadEvent::Line { bytes, truncated: true, .. } = payload.next().await else { panic!("not cut") };
    assert_eq!(bytes.len(), LINE_MAX);
    assert!(
        matches!(payload.next().await, PayloadEvent::Line { bytes, truncated: false, .. } if bytes == b"next")
    );
}

#[tokio::test]
async fn wall_and_idle_time_end_a_payload_that_ignores_requests() {
    let lease = lease();
    let stubborn = "trap '' TERM INT HUP; while :; do echo busy; sleep 0.05; done";
    let mut wall = script(lease.uid(), stubborn);
    wall.limits.wall_seconds = 1;
    let seen = run(wall).await;
    assert_eq!(
        (seen.reached.as_slice(), seen.exit.status.as_str()),
        (&[LimitName::WallSeconds][..], "signal:9")
    );
    let mut idle = script(lease.uid(), "echo once; sleep 1000");
    idle.limits.idle_seconds = 1;
    let seen = run(idle).await;
    assert_eq!(
        (seen.reached.as_slice(), seen.exit.status.as_str()),
        (&[LimitName::IdleSeconds][..], "signal:15")
    );
    assert_eq!(seen.out, "once\n");
}

#[tokio::test]
async fn cpu_time_and_file_size_are_held_by_the_kernel() {
    let lease = lease();
    let mut cpu = script(lease.uid(), "while :; do :; done");
    cpu.limits.cpu_seconds = 1;
    let seen = run(cpu).await;
    // Where both bounds are equal the kernel sends SIGXCPU first.
    assert!(seen.reached == [LimitName::CpuSeconds], "{seen:?}");
    let mut deaf = script(lease.uid(), "trap '' XCPU TERM; while :; do :; done");
    deaf.limits.cpu_seconds = 1;
    let seen = run(deaf).await;
    assert_eq!(
        (seen.reached.as_slice(), seen.exit.status.as_str()),
        (&[LimitName::CpuSeconds][..], "signal:9")
    );
    let killed = run(script(lease.uid(), "kill -9 $$")).await;
    assert_eq!((killed.reached.as_slice(), killed.exit.status.as_str()), (&[][..], "signal:9"));
    let mut file = policy(lease.uid(), &["head", "-c", "100000", "/dev/zero"]);
    file.argv = ["dd", "if=/dev/zero", "of=/tmp/big", "bs=1000", "count=100"].map(str::to_owned).to_vec();
    file.limits.file_bytes = 50_000;
    let seen = run(file).await;
    assert_eq!(seen.reached, [LimitName::FileBytes], "{seen:?}");
}

#[tokio::test]
async fn private_space_is_bounded() {
    let lease = lease();
    let mut policy = script(
        lease.uid(),
        "head -c 9000000 /dev/zero > /tmp/x; head -c 9000000 /dev/zero > /dev/shm/x; ulimit -n; ulimit -c",
    );
    policy.limits.tmp_bytes = 4 << 20;
    policy.limits.open_files = 99;
    let seen = run(policy).await;
    assert_eq!(seen.err.matches("No space left").count(), 2, "{seen:?}");
    assert_eq!(seen.out, "99\n0\n");
}

#[tokio::test]
async fn the_number_of_processes_is_held_whoever_the_uid_belongs_to() {
    let lease = lease();
    let mut policy = script(lease.uid(), "for i in $(seq 40); do sleep 30 & done; jobs -p | wc -l");
    policy.limits.processes = 20;
    let seen = run(policy).await;
    assert!(seen.err.contains("Resource temporarily unavailable"), "{seen:?}");
    // As many as are allowed are no reason to end anything.
    let mut policy = script(lease.uid(), "for i in $(seq 19); do sleep 1 & done; wait; echo all");
    policy.limits.processes = 20;
    assert_eq!(run(policy).await.ok(), "all\n");
}

#[tokio::test]
async fn what_is_written_after_the_end_is_not_waited_for() {
    let seen = inside("(sleep 1000; echo late) & echo now; exit 0").await;
    assert_eq!(seen.ok(), "now\n");
}
