//! Marks against what was executed and changed: what a yes covers, and that it covers nothing else.

use super::super::verdict_tests::contract;
use super::*;
use crate::process::Executed;
use crate::vocab::Timestamp;

const SHELL: &str = "/bin/bash -c 'git commit -m x'";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_micros(1_800_000_000_000_000).unwrap().plus_seconds(seconds).unwrap()
}

fn ran(process: u64, parent: u64, argv: &[&str], seconds: i64) -> Program {
    let argv: Vec<String> = argv.iter().map(|word| (*word).to_owned()).collect();
    let (program, cwd) =
        (format!("/usr/bin/{}", argv[0].trim_start_matches("/bin/")), "/workspace".to_owned());
    let executed = Executed { process, parent, pid: 1, program, argv, cut: false, cwd, at: at(seconds) };
    Program { executed, status: None, ended: None }
}

fn yes(wish: Wish) -> Yes {
    Yes { wish, cwd: "/workspace".to_owned(), at: at(10) }
}

fn seen(executed: &[Program], yes: &[Yes], all_seen: bool) -> Vec<usize> {
    let marks = ["git.commit", "command:git*"].map(|id| ActionId::parse(id).unwrap());
    let contract = TaskContract { ask_first: marks.to_vec(), ..contract() };
    let patch = super::super::verdict_tests::patch();
    let observed = AskedObservations { executed, all_seen, patch: &patch, yes };
    asked_first(&contract, &observed).iter().map(|row| row.attempts.len()).collect()
}

#[test]
fn a_yes_covers_its_command_and_what_is_below_it_once() {
    let bash = ["/bin/bash", "-c", "git commit -m x"];
    let command = || yes(Wish::Command(SHELL.to_owned()));
    let once = vec![ran(2, 1, &bash, 11), ran(3, 2, &["git", "commit", "-m", "x"], 12)];
    assert_eq!(seen(&once, &[command()], true), [0, 0]);
    assert_eq!(seen(&once, &[], true), [1, 1], "without a yes");
    assert_eq!(seen(&once, &[], false), [1, 1], "also where not everything was seen");

    let twice =
        [once.clone(), vec![ran(4, 1, &bash, 13), ran(5, 4, &["git", "commit", "-m", "x"], 14)]].concat();
    assert_eq!(seen(&twice, &[command()], true), [1, 1], "one yes is no second one");
    assert_eq!(seen(&twice, &[command(), command()], true), [0, 0]);

    let before = vec![ran(2, 1, &bash, 9), ran(3, 2, &["git", "commit", "-m", "x"], 9)];
    assert_eq!(seen(&before, &[command()], true), [1, 1], "before anybody said yes");
    let hidden =
        vec![ran(2, 1, &["/bin/bash", "-c", "make"], 11), ran(3, 2, &["git", "commit", "-m", "x"], 12)];
    assert_eq!(seen(&hidden, &[command()], true), [1, 1], "below another command");
    let replaced = vec![ran(2, 1, &bash, 11), ran(2, 1, &["git", "commit", "-m", "x"], 12)];
    assert_eq!(seen(&replaced, &[command()], true), [0, 0], "in place of its shell");
    let elsewhere = Yes { cwd: "/tmp".to_owned(), ..command() };
    assert_eq!(seen(&once, &[elsewhere], true), [1, 1], "in another folder");
}

#[test]
fn a_yes_to_a_patch_covers_the_paths_that_it_names() {
    let mark = ActionId::parse("path:src/").unwrap();
    let contract = TaskContract { ask_first: vec![mark], ..contract() };
    let patch = super::super::verdict_tests::patch();
    let changed = patch.files[0].path.clone();
    let row = |paths: Option<Vec<String>>| {
        let yes: Vec<Yes> = paths.into_iter().map(|paths| yes(Wish::Change(Some(paths)))).collect();
        let observed = AskedObservations { executed: &[], all_seen: true, patch: &patch, yes: &yes };
        asked_first(&contract, &observed).remove(0)
    };
    assert_eq!(row(None).attempts, std::slice::from_ref(&changed));
    assert_eq!(row(Some(vec!["src/another".to_owned()])).result, ActionResult::Attempted);
    assert_eq!(row(Some(vec![changed])).result, ActionResult::NoneSeen);
}
