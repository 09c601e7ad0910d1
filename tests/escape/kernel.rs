//! Which parts of the kernel can be reached.

use super::rig::{call_script, inside, lease, outside, policy, run};

/// Calls that say EPERM inside. The numbers are those of `x86_64`.
const DANGERS: &[(&str, &str)] = &[
    ("ptrace", "101,0,0,0,0"),
    ("mount", "165,0,0,0,0,0"),
    ("umount2", "166,0,0"),
    ("pivot_root", "155,0,0"),
    ("chroot", "161,0"),
    ("keyctl", "250,0,-3,0,0,0"),
    ("add_key", "248,0,0,0,0,0"),
    ("request_key", "249,0,0,0,0"),
    ("unshare_user", "272,0x10000000"),
    ("unshare_net", "272,0x40000000"),
    ("clone_user", "56,0x10000011,0,0,0,0"),
    ("perf_event_open", "298,0,0,-1,-1,0"),
    ("name_to_handle_at", "303,-100,0,0,0,0"),
    ("open_by_handle_at", "304,-100,0,0"),
    ("setns", "308,-1,0"),
    ("process_vm_readv", "310,1,0,0,0,0,0"),
    ("kcmp", "312,1,1,0,0,0"),
    ("bpf", "321,0,0,0"),
    ("userfaultfd", "323,1"),
    ("io_uring_setup", "425,1,0"),
    ("open_tree", "428,-100,0,1"),
    ("move_mount", "429,-1,0,-1,0,0"),
    ("fsopen", "430,0,0"),
    ("pidfd_getfd", "438,-1,0,0"),
    ("mount_setattr", "442,-1,0,0,0,0"),
    ("personality_32bit", "135,8"),
    ("vsock", "41,40,1,0"),
    ("packet", "41,17,3,0"),
    ("alg", "41,38,5,0"),
    ("netlink_audit", "41,16,3,9"),
    ("netlink_device_events", "41,16,3,15"),
    ("tiocsti", "16,0,0x5412,0"),
    ("tiocsti_high_bits", "16,0,0x100005412,0"),
    ("tioclinux", "16,0,0x541c,0"),
];

/// Calls that are unknown inside.
const UNKNOWN: &[(&str, &str)] = &[
    ("clone3", "435,0,0"),
    ("no_such_call", "9999,0"),
    ("x32_getpid", "0x40000027,0"),
    ("io_cancel", "210,0,0,0"),
];

#[cfg(target_arch = "x86_64")]
#[tokio::test]
async fn dangerous_calls_are_refused_and_unknown_ones_unknown() {
    let calls: Vec<_> = DANGERS.iter().chain(UNKNOWN).copied().collect();
    let lease = lease();
    let seen = run(policy(lease.uid(), &["python3", "-c", &call_script(&calls)])).await.ok();
    let told: Vec<_> = seen.lines().map(|line| line.split_once(' ').unwrap()).collect();
    assert_eq!(told.len(), calls.len(), "{seen}");
    for (index, (name, errno)) in told.iter().enumerate() {
        let expected = if index < DANGERS.len() { "1" } else { "38" };
        assert_eq!(*errno, expected, "{name}");
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn outside_those_calls_are_there() {
    let there = [
        ("keyctl", "250,0,-3,0,0,0"),
        ("io_uring_setup", "425,1,0"),
        ("clone3", "435,0,0"),
        ("vsock", "41,40,1,0"),
        ("kcmp", "312,1,1,0,0,0"),
    ];
    let script = call_script(&there);
    let output = std::process::Command::new("python3").args(["-c", &script]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errnos: Vec<_> = text.lines().filter_map(|line| line.split_once(' ')).collect();
    assert_eq!(errnos.len(), there.len(), "{text}");
    let other = errnos.iter().filter(|(_, errno)| !["1", "38"].contains(errno)).count();
    assert!(other >= 3, "{text}");
}

#[tokio::test]
async fn a_nested_user_namespace_is_refused() {
    assert!(outside("unshare -Ur true"), "positive control: this host has user namespaces");
    let seen = inside("unshare -Ur true; unshare -U true; unshare -m true").await;
    assert_ne!(seen.exit.status, "exited:0");
    assert_eq!(seen.err.matches("Operation not permitted").count(), 3, "{seen:?}");
}

#[tokio::test]
async fn no_capability_no_new_privilege_one_filter() {
    let seen = inside("grep -E '^(Cap|NoNewPrivs|Seccomp)' /proc/self/status").await.ok();
    let value = |name: &str| {
        let line = seen.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().last().unwrap().to_owned()
    };
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(value(set), "0000000000000000", "{set}");
    }
    assert_eq!([value("NoNewPrivs:"), value("Seccomp:"), value("Seccomp_filters:")], ["1", "2", "1"]);
}

#[tokio::test]
async fn a_setuid_program_changes_nothing() {
    assert!(outside("test -u /usr/bin/su || test -u /bin/su || test -u /usr/bin/passwd"));
    let seen = inside("cp /usr/bin/id /tmp/id && chmod 4755 /tmp/id && /tmp/id -u; su -c id </dev/null 2>/dev/null; test -e /tmp/id").await;
    assert_eq!(seen.ok(), "1000\n");
}

#[tokio::test]
async fn the_network_of_the_host_is_out_of_reach() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let connect = format!("exec 3<>/dev/tcp/127.0.0.1/{port}");
    assert!(outside(&connect));
    assert_ne!(inside(&connect).await.exit.status, "exited:0");
    let interfaces =
        inside("tail -n +3 /proc/net/dev | wc -l; tail -n +2 /proc/net/route | wc -l").await.ok();
    assert!(interfaces.ends_with("\n0\n"), "{interfaces}");
}

#[tokio::test]
async fn an_abstract_socket_of_the_host_is_out_of_reach() {
    use std::os::linux::net::SocketAddrExt as _;
    let name = format!("escape-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind_addr(&address).unwrap();
    let script = format!("python3 -c \"import socket; socket.socket(socket.AF_UNIX).connect('\\0{name}')\"");
    assert!(outside(&script));
    assert_ne!(inside(&script).await.exit.status, "exited:0");
}

#[tokio::test]
async fn loopback_inside_works() {
    let script = "import socket,threading
s=socket.create_server(('127.0.0.1',0)); t=threading.Thread(target=lambda: s.accept()[0].sendall(b'hello')); t.start()
print(socket.create_connection(s.getsockname()).recv(9).decode())
a,b=socket.socketpair(); a.sendall(b'pair'); print(b.recv(9).decode())";
    let lease = lease();
    assert_eq!(run(policy(lease.uid(), &["python3", "-c", script])).await.ok(), "hello\npair\n");
}
