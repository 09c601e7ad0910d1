//! Asks git itself what globs mean: a table and random ones, over real files.
//!
//! Tests only. The git program sees nothing but a folder made here, without any configuration of the machine.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::globs::{GlobError, PathGlobs};

const FILES: &[&str] = &[
    "a", "b", "c", "ab", "ba", "aab", "a.c", ".a", "A", "{a}", "a,b", "{a,b}", "a b", "ä", "-", "[", "]",
    "!", "#", "a\\", "d/a", "d/b", "d/c", "d/ab", "d/.a", "d/-", "d/e/a", "d/e/b", "d/e/f/a", "d/e/f/ab",
    "d/a-b", "e/a", "e/d/a", "e/d/b", "x/y/z/a", "x/a/y/b", "x/ä/a", "{d}/a", "d e/a",
];

/// Sets of globs, one a line, parted by ` | `.
const TABLE: &str = r"a
/a
d/
d
/d/e
d/*
d/**
**/a
d/**/a
**
**/
*/
*.c
?
d/?
[ab]
[!a]
d/[^a]
d/a[!x]b
{a,b}
{a}
\#
\!
\[
[]]
a\\
a b
A
ä
x/?/a
x/??/a
x/**/a/
/**/a
/*
*
d*/a
[a-c]
[-a]
[a-]
[!-]
d/[!x]a
[!a]/
[!a]*
a | d/e/
d/e | /b
x/*/
**/e/*
\a
\{a\}
d\ e
[!a-c]
*[!a]
d/e/**/**/a
/d/
e/d
d/e/f/a";

/// A repository whose files are [`FILES`]; git answers which of all its paths a pattern ignores.
struct Oracle(tempfile::TempDir);

impl Oracle {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let oracle = Self(dir);
        assert!(oracle.git().args(["init", "-q"]).status().unwrap().success());
        for file in FILES {
            let path = oracle.0.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        oracle
    }

    fn git(&self) -> Command {
        let mut git = Command::new("git");
        git.current_dir(self.0.path()).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        git.env("HOME", self.0.path().join(".git"))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CEILING_DIRECTORIES", "/");
        git.args([
            "-c",
            "core.ignorecase=false",
            "-c",
            "core.excludesFile=/dev/null",
            "-c",
            "safe.directory=*",
        ]);
        git
    }

    fn ignored(&self, globs: &[&str]) -> BTreeSet<String> {
        fs::write(self.0.path().join(".git/info/exclude"), globs.join("\n") + "\n").unwrap();
        let mut child = self
            .git()
            .args(["check-ignore", "--no-index", "--stdin", "-z"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        for (path, _) in universe() {
            stdin.write_all(path.as_bytes()).unwrap();
            stdin.write_all(b"\0").unwrap();
        }
        drop(stdin);
        let out = child.wait_with_output().unwrap();
        assert!(matches!(out.status.code(), Some(0 | 1)), "{:?}", out.status);
        String::from_utf8(out.stdout).unwrap().split_terminator('\0').map(str::to_owned).collect()
    }
}

/// Every file and folder, with whether it is a folder.
fn universe() -> BTreeSet<(&'static str, bool)> {
    let folders = FILES.iter().flat_map(|file| Path::new(file).ancestors().skip(1));
    let folders = folders.map(|folder| (folder.to_str().unwrap(), true)).filter(|(path, _)| !path.is_empty());
    FILES.iter().map(|file| (*file, false)).chain(folders).collect()
}

fn ours(globs: &[&str]) -> Result<BTreeSet<String>, GlobError> {
    let globs = PathGlobs::new(globs)?;
    let hits = universe().into_iter().filter(|(path, is_dir)| globs.matches(path, *is_dir));
    Ok(hits.map(|(path, _)| path.to_owned()).collect())
}

#[test]
fn a_table_of_globs_means_what_git_means() {
    let oracle = Oracle::new();
    for globs in TABLE.lines() {
        let globs: Vec<&str> = globs.split(" | ").collect();
        assert_eq!(ours(&globs).unwrap(), oracle.ignored(&globs), "{globs:?}");
    }
}

#[test]
fn random_globs_mean_what_git_means() {
    let oracle = Oracle::new();
    let token = prop::sample::select(vec![
        "a", "b", "c", "d", "e", "x", "ä", "/", "/", "*", "*", "**", "?", "[ab]", "[!a]", "[^d-x]", "[a-c-]",
        "[]a]", "\\a", "\\*", "\\[", "{", "}", ",", ".", "-", " ", "d/", "/**/", "**/", "/a", "[", "]", "\\",
    ]);
    let glob = prop::collection::vec(token, 1..6).prop_map(|tokens| tokens.concat());
    let compared = std::cell::Cell::new(0_u32);
    let mut runner = TestRunner::new(Config { cases: 300, failure_persistence: None, ..Config::default() });
    runner
        .run(&prop::collection::vec(glob, 1..3), |globs| {
            let globs: Vec<&str> = globs.iter().map(String::as_str).collect();
            if let Ok(ours) = ours(&globs) {
                compared.set(compared.get() + 1);
                prop_assert_eq!(ours, oracle.ignored(&globs), "{:?}", globs);
            }
            Ok(())
        })
        .unwrap();
    assert!(compared.get() > 60, "only {} of 300 random sets were accepted", compared.get());
}

#[test]
fn what_could_be_misread_or_escape_is_refused_with_its_place() {
    for bad in [
        "",
        " ",
        "/",
        "//",
        "!a",
        "#a",
        "..",
        "../a",
        "a/..",
        "a/../b",
        "./a",
        "~/a",
        "a//b",
        "[a",
        "[",
        "a\\",
        "a\nb",
        "a ",
        "[[:alpha:]]",
        "[a/b]",
        "[\\a]",
        "[ä]",
        "[z-a]",
        "\\../a",
        "d**",
        "**a",
        "d**/a",
        "d/***/a",
        "a/.\\./b",
    ] {
        let error = PathGlobs::new(&["ok", bad]).unwrap_err();
        assert_eq!(error.index, 1, "{bad:?}");
        assert!(!error.remedy.is_empty(), "{bad:?}");
    }
}

#[test]
fn bytes_that_are_not_utf8_are_matched_too() {
    let globs = PathGlobs::new(&["d/*"]).unwrap();
    assert_eq!(globs.matching_bytes(b"d/\xff\xfe", false), Some("d/*"));
    assert!(!globs.matches_bytes(b"\xff/x", false));
    assert!(!PathGlobs::new::<&str>(&[]).unwrap().matches("a", false));
}

proptest! {
    #[test]
    fn nothing_panics(glob in "\\PC{0,12}", path in prop::collection::vec(any::<u8>(), 0..12)) {
        if let Ok(globs) = PathGlobs::new(&[glob]) {
            std::hint::black_box(globs.matches_bytes(&path, false));
        }
    }
}
