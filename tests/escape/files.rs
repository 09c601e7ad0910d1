//! What can be read and written.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use cto_harness::sandbox::{Bind, Sandbox};
use cto_harness::workspace::{TreeForm, TreeMount, Upper};

use super::rig::{inside, is_root, lease, open_folder, outside, own, owned_folder, policy, run, stub};

#[tokio::test]
async fn a_file_of_the_host_can_be_neither_read_nor_written() {
    let folder = open_folder();
    let file = folder.path().join("precious");
    std::fs::write(&file, "before").unwrap();
    let name = file.display();
    assert!(outside(&format!("cat {name} && echo during > {name}")));
    let seen = inside(&format!("cat {name} || echo after > {name} || echo neither")).await;
    assert_eq!(seen.ok(), "neither\n");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "during\n");
}

#[tokio::test]
async fn nothing_but_the_system_exists_and_only_tmp_can_be_written() {
    let script = "ls -A /; for d in / /etc /usr /usr/bin /dev /proc /proc/sys/kernel /run /var; do
        touch $d/planted 2>/dev/null && echo wrote $d; done; touch /tmp/x /dev/shm/x && echo scratch";
    let seen = inside(script).await.ok();
    let allowed = [
        "bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "run", "sbin", "tmp", "usr", "var",
        "scratch",
    ];
    assert!(seen.lines().all(|line| allowed.contains(&line)), "{seen}");
    assert!(seen.contains("scratch"));
    let home =
        inside("ls -A $HOME /tmp/home; ls /root /home /sys 2>/dev/null; cat /etc/shadow 2>/dev/null; true")
            .await;
    assert_eq!(home.ok(), "/tmp/home:\n\n/tmp/home:\n");
}

#[tokio::test]
async fn kernel_knobs_and_other_peoples_terminals_are_covered() {
    let script =
        "wc -c < /proc/kcore; wc -c < /proc/keys; ls -A /proc/irq /proc/bus | grep -v : ; ls /dev/pts;
        echo b > /proc/sysrq-trigger && echo rebooted; echo 1 > /proc/sys/kernel/panic && echo knob; true";
    let seen = inside(script).await.ok();
    assert!(!seen.contains("rebooted") && !seen.contains("knob"), "{seen}");
    let words: Vec<_> = seen.split_whitespace().collect();
    assert!(words.iter().all(|word| ["0", "ptmx"].contains(word)), "{seen}");
}

#[tokio::test]
async fn writes_to_an_overlay_leave_the_lower_alone_and_lie_in_the_upper() {
    let lease = lease();
    let (lower, upper) = (owned_folder(lease.uid()), owned_folder(lease.uid()));
    std::fs::write(lower.path().join("a"), "base").unwrap();
    own(&lower.path().join("a"), lease.uid());
    for name in ["upper", "work"] {
        std::fs::create_dir(upper.path().join(name)).unwrap();
        own(&upper.path().join(name), lease.uid());
    }
    let form = TreeForm::Overlay {
        lowers: vec![lower.path().to_owned()],
        upper: Upper::Disk { dir: upper.path().to_owned() },
    };
    let tree = TreeMount { at: "/workspace".into(), form };
    let script = "cat a; echo changed > a; echo new > b; mkdir d; mv b d/c; pwd";
    let seen = run(policy(lease.uid(), &["bash", "-c", script]).in_tree(tree)).await;
    assert_eq!(seen.ok(), "base/workspace\n");
    assert_eq!(std::fs::read_to_string(lower.path().join("a")).unwrap(), "base");
    assert_eq!(std::fs::read_to_string(upper.path().join("upper/a")).unwrap(), "changed\n");
    assert_eq!(std::fs::read_to_string(upper.path().join("upper/d/c")).unwrap(), "new\n");
}

