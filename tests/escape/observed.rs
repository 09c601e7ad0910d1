//! The kernel tells what ran: nothing inside hides from it, lies to it, or notices it by what no longer works.

use cto_harness::evidence::LayerRow;
use cto_harness::process::{ARGUMENT_BYTES_MAX, PayloadEvent, ProcessTree, Seen};
use cto_harness::sandbox::{Sandbox, Stdio};
use cto_harness::vocab::LimitName;

use super::rig::{Outcome, call_script, lease, outside, policy, run, start, stub};

async fn observed(argv: &[&str]) -> Outcome {
    let lease = lease();
    let mut policy = policy(lease.uid(), argv);
    policy.observed = true;
    run(policy).await
}

async fn script(text: &str) -> Outcome {
    observed(&["bash", "-c", text]).await
}

/// The command lines with the status beside each.
fn lines(tree: &ProcessTree) -> Vec<(String, String)> {
    let status = |status: &Option<String>| status.clone().unwrap_or_else(|| "no end".to_owned());
    tree.programs().iter().map(|one| (one.executed.argv.join(" "), status(&one.status))).collect()
}

#[track_caller]
fn has(tree: &ProcessTree, line: &str, status: &str) {
    let lines = lines(tree);
    assert!(lines.contains(&(line.to_owned(), status.to_owned())), "{line} {status}: {lines:?}");
}

#[tokio::test]
async fn every_program_is_seen_with_its_arguments_place_and_end() {
    let seen = script(
        "cd /usr; /bin/true 'a b' ''; /bin/false; bash -c 'exit 7'; bash -c 'kill -9 $$'; exec sleep 0",
    )
    .await;
    assert!(seen.tree.is_complete(), "{:?}", seen.tree);
    for (line, status) in [
        ("/bin/true a b ", "exited:0"),
        ("/bin/false", "exited:1"),
        ("bash -c exit 7", "exited:7"),
        ("bash -c kill -9 $$", "signal:9"),
        ("sleep 0", "exited:0"),
    ] {
        has(&seen.tree, line, status);
    }
    let programs = seen.tree.programs();
    let of = |line: &str| programs.iter().find(|one| one.executed.argv.join(" ") == line).unwrap();
    assert_eq!(programs[0].status.as_deref(), Some("replaced"), "its process went on as another program");
    assert_eq!(of("sleep 0").executed.process, 1);
    let first = of("/bin/true a b ");
    assert_eq!(first.executed.argv, ["/bin/true", "a b", ""]);
    assert_eq!((first.executed.cwd.as_str(), first.executed.parent), ("/usr", 1));
    assert!(first.executed.program.ends_with("/true") && first.ended.unwrap() >= first.executed.at);
}

#[test]
fn being_observed_is_a_layer_that_the_kernel_confirms() {
    let lease = lease();
    let row = |observed: bool| {
        let mut policy = policy(lease.uid(), &["true"]);
        policy.observed = observed;
        let layers = Sandbox::establish_with(policy, &stub()).unwrap().section().layers;
        layers.into_iter().find(|row| row.layer == LayerRow::OBSERVATION)
    };
    assert_eq!(row(false), None, "nobody asked for it");
    let row = row(true).unwrap();
    assert!(row.ok && row.enforced == "traced from before the first program", "{row:?}");
}

#[tokio::test]
async fn arguments_that_are_rewritten_afterwards_do_not_deceive() {
    let rewrite = r#"$0 = "innocent"; open F, "<", "/proc/self/cmdline"; print <F>; exit(<F> ? 1 : 0)"#;
    assert!(outside(&format!("perl -e '{rewrite}' | grep -q ^innocent")), "control");
    let seen = observed(&["perl", "-e", rewrite]).await;
    assert!(seen.out.starts_with("innocent"), "{seen:?}");
    has(&seen.tree, &format!("perl -e {rewrite}"), "exited:0");
    // The name that a caller gives is his; the file is the kernel's.
    let renamed = script("exec -a innocent sleep 0").await;
    let last = &renamed.tree.programs().last().unwrap().executed;
    assert_eq!(last.argv, ["innocent", "0"]);
    assert!(last.program.ends_with("/sleep"), "{last:?}");
}

#[tokio::test]
async fn arguments_are_told_whatever_their_size_and_whoever_may_read_the_program() {
    // Small beside a large environment; beyond what is read of a stack at once; more than are kept; the last ones.
    let sizes = "cp /bin/true /tmp/closed && chmod 111 /tmp/closed && /tmp/closed to nobody\n\
                 E=$(printf %50000s) /bin/true small\n\
                 for size in 4000 9000 16375 20000; do /bin/true \"$(printf %${size}s)\" end; done";
    let seen = script(sizes).await;
    has(&seen.tree, "/tmp/closed to nobody", "exited:0");
    has(&seen.tree, "/bin/true small", "exited:0");
    let programs = seen.tree.programs();
    let told = programs.iter().map(|one| &one.executed).filter(|told| told.argv.len() > 1);
    let told: Vec<_> = told.filter(|told| told.argv[1].starts_with("    ")).collect();
    let sizes: Vec<_> =
        told.iter().map(|told| (told.argv[1].len(), told.argv.get(2).is_some(), told.cut)).collect();
    let room = ARGUMENT_BYTES_MAX - "/bin/true.".len();
    assert_eq!(sizes, [(4000, true, false), (9000, true, false), (room, false, true), (room, false, true)]);
}

