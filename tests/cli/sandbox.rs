//! `cto sandbox`: its ends, its view and its patch, and what it hands in.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::bench::TestBench;

/// Starts a script by hand and waits until it says `ready`.
fn until_ready(bench: &TestBench, words: &[&str]) -> Child {
    let mut child = bench.command(words).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
    assert_eq!(first, "ready\n");
    child
}

/// What lies in the state folder only as long as a call.
fn left(bench: &TestBench) -> Vec<String> {
    let entries = std::fs::read_dir(bench.path().join("home/state/live")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn the_sandbox_by_hand_ends_as_its_command_does() {
    let bench = TestBench::new();
    bench.call(&["sandbox", "--", "/bin/true"]).ends(0);
    bench.call(&["sandbox", "--", "/bin/sh", "-c", "exit 7"]).ends(7);
    bench.call(&["sandbox", "--", "/bin/sh", "-c", "kill -9 $$"]).ends(137);
    let seen = bench.call(&["sandbox", "--env", "A=b c", "--", "/bin/sh", "-c", "id -u; echo $A"]).ends(0);
    assert_eq!(seen.out, "1000\nb c\n");
    let own = bench.path().join("home/state");
    bench.call(&["sandbox", "--ro", own.to_str().unwrap(), "--", "/bin/true"]).ends(2);
}

/// The uid is claimed before the call is parsed, and is the call's until its end.
#[test]
fn two_commands_by_hand_of_root_never_have_one_uid() {
    if !nix::unistd::Uid::effective().is_root() {
        return;
    }
    let bench = TestBench::new();
    let map = "echo $(cat /proc/self/uid_map)";
    let waits = format!("{map}; read -r line");
    let mut first = bench.command(&["sandbox", "--", "/bin/sh", "-c", &waits]);
    let mut first = first.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut one = String::new();
    BufReader::new(first.stdout.as_mut().unwrap()).read_line(&mut one).unwrap();
    let other = bench.call(&["sandbox", "--", "/bin/sh", "-c", map]).ends(0).out;
    drop(first.stdin.take());
    first.wait().unwrap();
    let again = bench.call(&["sandbox", "--", "/bin/sh", "-c", map]).ends(0).out;
    let uid = |map: &str| map.split(' ').nth(1).unwrap().parse::<u32>().unwrap();
    // Where no other uid is mapped, it is the caller's.
    assert!(uid(&one) != uid(&other) || uid(&one) == 0, "{one} {other}");
    assert!(uid(&again) == 0 || uid(&again) >= 2_000_032_768, "{again}");
}

/// What becomes it was kept on one for a while.
#[test]
fn a_command_by_hand_may_use_the_processors_that_its_caller_may() {
    let bench = TestBench::new();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mine = status.lines().find(|line| line.starts_with("Cpus_allowed_list:")).unwrap();
    for _ in 0..5 {
        let seen = bench.call(&["sandbox", "--", "grep", "^Cpus_allowed_list:", "/proc/self/status"]).ends(0);
        assert_eq!(seen.out.trim_end(), mine);
    }
}

#[test]
fn a_workspace_by_hand_leaves_the_folder_alone_and_gives_a_patch() {
    let bench = TestBench::new();
    bench.write("w/a", "one\n");
    let words = ["sandbox", "--workspace", "w", "--patch", "p.diff", "--", "/bin/sh", "-c", "echo two > a"];
    bench.call(&words).ends(0);
    assert_eq!(std::fs::read_to_string(bench.path().join("w/a")).unwrap(), "one\n");
    let patch = std::fs::read_to_string(bench.path().join("p.diff")).unwrap();
    assert!(patch.contains("-one\n+two\n"), "{patch}");
    assert_eq!(left(&bench), [""; 0]);
}

#[test]
fn a_patch_by_hand_is_whole_or_there_is_none() {
    let bench = TestBench::new();
    bench.write("w/a", "one\n");
    let script = "for i in $(seq 1500); do echo $i > $i; done";
    let call =
        |script| bench.call(&["sandbox", "--workspace", "w", "--patch", "p", "--", "/bin/sh", "-c", script]);
    call(script).ends(0);
    let patch = std::fs::read_to_string(bench.path().join("p")).unwrap();
    assert_eq!(patch.matches("new file mode").count(), 1500);
    std::fs::remove_file(bench.path().join("p")).unwrap();
    let answer = call("echo two > a; truncate -s 300M big").ends(2);
    assert!(answer.err.contains("no patch: big") && answer.err.contains("ignore file"), "{}", answer.err);
    assert!(!bench.path().join("p").exists());
}

#[test]
fn a_patch_by_hand_is_refused_where_the_folder_moved_meanwhile() {
    let bench = TestBench::new();
    bench.write("w/a", "one\n");
    bench.write("w/b", "one\n");
    for (moved, code) in [("b", 0), ("a", 2)] {
        let script = "echo two > a; echo ready; read line; true";
        let words = ["sandbox", "--workspace", "w", "--patch", "p.diff", "--", "/bin/sh", "-c", script];
        let mut child = until_ready(&bench, &words);
        bench.write(&format!("w/{moved}"), "moved\n");
        drop(child.stdin.take());
        assert_eq!(child.wait().unwrap().code(), Some(code), "{moved}");
    }
}

#[test]
fn a_command_that_cannot_start_is_said_with_a_remedy() {
    let bench = TestBench::new();
    for (program, code) in [("/absent", 127), ("/etc/passwd", 126)] {
        let answer = bench.call(&["sandbox", "--", program]).ends(code);
        assert!(answer.err.contains(program) && answer.err.contains("remedy"), "{}", answer.err);
        assert!(answer.err.contains("not evidence"), "{}", answer.err);
    }
}

#[test]
fn a_request_to_end_keeps_the_patch_and_leaves_nothing() {
    for name in ["TERM", "INT"] {
        let bench = TestBench::new();
        bench.write("w/a", "one\n");
        // A shell that is interrupted right before it makes its child waits for that child, which was not.
        let script = "echo two > a; echo ready; exec sleep 60";
        let words = ["sandbox", "--workspace", "w", "--patch", "p.diff", "--", "/bin/sh", "-c", script];
        let mut child = until_ready(&bench, &words);
        let sent = Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let code = child.wait().unwrap().code();
        assert!(matches!(code, Some(130 | 143)), "SIG{name}: {code:?}");
        let patch = std::fs::read_to_string(bench.path().join("p.diff")).unwrap();
        assert!(patch.contains("-one\n+two\n"), "SIG{name}: {patch}");
        assert_eq!(left(&bench), [""; 0], "SIG{name}");
    }
}

/// As root nothing is writable in place, so this is for an ordinary user.
#[test]
fn what_the_command_can_write_is_no_place_for_the_patch() {
    let Some(bench) = TestBench::of_an_ordinary_user() else { return };
    for folder in ["w", "rw", "out"] {
        let made = bench.path().join(folder);
        std::fs::create_dir(&made).unwrap();
        std::os::unix::fs::chown(&made, Some(65534), Some(65534)).unwrap();
    }
    let script = ["--", "/bin/sh", "-c", "echo two > a"];
    let call = |more: &[&str]| {
        bench.call_as_ordinary_user(&[&["sandbox", "--workspace", "w"], more, &script[..]].concat())
    };
    let refused = call(&["--rw", "rw", "--patch", "rw/p.diff"]).ends(2);
    assert!(refused.err.contains("remedy"), "{}", refused.err);
    call(&["--rw", "w", "--patch", "out/p.diff"]).ends(2);
    // A link under the patch's name is replaced, not followed.
    std::fs::write(bench.path().join("victim"), "precious").unwrap();
    std::os::unix::fs::symlink("../victim", bench.path().join("out/p.diff")).unwrap();
    call(&["--rw", "rw", "--patch", "out/p.diff"]).ends(0);
    assert_eq!(std::fs::read_to_string(bench.path().join("victim")).unwrap(), "precious");
    assert!(std::fs::read_to_string(bench.path().join("out/p.diff")).unwrap().contains("+two"));
}

/// A directory's descriptor leads to all of the host, by `..` and by calls that no mount hinders.
#[test]
fn a_directory_on_a_standard_stream_is_refused() {
    let bench = TestBench::new();
    let mut command = bench.command(&["sandbox", "--", "/bin/sh", "-c", "true"]);
    command.stdin(std::fs::File::open(bench.path()).unwrap());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("directory"), "{said}");
}

/// Keys may stand in the environment; what becomes PID 1 is a fork of the program that was called with it.
#[test]
fn what_becomes_a_sandbox_holds_nothing_of_the_call() {
    let bench = TestBench::new();
    let marks = [
        format!("in-an-argument-{}", std::process::id()),
        format!("in-the-environment-{}", std::process::id()),
    ];
    let mut command = bench.command(&["sandbox", "--", "/bin/sh", "-c", "echo ready; read -r line"]);
    command.args([&marks[0]]).env("MARK", &marks[1]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
    assert_eq!(first, "ready\n");
    let told = |pid: u32| {
        let read = |name: &str| std::fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        String::from_utf8_lossy(&[read("cmdline"), read("environ")].concat()).into_owned()
    };
    assert!(marks.iter().all(|mark| told(child.id()).contains(mark)), "positive control");
    let stubs = settled(child.id());
    assert_eq!(stubs.len(), 3, "a stub, its companion and PID 1; where one is wanted, there is no zygote");
    for stub in stubs {
        // The companion comes clean when it has made the network, which nobody waits for.
        let holds_nothing = || marks.iter().all(|mark| !told(stub).contains(mark));
        soon(holds_nothing);
        assert!(holds_nothing(), "{}", told(stub));
    }
    drop(child.stdin.take());
    assert!(child.wait().unwrap().code().is_some());
}

/// One of them outlives the sandbox, by the time that its mounts take to go; not more, and not when all is killed.
#[test]
fn what_stands_beside_a_sandbox_goes_with_it() {
    for killed in [false, true] {
        let bench = TestBench::new();
        let mut child = until_ready(&bench, &["sandbox", "--", "/bin/sh", "-c", "echo ready; read -r line"]);
        let stubs = settled(child.id());
        assert!(stubs.iter().all(|pid| lives(*pid)), "positive control");
        // The stub has mounts open, too, but not those of the sandbox.
        let holders = || -> Vec<Vec<String>> {
            let opened = stubs.iter().map(|pid| opened(*pid));
            opened.filter(|all| all.len() == 3 && all.iter().any(|leads| is_mounts(leads))).collect()
        };
        // Right after its fork it has what the stub has.
        soon(|| holders().len() == 1);
        let holders = holders();
        assert_eq!(holders.len(), 1, "one holds the mounts, and nothing else: {holders:?}");
        let [until, one, other] = holders[0].as_slice() else { panic!("it holds more: {holders:?}") };
        assert!(until.starts_with("socket:") && is_mounts(one) && is_mounts(other), "{holders:?}");
        soon(|| stubs.iter().filter(|pid| opened(**pid).contains(one)).count() == 1);
        let with_it = stubs.iter().filter(|pid| opened(**pid).contains(one)).count();
        assert_eq!(with_it, 1, "the stub has let go of them");
        // Were its network not taken, it would be in the caller's own.
        let network = |pid: &u32| std::fs::read_link(format!("/proc/{pid}/ns/net")).ok();
        let networks: BTreeSet<_> = stubs.iter().filter_map(network).collect();
        let callers = network(&std::process::id()).unwrap();
        assert!(networks.len() == 1 && !networks.contains(&callers), "{networks:?}, outside {callers:?}");
        if killed {
            child.kill().unwrap();
        } else {
            drop(child.stdin.take());
        }
        child.wait().unwrap();
        let until = Instant::now() + Duration::from_secs(10);
        while stubs.iter().any(|pid| lives(*pid)) {
            assert!(Instant::now() < until, "killed: {killed}, left: {stubs:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Waits until `holds`, for ten seconds at most; what was waited for is asserted afterwards.
fn soon(holds: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(10);
    while !holds() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A stub, its companion and PID 1, once each has come clean.
fn settled(parent: u32) -> Vec<u32> {
    soon(|| descendants(parent, "cto-stub").len() == 3);
    descendants(parent, "cto-stub")
}

/// What the descriptors of a process lead to, in their order.
fn opened(pid: u32) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let mut all: Vec<(u32, String)> = entries
        .map(|entry| entry.unwrap().path())
        .filter_map(|path| {
            let number = path.file_name()?.to_str()?.parse().ok()?;
            Some((number, std::fs::read_link(&path).ok()?.display().to_string()))
        })
        .collect();
    all.sort();
    all.into_iter().map(|(_, leads)| leads).collect()
}

fn is_mounts(leads: &str) -> bool {
    leads.starts_with("mnt:[")
}

/// Whether a stub with this pid is there and not only waits to be reaped.
fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.contains("(cto-stub)") && !stat.contains("(cto-stub) Z")
}

/// Pids of the processes called `name` below `top`.
fn descendants(top: u32, name: &str) -> Vec<u32> {
    let mut found = Vec::new();
    let mut folders = vec![top];
    while let Some(pid) = folders.pop() {
        let children =
            std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        folders.extend(children.split_whitespace().map(|pid| pid.parse::<u32>().unwrap()));
        let called = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        if called.trim_end() == name {
            found.push(pid);
        }
    }
    found
}

/// What every root has is put together in a mount namespace that takes from the caller's and gives nothing back.
#[test]
fn the_caller_sees_no_mount_of_it_and_what_he_takes_down_is_gone() {
    const SCRIPT: &str = r#"
set -e
mkdir far; mount -t tmpfs far far; mkfifo feed
cat /proc/self/mountinfo > before
"$0" sandbox -- /bin/sh -c 'echo ready; read -r line' < feed > said &
harness=$!; exec 3> feed
for i in $(seq 200); do grep -q ready said && break; sleep 0.05; done
cat /proc/self/mountinfo > during
held() {
  for stub in $(cat /proc/$harness/task/$harness/children); do
    for fd in /proc/$stub/fd/*; do
      case $(readlink $fd) in mnt:*) nsenter --mount=$fd grep -c " $PWD/far " /proc/self/mountinfo || true;; esac
    done
  done | sort -u | tr '\n' ' '
}
held > held-before; umount far; held > held-after
exec 3>&-; wait $harness || true
"#;
    if !super::degrade::is_root() {
        return;
    }
    let bench = TestBench::new();
    let call = bench.command(&[]);
    let mut apart = Command::new("unshare");
    apart.args(["-m", "--propagation", "shared", "sh", "-c", SCRIPT]).arg(call.get_program());
    apart.envs(call.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(bench.path());
    let output = apart.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = |name: &str| std::fs::read_to_string(bench.path().join(name)).unwrap();
    assert_eq!(read("said"), "ready\n");
    assert_eq!(read("during"), read("before"), "nothing of it is seen");
    assert!(read("held-before").contains('1'), "positive control: the stub has the caller's mounts");
    assert!(!read("held-after").contains('1'), "it keeps nothing busy: {}", read("held-after"));
}

#[test]
fn more_folders_than_one_message_holds_are_all_laid_where_they_belong() {
    let bench = TestBench::new();
    let mut call = vec!["sandbox".to_owned()];
    for index in 0..150 {
        let folder = bench.path().join(format!("folder-{index}"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join(format!("file-{index}")), "").unwrap();
        call.extend(["--ro".to_owned(), folder.display().to_string()]);
    }
    let list = format!("ls {}/folder-*/file-* | wc -l", bench.path().display());
    call.extend(["--", "sh", "-c", &list].map(str::to_owned));
    let call: Vec<&str> = call.iter().map(String::as_str).collect();
    let answer = bench.call(&call);
    assert_eq!((answer.code, answer.out.trim()), (0, "150"), "{}", answer.err);
}
