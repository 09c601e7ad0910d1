//! From a policy to the end of `/bin/true` in a process that has made sandboxes before, with a stub waiting.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use cto_harness::process::PayloadEvent;
use cto_harness::sandbox::{self, Purpose, Sandbox, SandboxPolicy, Stdio};
use cto_harness::vocab::Limits;
use cto_harness::workspace::RunUid;
use tokio::runtime::Runtime;

use super::observation::compiled;
use super::peers::{NO_SRT, codex, srt};
use super::place::{Place, must};
use super::rounds::Times;
use super::rows::{Goal, Measured, NO_BWRAP, Row, bwrap_flags, millis};

const LEAST: &str = include_str!("c/least.c");
const ROUNDS: usize = 31;
/// How long a stub may need to do what needs no policy.
const PARKED: Duration = Duration::from_millis(4);

/// Limits for what is measured here.
pub(crate) fn limits() -> Limits {
    Limits {
        wall_seconds: 120,
        idle_seconds: 120,
        cpu_seconds: 120,
        output_bytes: 1 << 20,
        processes: 512,
        open_files: 1024,
        file_bytes: 1 << 30,
        changed_files: 1,
        patch_bytes: 1 << 20,
        memory_bytes: 4 << 30,
        tree_cpu_seconds: 120,
        disk_bytes: 1 << 30,
        inodes: 100_000,
        tmp_bytes: 64 << 20,
        shm_bytes: 1 << 20,
        grace_seconds: 1,
        answer_seconds: 1,
    }
}

/// One row for each peer.
pub(crate) fn warm(place: &Place) -> Vec<Row> {
    let folder = tempfile::tempdir().unwrap();
    let uid = RunUid::claim_by_hand(folder.path()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let policy = SandboxPolicy::new(Purpose::ByHand, vec!["/bin/true".to_owned()], uid.uid(), limits());
    let least = compiled(place, "least", LEAST);
    let bwrap = super::place::version("bwrap").map(|_| bwrap_flags());
    let (codex, srt) = (codex(place), srt(place));
    let mut taken: [Vec<Duration>; 5] = Default::default();
    for round in 0..=ROUNDS {
        let times = [
            Some(ours(&runtime, &policy)),
            least.as_deref().map(by_itself),
            bwrap.as_ref().map(|flags| timed(Command::new("bwrap").args(flags).arg("/bin/true"))),
            codex.as_ref().filter(|_| round % 3 == 0).map(|call| timed(&mut call())),
            srt.as_ref().filter(|_| round % 3 == 0).map(|call| timed(&mut call())),
        ];
        for (taken, time) in taken.iter_mut().zip(times).filter(|_| round > 0) {
            taken.extend(time);
        }
    }
    let [ours, peers @ ..] = taken;
    let wanted = [
        ("a minimal C program", Goal::Ratio("1.5", 1.5), "not measured: there is no C compiler (`cc`)"),
        ("bwrap, as a command", Goal::Ratio("0.7", 0.7), NO_BWRAP),
        (
            "`codex sandbox`, as a command",
            Goal::Ratio("1/15", 1.0 / 15.0),
            "not measured: scripts/install-codex.sh installs it",
        ),
        ("sandbox-runtime, as a command", Goal::Ratio("1/15", 1.0 / 15.0), NO_SRT),
    ];
    let row = |(peer, (name, goal, missing)): (Vec<Duration>, (&'static str, _, _))| {
        let measured = if peer.is_empty() {
            Err(missing)
        } else {
            let peer = Times::of(name, peer);
            Ok(Measured { ours: Times::of("ours", ours.clone()), peer: name, peer_millis: millis(&peer) })
        };
        Row { what: "in process, warm: sandbox of `/bin/true`".to_owned(), goal, rounds: ROUNDS, measured }
    };
    peers.into_iter().zip(wanted).map(row).collect()
}

fn ours(runtime: &Runtime, policy: &SandboxPolicy) -> Duration {
    sandbox::expect_another();
    sandbox::expect_as(policy.uid);
    std::thread::sleep(PARKED);
    let begin = Instant::now();
    runtime.block_on(async {
        let mut payload =
            Sandbox::establish(policy.clone()).await.unwrap().start(Stdio::PipedNoInput).unwrap();
        loop {
            if let PayloadEvent::Exited(exit) = payload.next().await {
                assert!(exit.success(), "{exit:?}");
                return begin.elapsed();
            }
        }
    })
}

fn timed(command: &mut Command) -> Duration {
    let begin = Instant::now();
    must(command);
    begin.elapsed()
}

fn by_itself(least: &Path) -> Duration {
    // The first of a process pays for its page faults.
    let output = must(Command::new(least).arg("2"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Duration::from_micros(text.lines().nth(1).unwrap().parse().unwrap())
}