#[tokio::test]
async fn no_way_to_make_a_process_hides_it() {
    let seen = script("(setsid sh -c '(exec /bin/true orphan) & exit 0') ; sleep 0.2").await;
    has(&seen.tree, "/bin/true orphan", "exited:0");
    let spawn = "import os; os.waitpid(os.posix_spawn('/bin/true', ['true', 'spawned'], {}), 0)";
    let seen = observed(&["python3", "-c", spawn]).await;
    has(&seen.tree, "true spawned", "exited:0");
    let thread = "import os, threading, time\nthreading.Thread(target=lambda: os.execv('/bin/true', ['true', 'of a thread'])).start()\ntime.sleep(5)";
    let seen = observed(&["python3", "-c", thread]).await;
    has(&seen.tree, "true of a thread", "exited:0");
    assert!(seen.tree.is_complete() && seen.exit.success(), "{seen:?}");
}

#[tokio::test]
async fn a_process_cannot_be_made_untraced() {
    // CLONE_UNTRACED | SIGCHLD; in the child: execute, in the parent: say the error.
    let text = "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\npid = libc.syscall(56, ctypes.c_long(0x800011), 0, 0, 0, 0)\n\
                if pid == 0: os.execv('/bin/true', ['true', 'unseen'])\n\
                print(pid > 0, ctypes.get_errno(), flush=True)\nif pid > 0: os.waitpid(pid, 0)";
    if cfg!(target_arch = "x86_64") {
        assert!(outside(&format!("python3 -c \"{text}\" | grep -q '^True 0'")), "control");
        let seen = observed(&["python3", "-c", text]).await;
        assert_eq!(seen.out.trim(), "False 1", "{seen:?}");
        assert!(!lines(&seen.tree).iter().any(|(line, _)| line == "true unseen"));
    }
}

#[tokio::test]
async fn what_is_observed_works_as_before() {
    // Stopping, going on, signals with handlers, real-time ones among them, threads, and many children at once.
    let stop = "import os, signal\npid = os.fork()\nif pid == 0:\n os.kill(os.getpid(), signal.SIGSTOP)\n os._exit(3)\n\
                _, status = os.waitpid(pid, os.WUNTRACED)\nassert os.WIFSTOPPED(status), status\nos.kill(pid, signal.SIGCONT)\n\
                _, status = os.waitpid(pid, 0)\nassert os.WEXITSTATUS(status) == 3, status\nprint('went on')";
    assert_eq!(observed(&["python3", "-c", stop]).await.ok(), "went on\n");
    let handlers = "import os, signal, threading\nseen = []\nfor number in (signal.SIGUSR1, signal.SIGRTMIN + 3, signal.SIGCHLD):\n \
                    signal.signal(number, lambda n, f: seen.append(n))\n\
                    for number in (signal.SIGUSR1, signal.SIGRTMIN + 3): os.kill(os.getpid(), number)\n\
                    os.waitpid(os.spawnv(os.P_NOWAIT, '/bin/true', ['true']), 0)\n\
                    threads = [threading.Thread(target=lambda: None) for _ in range(50)]\n\
                    [t.start() for t in threads]; [t.join() for t in threads]\nprint(len(seen))";
    assert_eq!(observed(&["python3", "-c", handlers]).await.ok(), "3\n");
    let many = script("for i in {1..150}; do /bin/true $i & done; wait; echo done").await;
    assert_eq!(many.out, "done\n");
    assert!(many.tree.is_complete() && many.tree.programs().len() == 151, "{}", many.tree.programs().len());
    assert!(many.tree.programs().iter().all(|one| one.status.is_some()));
}

#[tokio::test]
async fn a_tree_that_is_killed_is_seen_to_its_end() {
    let lease = lease();
    let mut policy = policy(lease.uid(), &["bash", "-c", "setsid sleep 1000 & trap '' TERM; sleep 1000"]);
    policy.observed = true;
    policy.limits.wall_seconds = 1;
    let seen = run(policy).await;
    assert_eq!(seen.reached, [LimitName::WallSeconds]);
    assert!(seen.tree.is_complete(), "{:?}", seen.tree);
    assert!(lines(&seen.tree).iter().all(|(_, status)| status != "no end"), "{:?}", lines(&seen.tree));
    let left = script("setsid sleep 1000 & exec sleep 0.1").await;
    assert_eq!(left.tree.left_behind(), ["sleep 1000"]);
}