#[tokio::test]
async fn a_tmpfs_upper_is_gone_and_bounded() {
    let lease = lease();
    let lower = owned_folder(lease.uid());
    let upper = Upper::Tmpfs { bytes: 1 << 20, inodes: 64 };
    let form = TreeForm::Overlay { lowers: vec![lower.path().to_owned()], upper };
    let tree = TreeMount { at: "/workspace".into(), form };
    let script =
        "head -c 4000000 /dev/zero > big; for i in $(seq 100); do : > f$i; done 2>/dev/null || echo bounded";
    let seen = run(policy(lease.uid(), &["bash", "-c", script]).in_tree(tree)).await;
    assert!(seen.err.contains("No space left"), "{seen:?}");
    assert_eq!(std::fs::read_dir(lower.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_read_only_tree_of_one_or_two_layers_refuses_writes() {
    let lease = lease();
    let (one, two) = (owned_folder(lease.uid()), owned_folder(lease.uid()));
    std::fs::write(one.path().join("a"), "upper\n").unwrap();
    std::fs::write(two.path().join("a"), "lower\n").unwrap();
    std::fs::write(two.path().join("b"), "lower\n").unwrap();
    let all = [one.path().to_owned(), two.path().to_owned()];
    for (lowers, expected) in [(&all[..], "upper\nlower\n"), (&all[1..], "lower\nlower\n")] {
        let form = TreeForm::ReadOnly { lowers: lowers.to_vec() };
        let tree = TreeMount { at: "/workspace".into(), form };
        let script = "cat a b; touch a || touch new || rm a || exit 0; echo written";
        let seen = run(policy(lease.uid(), &["bash", "-c", script]).in_tree(tree)).await;
        assert_eq!(seen.ok(), expected);
    }
}

#[tokio::test]
async fn a_protected_file_cannot_be_changed_or_moved_away() {
    let lease = lease();
    let (lower, outer) = (owned_folder(lease.uid()), open_folder());
    std::fs::create_dir_all(lower.path().join("tests")).unwrap();
    own(&lower.path().join("tests"), lease.uid());
    let check = outer.path().join("check");
    std::fs::write(&check, "right\n").unwrap();
    let upper = Upper::Tmpfs { bytes: 1 << 20, inodes: 64 };
    let form = TreeForm::Overlay { lowers: vec![lower.path().to_owned()], upper };
    let mut policy = policy(
        lease.uid(),
        &["bash", "-c", "for f in tests/check new/deep/check; do
            echo wrong > $f; rm -f $f; mv -f $f x; ln -f $f y && echo wrong > y; mv ${f%%/*} away; rm -rf ${f%%/*}
            mkdir -p ${f%/*}; echo wrong > $f; cat $f; done 2>/dev/null"],
    )
    .in_tree(TreeMount { at: "/workspace".into(), form });
    for to in ["/workspace/tests/check", "/workspace/new/deep/check"] {
        policy.files.push(Bind::new(&check, to));
    }
    assert_eq!(run(policy).await.ok(), "right\nright\n");
    assert_eq!(std::fs::read_to_string(&check).unwrap(), "right\n");
}

#[tokio::test]
async fn binds_are_what_they_say() {
    let lease = lease();
    let (fixed, free) = (open_folder(), owned_folder(lease.uid()));
    std::fs::write(fixed.path().join("a"), "fixed\n").unwrap();
    let mut policy = policy(
        lease.uid(),
        &["bash", "-c", "cat /ro/a; touch /ro/b && echo bad; echo x > /rw/b && echo good; true"],
    );
    policy.read_only.push(Bind::new(fixed.path(), "/ro"));
    policy.writable.push(Bind::new(free.path(), "/rw"));
    assert_eq!(run(policy).await.ok(), "fixed\ngood\n");
    assert_eq!(std::fs::read_to_string(free.path().join("b")).unwrap(), "x\n");
}

/// What every root has is made before the payload's identity is known; places can be made in all of its folders.
#[tokio::test]
async fn a_folder_can_be_laid_beside_whatever_is_shown() {
    let lease = lease();
    let folder = open_folder();
    std::fs::write(folder.path().join("a"), "laid\n").unwrap();
    for at in ["/beside", "/etc/beside", "/etc/ssl/beside", "/etc/pki/tls/beside", "/run/a/b", "/var/lib/c"] {
        let mut policy = policy(lease.uid(), &["bash", "-c", &format!("cat {at}/a; ls -d /etc/ssl/certs")]);
        policy.read_only.push(Bind::new(folder.path(), at));
        let said = run(policy).await.ok();
        assert!(said.starts_with("laid\n"), "{at}: {said}");
    }
}

#[tokio::test]
async fn a_mount_place_behind_a_planted_link_is_refused() {
    let lease = lease();
    let lower = owned_folder(lease.uid());
    std::os::unix::fs::symlink("/usr", lower.path().join("tests")).unwrap();
    let form = TreeForm::Overlay {
        lowers: vec![lower.path().to_owned()],
        upper: Upper::Tmpfs { bytes: 1 << 20, inodes: 64 },
    };
    let mut policy = policy(lease.uid(), &["true"]).in_tree(TreeMount { at: "/workspace".into(), form });
    policy.files.push(Bind::new("/etc/hostname", "/workspace/tests/check"));
    let refused = Sandbox::establish_with(policy, &stub()).unwrap_err();
    assert!(refused.to_string().contains("/workspace/tests/check"), "{refused}");
}

#[tokio::test]
async fn sources_that_only_the_caller_reaches_work_and_stay_closed_to_the_payload() {
    let lease = lease();
    let private = tempfile::tempdir().unwrap();
    let tree = private.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    std::fs::write(tree.join("a"), "inner\n").unwrap();
    let mut policy = policy(lease.uid(), &["bash", "-c", "cat /ro/a; ls /ro/.."]);
    policy.read_only.push(Bind::new(&tree, "/ro"));
    let seen = run(policy).await.ok();
    assert!(seen.starts_with("inner\n") && !seen.contains("tree"), "{seen}");
}

#[tokio::test]
async fn root_gains_nothing_over_its_own_files() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("roots");
    std::fs::write(&file, "secret").unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let lease = lease();
    let mut policy =
        policy(lease.uid(), &["bash", "-c", "id -u; cat /rw/roots || echo x > /rw/roots || echo refused"]);
    policy.writable.push(Bind::new(folder.path(), "/rw"));
    assert!(Path::new(&file).exists());
    assert_eq!(run(policy).await.ok(), "1000\nrefused\n");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "secret");
}

#[tokio::test]
async fn a_socket_in_a_folder_that_is_handed_in_is_no_door() {
    let lease = lease();
    let folder = open_folder();
    let socket = folder.path().join("s");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o777)).unwrap();
    let connect = |path: &str| {
        format!("import socket; socket.socket(socket.AF_UNIX).connect('{path}'); print('connected')")
    };
    assert!(outside(&format!("python3 -c \"{}\"", connect(socket.to_str().unwrap()))), "positive control");
    let mut policy = policy(lease.uid(), &["python3", "-c", &connect("/ro/s")]);
    policy.read_only.push(Bind::new(folder.path(), "/ro"));
    let seen = run(policy).await;
    assert!(seen.err.contains("ConnectionRefusedError"), "{seen:?}");
}

#[tokio::test]
async fn a_folder_above_an_input_cannot_be_moved_away_from_it() {
    let lease = lease();
    let (lower, input) = (owned_folder(lease.uid()), open_folder());
    // `third` is not in the base: a folder of the upper layer can be renamed, one of the base is copied.
    std::fs::write(input.path().join("lib"), "recorded\n").unwrap();
    let form = TreeForm::Overlay {
        lowers: vec![lower.path().to_owned()],
        upper: Upper::Tmpfs { bytes: 1 << 20, inodes: 64 },
    };
    let script = "mkdir free && mv free moved && echo control; mv third away; mkdir -p third/deps; \
                  echo forged > third/deps/lib; echo forged > third/check; cat third/deps/lib third/check";
    let mut policy = policy(lease.uid(), &["bash", "-c", script]);
    policy = policy.in_tree(TreeMount { at: "/workspace".into(), form });
    policy.read_only.push(Bind::new(input.path(), "/workspace/third/deps"));
    policy.files.push(Bind::new(input.path().join("lib"), "/workspace/third/check"));
    let seen = run(policy).await;
    assert_eq!(seen.out, "control\nrecorded\nrecorded\n", "{seen:?}");
}

#[tokio::test]
async fn what_is_handed_into_a_read_only_tree_is_there() {
    let lease = lease();
    let (lower, input) = (owned_folder(lease.uid()), open_folder());
    std::fs::write(lower.path().join("a"), "base\n").unwrap();
    std::fs::write(input.path().join("lib"), "input\n").unwrap();
    let form = TreeForm::ReadOnly { lowers: vec![lower.path().to_owned()] };
    let script = "cat a third/deps/lib; touch new third/new third/deps/new 2>/dev/null || echo none";
    let policy = policy(lease.uid(), &["bash", "-c", script]);
    let mut policy = policy.in_tree(TreeMount { at: "/workspace".into(), form });
    policy.read_only.push(Bind::new(input.path(), "/workspace/third/deps"));
    assert_eq!(run(policy).await.ok(), "base\ninput\nnone\n");
}
