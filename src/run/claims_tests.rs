//! Claims about commands against a tree of programs.

use super::*;
use crate::process::{Executed, Seen};
use crate::vocab::Timestamp;

/// A tree in which process 1 is the engine; each of `programs` is its child and ended with the status beside it.
fn tree(programs: &[(&[&str], &str)], complete: bool) -> ProcessTree {
    let mut tree = ProcessTree::default();
    let at = Timestamp::now();
    let executed = |process, parent, argv: &[&str]| {
        Seen::Executed(Executed {
            process,
            parent,
            pid: 1,
            program: argv[0].to_owned(),
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            cut: false,
            cwd: "/workspace".to_owned(),
            at,
        })
    };
    tree.take(executed(1, 0, &["/engine/program"]), "engine");
    for (index, (argv, status)) in programs.iter().enumerate() {
        let process = index as u64 + 2;
        tree.take(executed(process, 1, argv), "engine");
        tree.take(Seen::Ended { process, status: (*status).to_owned(), at }, "engine");
    }
    let executed = programs.len() as u64 + 1;
    if complete {
        let (refused, sought) = Default::default();
        tree.take(Seen::Sum { executed, processes: executed, refused, sought }, "engine");
    }
    tree
}

fn claim(command: &str, exit_code: Option<i64>) -> CommandClaim {
    CommandClaim { command: command.to_owned(), exit_code }
}

#[test]
fn a_command_is_found_however_it_is_written() {
    for (argv, command) in [
        (&["cargo", "test"][..], "cargo test"),
        (&["/usr/bin/cargo", "test"], "cargo test"),
        (&["/bin/bash", "-lc", "cargo test"], "cargo test"),
        (&["/bin/bash", "-lc", "cargo test"], "/bin/bash -lc 'cargo test'"),
        (&["/bin/bash", "-lc", "cargo test"], "bash -lc \"cargo test\""),
        (&["/bin/sh", "./run.sh", "a b"], "./run.sh 'a b'"),
        (&["printf", "a\"b"], "printf a\\\"b"),
    ] {
        let tree = tree(&[(argv, "exited:0")], true);
        assert_eq!(on_command(&claim(command, Some(0)), &tree), "agrees", "{command}");
        assert!(on_command(&claim(command, Some(1)), &tree).starts_with("contradicts: "), "{command}");
    }
    let other = tree(&[(&["cargo", "build"], "exited:0")], true);
    assert!(on_command(&claim("cargo test", Some(0)), &other).starts_with("not seen"));
}

#[test]
fn a_lie_about_a_check_is_a_finding() {
    let failed = tree(&[(&["cargo", "test"], "exited:101")], true);
    let found = contradiction(&claim("cargo test", Some(0)), &failed).unwrap();
    assert!(found.sentence.contains("exited:101") && found.weight == Verdict::Fail, "{}", found.sentence);
    let never = contradiction(&claim("cargo test", Some(0)), &tree(&[], true)).unwrap();
    assert!(never.sentence.contains("never executed"), "{}", never.sentence);
    // It passed in the end; it says itself that it failed; not everything was seen.
    let twice = tree(&[(&["cargo", "test"], "exited:101"), (&["cargo", "test"], "exited:0")], true);
    assert_eq!(contradiction(&claim("cargo test", Some(0)), &twice), None);
    assert_eq!(contradiction(&claim("cargo test", Some(1)), &failed), None);
    assert_eq!(contradiction(&claim("cargo test", Some(0)), &tree(&[], false)), None);
}

#[test]
fn what_was_never_said_is_told_once() {
    let tree =
        tree(&[(&["ls"], "exited:0"), (&["curl", "x"], "exited:7"), (&["curl", "x"], "exited:7")], true);
    let claims = Claims { commands: vec![claim("ls", Some(0))], ..Claims::default() };
    assert_eq!(unclaimed(&claims, &tree), ["curl x"]);
}
