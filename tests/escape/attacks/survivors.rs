//! What shall go on after the end: each beats into a file of its own, outside for good, inside until the end.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use cto_harness::sandbox::Bind;

use super::table::Row;
use super::world::OUTSIDE_PATH;
use crate::rig::{lease, owned_folder, policy, run};

/// `beat NAME` goes on for at most twenty seconds, or until somebody makes `stop`.
const BEFORE: &str = r#"
beat() { for i in {1..400}; do [ -e "$PLACE/stop" ] && exit; echo >> "$PLACE/$1"; sleep 0.05; done; }
hop() { [ -e "$PLACE/stop" ] || [ "$2" -gt 400 ] || { echo >> "$PLACE/$1"; (sleep 0.05; hop "$1" $(($2 + 1))) & }; }
export -f beat
py() { /usr/bin/python3 -c "
import ctypes, os, signal, sys, threading, time
def beat():
    for _ in range(400):
        if os.path.exists(os.environ['PLACE'] + '/stop'): os._exit(0)
        open(os.environ['PLACE'] + '/$1', 'a').write('x')
        time.sleep(0.05)
$2" & }
exec > /dev/null 2>&1 < /dev/null
"#;

/// Id, what is left behind, and how, in bash.
const SURVIVORS: &[(&str, &str, &str)] = &[
    ("S01", "a process in the background", "beat S01 &"),
    ("S02", "a session of its own", "setsid -f bash -c 'beat S02'"),
    ("S03", "a child of a child that has ended", "( ( ( beat S03 & ) & ) & )"),
    (
        "S04",
        "a process that ignores every signal that can be ignored",
        "(for s in {1..8} {10..18} {20..64}; do trap '' $s; done; beat S04) &",
    ),
    ("S05", "a process that hanging up does not reach", "nohup bash -c 'beat S05' &"),
    ("S06", "a process that is another one at every beat", "hop S06 0"),
    (
        "S07",
        "a stopped process that another one lets go on",
        "bash -c 'beat S07' & pid=$!; kill -STOP $pid; (sleep 0.15; kill -CONT $pid) &",
    ),
    (
        "S08",
        "a process that takes the orphans",
        "py S08 'ctypes.CDLL(None).prctl(36, 1)\nif os.fork() == 0: os.setsid(); beat()\nos.wait()'",
    ),
    (
        "S09",
        "a thread whose first thread has ended",
        "py S09 'threading.Thread(target=beat).start()\nctypes.CDLL(None).pthread_exit(None)'",
    ),
    (
        "S10",
        "a process that blocks every signal",
        "py S10 'signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nbeat()'",
    ),
    (
        "S11",
        "a timer that wakes a waiting process",
        "py S11 'os.setsid()\nsignal.signal(signal.SIGALRM, lambda *_: beat())\nsignal.setitimer(signal.ITIMER_REAL, 0.1)\nsignal.pause()'",
    ),
    (
        "S12",
        "a process that no longer dies with its parent",
        "py S12 'ctypes.CDLL(None).prctl(1, 0)\nif os.fork() == 0:\n os.setpgid(0, 0)\n beat()'",
    ),
    (
        "S13",
        "a program that is in no file",
        "py S13 'fd = os.memfd_create(\"x\", 0)\nos.write(fd, open(\"/bin/bash\", \"rb\").read())\nos.execve(fd, [\"bash\", \"-c\", \"beat S13\"], os.environ)'",
    ),
    (
        "S14",
        "a program whose file is gone",
        "cp /bin/bash \"$PLACE/gone\"; \"$PLACE/gone\" -c 'beat S14' & sleep 0.1; rm \"$PLACE/gone\"",
    ),
    ("S15", "a process in a group of its own that the shell forgot", "set -m; beat S15 & disown; set +m"),
];

/// How many beats there are of each.
fn beats(place: &Path) -> Vec<u64> {
    let size = |id: &str| std::fs::metadata(place.join(id)).map_or(0, |found| found.len());
    SURVIVORS.iter().map(|(id, _, _)| size(id)).collect()
}

fn script() -> String {
    let each: Vec<&str> = SURVIVORS.iter().map(|(_, _, how)| *how).collect();
    let ids: Vec<&str> = SURVIVORS.iter().map(|(id, _, _)| *id).collect();
    // On a busy machine some begin late: until each has beaten, ten seconds at most, and then the end.
    let begun = format!(
        "for i in {{1..100}}; do sleep 0.1; late=; for id in {}; do [ -s \"$PLACE/$id\" ] || late=1; done; \
         [ -z \"$late\" ] && break; done",
        ids.join(" ")
    );
    format!("{BEFORE}\n{}\n{begun}\nexit 0\n", each.join("\n"))
}

/// Which go on where nothing holds them: what was counted before and after some time.
fn outside() -> (Vec<u64>, Vec<u64>) {
    let place = tempfile::tempdir().unwrap();
    let mut command = Command::new("bash");
    command.args(["-c", &script()]).env_clear().env("PATH", OUTSIDE_PATH).env("PLACE", place.path());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(command.status().unwrap().success());
    let counted = later(place.path());
    // They look for it at every beat; the folder has to stay until they have.
    std::fs::write(place.path().join("stop"), "").unwrap();
    std::thread::sleep(Duration::from_millis(400));
    counted
}

fn later(place: &Path) -> (Vec<u64>, Vec<u64>) {
    let first = beats(place);
    std::thread::sleep(Duration::from_millis(500));
    (first, beats(place))
}

async fn inside() -> (Vec<u64>, Vec<u64>) {
    let lease = lease();
    let place = owned_folder(lease.uid());
    let mut policy = policy(lease.uid(), &["bash", "-c", &script()]);
    policy.env.insert("PLACE".to_owned(), "/rw".to_owned());
    policy.writable.push(Bind::new(place.path(), "/rw"));
    run(policy).await.ok();
    later(place.path())
}

/// Every survivor.
pub(crate) async fn rows() -> Vec<Row> {
    let (outside, inside) = (outside(), inside().await);
    let row = |(index, (id, what, _)): (usize, &(&str, &str, &str))| {
        let mut row = Row::new("survivors", id, what, "namespace.pid");
        let (before, after) = (outside.0[index], outside.1[index]);
        row.outside =
            if after > before { "works".to_owned() } else { format!("{before} beats, then {after}") };
        if after <= before {
            row.wrong("it does not go on outside".to_owned());
        }
        let (before, after) = (inside.0[index], inside.1[index]);
        row.inside = if after == before { "ended".to_owned() } else { "GOES ON".to_owned() };
        if after != before || before == 0 {
            row.wrong(format!("inside: {before} beats at the end, {after} later"));
        }
        row
    };
    SURVIVORS.iter().enumerate().map(row).collect()
}