#[tokio::test]
async fn a_refused_call_is_refused_and_told() {
    let calls = [
        ("ptrace", "101,0,0,0,0"),
        ("keyctl", "250,0,0,0,0"),
        ("io_uring_setup", "425,8,0"),
        ("getpid", "39"),
    ];
    if cfg!(target_arch = "x86_64") {
        let seen = observed(&["python3", "-c", &call_script(&calls)]).await;
        assert_eq!(seen.out, "ptrace 1\nkeyctl 1\nio_uring_setup 1\ngetpid 0\n");
        let section = seen.tree.section();
        for call in ["ptrace", "keyctl", "io_uring_setup"] {
            assert_eq!(section.refused_calls.get(call), Some(&1), "{:?}", section.refused_calls);
        }
        let family = "import socket\ntry: socket.socket(40, socket.SOCK_STREAM)\nexcept PermissionError: print('refused')";
        let seen = observed(&["python3", "-c", family]).await;
        assert_eq!(
            (seen.out.as_str(), seen.tree.section().refused_calls.get("socket")),
            ("refused\n", Some(&1))
        );
    }
}

#[tokio::test]
async fn a_flood_of_refusals_is_counted_and_not_told_one_by_one() {
    let flood = "import ctypes\nlibc = ctypes.CDLL(None)\nfor _ in range(20000): libc.ptrace(0, 0, 0, 0)\nprint('done')";
    let lease = lease();
    let mut policy = policy(lease.uid(), &["python3", "-c", flood]);
    policy.observed = true;
    let mut payload = start(policy, Stdio::PipedNoInput);
    let (mut told, mut tree) = (0, ProcessTree::default());
    loop {
        match payload.next().await {
            PayloadEvent::Seen(seen) => {
                told += usize::from(matches!(seen, Seen::Refused { .. }));
                tree.take(seen, "test");
            }
            PayloadEvent::Exited(exit) => break assert!(exit.success(), "{exit:?}"),
            PayloadEvent::Line { .. } | PayloadEvent::LimitReached { .. } => {}
        }
    }
    assert_eq!(tree.section().refused_calls.get("ptrace"), Some(&20_000));
    assert!(told <= 20, "{told}");
}

#[tokio::test]
async fn an_address_that_cannot_be_read_is_told_and_no_memory_is_closed_to_the_observer() {
    // Pointers to nothing, for both calls; a stream that is connected, and no address at all, are none.
    let nowhere = "import ctypes, socket; libc = ctypes.CDLL(None, use_errno=True)\n\
        s = socket.socket(2, 2); a, b = socket.socketpair()\n\
        print(libc.connect(s.fileno(), ctypes.c_void_p(16), 16), ctypes.get_errno())\n\
        print(libc.sendto(s.fileno(), b'x', 1, 0, ctypes.c_void_p(16), 16), ctypes.get_errno())\n\
        print(libc.sendto(a.fileno(), b'x', 1, 0, None, 0))";
    let seen = observed(&["python3", "-c", nowhere]).await;
    assert_eq!(seen.out, "-1 14\n-1 14\n1\n", "{seen:?}");
    let sought: Vec<_> = seen.tree.sought().iter().collect();
    assert_eq!(sought, [(&"an address that could not be read".to_owned(), &2)]);
    // Who makes himself undumpable closes his files in /proc to his own user, and is read all the same.
    let closed = "import ctypes, socket; libc = ctypes.CDLL(None); libc.prctl(4, 0, 0, 0, 0)\n\
        try: open('/proc/self/mem').close()\n\
        except PermissionError: print('closed')\n\
        try: socket.socket(2, 1).connect(('192.0.2.7', 443))\n\
        except OSError: print('no')";
    let seen = observed(&["python3", "-c", closed]).await;
    assert_eq!(seen.out, "closed\nno\n", "{seen:?}");
    assert_eq!(seen.tree.sought().keys().collect::<Vec<_>>(), ["192.0.2.7:443"]);
}

#[tokio::test]
async fn what_is_asked_for_outside_is_told_and_what_is_inside_works() {
    let text = "import socket, errno\n\
        for family, kind, address in ((2, 1, ('192.0.2.1', 443)), (2, 2, ('192.0.2.2', 53)), (10, 1, ('2001:db8::1', 80))):\n \
        s = socket.socket(family, kind)\n try: s.connect(address); print('reached')\n except OSError as e: print(errno.errorcode[e.errno])\n\
        s = socket.socket(2, 2)\n\
        try: s.sendto(b'x', ('192.0.2.3', 9)); print('reached')\n\
        except OSError as e: print(errno.errorcode[e.errno])\n\
        server = socket.create_server(('127.0.0.1', 0)); client = socket.create_connection(server.getsockname())\n\
        client.send(b'hello'); print(server.accept()[0].recv(5))\n\
        a = socket.socket(2, 2); a.bind(('127.0.0.1', 0)); socket.socket(2, 2).sendto(b'near', a.getsockname()); print(a.recv(4))";
    let seen = observed(&["python3", "-c", text]).await;
    assert_eq!(seen.out, "ENETUNREACH\n".repeat(4) + "b'hello'\nb'near'\n", "{seen:?}");
    let sought: Vec<&String> = seen.tree.sought().keys().collect();
    assert_eq!(sought, ["192.0.2.1:443", "192.0.2.2:53", "192.0.2.3:9", "[2001:db8::1]:80"]);
}
