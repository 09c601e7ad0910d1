//! Real work goes on inside; the report says what stands.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Command;

use cto_harness::home::Home;
use cto_harness::sandbox::{Bind, LISTENER_PORT, Sandbox, Stdio, probe_with};

use super::rig::{finish, inside, is_root, lease, open_folder, own, owned_folder, policy, run, stub};

#[tokio::test]
async fn the_report_has_a_row_for_every_layer_and_all_are_in_force() {
    let lease = lease();
    let sandbox = Sandbox::establish_with(policy(lease.uid(), &["true"]), &stub()).unwrap();
    let section = sandbox.section();
    let names: Vec<_> = section.layers.iter().map(|row| row.layer.as_str()).collect();
    for layer in [
        "namespace.user",
        "namespace.mnt",
        "namespace.pid",
        "namespace.net",
        "namespace.ipc",
        "namespace.uts",
        "namespace.cgroup",
        "root",
        "identity",
        "landlock",
        "seccomp",
        "seccomp.mode",
        "capabilities",
        "no_new_privs",
        "network",
        "rlimits",
    ] {
        assert!(names.contains(&layer), "{layer} in {names:?}");
    }
    assert!(section.layers.iter().all(|row| row.ok), "{section:?}");
    assert_eq!(section.identity, if lease.uid().own { "own-uid" } else { "caller-uid" });
    assert_eq!(lease.uid().own, is_root());
}

#[test]
fn the_probe_finds_what_a_sandbox_then_has() {
    let place = tempfile::tempdir().unwrap();
    let home = Home::at(&place.path().join("home")).unwrap();
    let facts = probe_with(&home, &stub()).unwrap();
    assert_eq!(facts.namespaces.len(), 7);
    assert!(facts.seccomp && facts.landlock_abi >= 1 && facts.overlay, "{facts:?}");
    assert!(facts.hard_processes);
    assert_eq!(std::fs::read_dir(home.state()).unwrap().count(), 0, "a probe leaves nothing");
}

#[tokio::test]
async fn a_landlock_floor_above_the_kernel_is_an_error() {
    let lease = lease();
    let mut policy = policy(lease.uid(), &["true"]);
    policy.landlock_floor = 99;
    let refused = Sandbox::establish_with(policy, &stub()).unwrap_err();
    assert!(refused.to_string().contains("landlock"), "{refused}");
}

#[tokio::test]
async fn a_missing_source_is_an_error_that_names_it() {
    let lease = lease();
    let mut policy = policy(lease.uid(), &["true"]);
    policy.read_only.push(Bind::new("/no/such/place", "/ro"));
    let refused = Sandbox::establish_with(policy, &stub()).unwrap_err();
    assert!(refused.to_string().contains("/no/such/place"), "{refused}");
}

#[tokio::test]
async fn the_listener_is_the_door_to_the_outside() {
    let lease = lease();
    let script = format!("exec 3<>/dev/tcp/127.0.0.1/{LISTENER_PORT}; echo ask >&3; cat <&3");
    let mut policy = policy(lease.uid(), &["bash", "-c", &script]);
    policy.listener = true;
    let mut sandbox = Sandbox::establish_with(policy, &stub()).unwrap();
    let listener = sandbox.take_listener().unwrap();
    assert_eq!((listener.local_addr().unwrap().port(), sandbox.port()), (LISTENER_PORT, Some(LISTENER_PORT)));
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = [0; 4];
        stream.read_exact(&mut asked).unwrap();
        stream.write_all(b"answer\n").unwrap();
        asked
    });
    let seen = finish(sandbox.start(Stdio::PipedNoInput).unwrap()).await;
    assert_eq!(seen.ok(), "answer\n");
    assert_eq!(&answering.join().unwrap(), b"ask\n");
}

#[tokio::test]
async fn shells_git_python_and_terminals_work() {
    let script = "set -e; cd /tmp; git init -q r; cd r; git config user.email a@b; git config user.name n
        echo x > f; git add f; git commit -qm m; git log --oneline | wc -l
        python3 -c 'import os,pty,multiprocessing as m,threading,tempfile,subprocess
print(os.ttyname(pty.openpty()[1])); print(m.Pool(2).map(abs,[-1,-2])); print(subprocess.check_output([\"echo\",\"sub\"]).decode().strip())'
        whoami; mktemp >/dev/null; echo ok > /dev/stderr; mkfifo p; printf done > /dev/stdout";
    let seen = inside(script).await;
    assert_eq!(seen.ok(), "1\n/dev/pts/0\n[1, 2]\nsub\nuser\ndone\n");
}

#[tokio::test]
async fn cargo_builds_and_tests_a_crate() {
    let rustc = Command::new("rustc").args(["--print", "sysroot"]).output();
    let Some(sysroot) = rustc.ok().filter(|output| output.status.success()) else { return };
    let sysroot = String::from_utf8(sysroot.stdout).unwrap();
    // A compiler may be installed without cargo.
    if !Path::new(sysroot.trim()).join("bin/cargo").exists() {
        return;
    }
    let lease = lease();
    let tree = owned_folder(lease.uid());
    std::fs::create_dir(tree.path().join("src")).unwrap();
    own(&tree.path().join("src"), lease.uid());
    std::fs::write(tree.path().join("Cargo.toml"), "[package]\nname='x'\nversion='0.1.0'\nedition='2021'\n")
        .unwrap();
    std::fs::write(tree.path().join("src/lib.rs"), "#[test]\nfn t() { assert_eq!(2, 1 + 1) }\n").unwrap();
    let mut policy = policy(lease.uid(), &["cargo", "test", "--offline", "-q"]);
    policy.read_only.push(Bind::new(sysroot.trim(), "/toolchain"));
    policy.writable.push(Bind::new(tree.path(), "/work"));
    policy.cwd = "/work".into();
    policy.env.insert("PATH".to_owned(), "/toolchain/bin:/usr/bin:/bin".to_owned());
    let seen = run(policy).await;
    assert!(seen.ok().contains("1 passed"));
}

#[tokio::test]
async fn node_runs_where_there_is_one() {
    let Some(node) = ["/usr/bin/node", "/usr/local/bin/node"].iter().find(|path| Path::new(path).exists())
    else {
        return;
    };
    let script = "const w=require('worker_threads');const fs=require('fs');fs.writeFileSync('/tmp/x','1');
        const h=require('http').createServer((q,s)=>s.end('http')).listen(0,'127.0.0.1',()=>
        require('http').get({port:h.address().port,host:'127.0.0.1'},r=>{r.on('data',d=>{console.log(''+d);process.exit(0)})}))";
    let lease = lease();
    assert_eq!(run(policy(lease.uid(), &[node, "-e", script])).await.ok(), "http\n");
}

#[tokio::test]
async fn a_readable_folder_is_not_needed_for_the_callers_current_one() {
    let folder = open_folder();
    assert!(folder.path().exists());
    assert_eq!(inside("pwd; umask; hostname").await.ok(), "/tmp\n0022\nsandbox\n");
}
