//! Which paths the *base* tree's ignore files ignore, read from its blobs and from nowhere else.
//!
//! An engine can write ignore files, a user has global ones: neither counts. Semantics are those of
//! gitignore(5): the nearest file decides, in it the last line that matches; below an ignored folder everything
//! is ignored.

use git2::Tree;

use super::git::Scratch;
use super::wildmatch;

/// Larger ignore files are not read, as in git (100 MiB there; nobody writes one of 1 MiB).
const MAX_IGNORE_BYTES: usize = 1 << 20;

/// The rules in force in one folder: its own file's and those of the folders above.
#[derive(Debug, Clone, Default)]
pub(super) struct Ignores {
    /// From the top down; each with the length of its folder's path, slash included.
    files: Vec<(usize, Vec<Rule>)>,
    /// Below an ignored folder everything is, and no ignore file there is read, also where the base tracks some of
    /// it.
    everything: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    pattern: Vec<u8>,
    /// How much of the pattern is literal; git compares this much before it matches the rest.
    literal: usize,
    negated: bool,
    only_folders: bool,
    only_name: bool,
}

impl Ignores {
    /// Adds the ignore file of `folder` (`path` is its path with a slash at the end, or empty at the top).
    /// Links are not followed, as in git.
    pub(super) fn enter(
        &self,
        git: &Scratch,
        folder: Option<&Tree<'_>>,
        path: &[u8],
    ) -> Result<Self, git2::Error> {
        let mut inner = self.clone();
        if self.everything {
            return Ok(inner);
        }
        let Some(entry) = folder.and_then(|folder| folder.get_name(".gitignore")) else { return Ok(inner) };
        if !matches!(entry.filemode(), 0o100_644 | 0o100_755) {
            return Ok(inner);
        }
        let blob = git.repo().find_blob(entry.id())?;
        if blob.size() <= MAX_IGNORE_BYTES {
            inner.files.push((path.len(), rules(blob.content())));
        }
        Ok(inner)
    }

    /// The rules to hand to the folder `path` (with or without a slash at the end).
    pub(super) fn below(&self, path: &[u8]) -> Self {
        let path = path.strip_suffix(b"/").unwrap_or(path);
        Self { everything: self.cover(path, true), ..self.clone() }
    }

    /// Whether `path` (from the top, in the folder these rules are in force for) is ignored.
    pub(super) fn cover(&self, path: &[u8], is_folder: bool) -> bool {
        if self.everything {
            return true;
        }
        for (prefix, rules) in self.files.iter().rev() {
            let below = path.get(*prefix..).unwrap_or(path);
            if let Some(rule) = rules.iter().rev().find(|rule| rule.matches(below, is_folder)) {
                return !rule.negated;
            }
        }
        false
    }
}

impl Rule {
    fn parse(mut line: &[u8]) -> Self {
        let negated = line.first() == Some(&b'!');
        line = line.get(usize::from(negated)..).unwrap_or(&[]);
        let only_folders = line.last() == Some(&b'/');
        line = line.strip_suffix(b"/").unwrap_or(line);
        let only_name = !line.contains(&b'/');
        let line = line.strip_prefix(b"/").unwrap_or(line);
        let literal = line.iter().position(|byte| b"*?[\\".contains(byte)).unwrap_or(line.len());
        Self { pattern: line.to_vec(), literal, negated, only_folders, only_name }
    }

    fn matches(&self, path: &[u8], is_folder: bool) -> bool {
        if self.only_folders && !is_folder {
            return false;
        }
        if self.only_name {
            let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
            return wildmatch::matches(&self.pattern, name);
        }
        let (Some((before, pattern)), Some((start, text))) =
            (self.pattern.split_at_checked(self.literal), path.split_at_checked(self.literal))
        else {
            return false;
        };
        before == start && wildmatch::matches(pattern, text)
    }
}

fn rules(mut text: &[u8]) -> Vec<Rule> {
    text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let lines = text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let lines = lines.filter(|line| line.first() != Some(&b'#')).map(without_trailing_blanks);
    lines.filter(|line| !line.is_empty()).map(Rule::parse).collect()
}

/// Trailing blanks do not count unless a backslash protects them.
fn without_trailing_blanks(line: &[u8]) -> &[u8] {
    let mut end = 0;
    let mut at = 0;
    while let Some(byte) = line.get(at) {
        at += if *byte == b'\\' { 2 } else { 1 };
        if *byte != b' ' {
            end = at.min(line.len());
        }
    }
    line.get(..end).unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};

    use super::*;

    const PATHS: &[(&str, bool)] = &[
        ("a", false),
        ("b", false),
        ("ab", false),
        ("a.c", false),
        ("a b", false),
        ("a ", false),
        ("!a", false),
        ("#a", false),
        ("d", true),
        ("d/a", false),
        ("d/ab", false),
        ("d/a.c", false),
        ("d/e", true),
        ("d/e/a", false),
        ("d/e/f", true),
        ("d/e/f/a", false),
        ("d/e/f/b", false),
        ("x", true),
        ("x/d", true),
        ("x/d/a", false),
        ("x/d/e", true),
        ("x/d/e/b", false),
        ("ä", false),
        ("d-", false),
        ("d]", false),
    ];

    /// Git's answer: with `top` as `/.gitignore` and `inner` as `/d/.gitignore`.
    struct Oracle(tempfile::TempDir);

    impl Oracle {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            for (path, is_folder) in PATHS {
                let path = dir.path().join(path);
                if *is_folder { fs::create_dir(path).unwrap() } else { fs::write(path, "").unwrap() }
            }
            let oracle = Self(dir);
            assert!(oracle.git().args(["init", "-q"]).status().unwrap().success());
            oracle
        }

        fn git(&self) -> Command {
            let mut git = Command::new("git");
            git.current_dir(self.0.path()).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
            git.env("HOME", self.0.path()).env("GIT_CONFIG_NOSYSTEM", "1");
            git
        }

        fn ignored(&self, top: &str, inner: &str) -> Vec<String> {
            fs::write(self.0.path().join(".gitignore"), top).unwrap();
            fs::write(self.0.path().join("d/.gitignore"), inner).unwrap();
            let mut git = self.git();
            git.args(["check-ignore", "--no-index", "--stdin", "-z"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped());
            let mut child = git.spawn().unwrap();
            let mut stdin = child.stdin.take().unwrap();
            for (path, _) in PATHS {
                stdin.write_all(format!("{path}\0").as_bytes()).unwrap();
            }
            drop(stdin);
            let out = child.wait_with_output().unwrap();
            String::from_utf8(out.stdout).unwrap().split_terminator('\0').map(str::to_owned).collect()
        }
    }

    fn ours(top: &str, inner: &str) -> Vec<String> {
        let at_top = Ignores { files: vec![(0, rules(top.as_bytes()))], ..Ignores::default() };
        // From folder to folder, as a tree is read.
        let in_folder = |folder: &str| {
            let above = folder.match_indices('/').map(|(at, _)| folder.get(..=at).unwrap());
            above.fold(at_top.clone(), |outer, folder| {
                let mut rules_of = outer.below(folder.as_bytes());
                if folder == "d/" && !rules_of.everything {
                    rules_of.files.push((2, rules(inner.as_bytes())));
                }
                rules_of
            })
        };
        let covered = |(path, is_folder): &&(&str, bool)| {
            let folder = path.get(..path.rfind('/').map_or(0, |at| at + 1)).unwrap();
            in_folder(folder).cover(path.as_bytes(), *is_folder)
        };
        PATHS.iter().filter(covered).map(|(path, _)| (*path).to_owned()).collect()
    }

    #[test]
    fn a_table_of_ignore_files_means_what_git_means() {
        let oracle = Oracle::new();
        for (top, inner) in [
            ("a", ""),
            ("/a", ""),
            ("d/", ""),
            ("d/a", ""),
            ("d/*", ""),
            ("d/**", ""),
            ("**/a", ""),
            ("a\n!a", ""),
            ("a", "!a"),
            ("*.c", "!a.c"),
            ("*", "!a"),
            ("d/*\n!d/e/", ""),
            ("d/e\n!d/e/a", ""),
            ("a b", ""),
            ("a ", ""),
            ("a\\ ", ""),
            ("\\#a", ""),
            ("#a", ""),
            ("\\!a", ""),
            ("!a", ""),
            ("a\r\nb\r\n", ""),
            ("\u{feff}a", ""),
            ("[ab]", ""),
            ("[!a]", ""),
            ("d/[[:alpha:]]", ""),
            ("d[]-]", ""),
            ("x/**/b", ""),
            ("**", ""),
            ("d**/a", ""),
            ("?", ""),
            ("/", ""),
            ("//", ""),
            ("", "/a"),
            ("", "e/"),
            ("", "e/*/a"),
            ("a\\", ""),
            ("[", ""),
            ("*/a", ""),
            ("d/**/a", ""),
            ("d/e/**/**/a", ""),
            ("ä", ""),
            ("*a*", ""),
        ] {
            assert_eq!(ours(top, inner), oracle.ignored(top, inner), "{top:?} {inner:?}");
        }
    }

    #[test]
    fn random_ignore_files_mean_what_git_means() {
        let oracle = Oracle::new();
        let token = prop::sample::select(vec![
            "a",
            "b",
            "d",
            "e",
            "x",
            "/",
            "/",
            "*",
            "*",
            "**",
            "?",
            "[ab]",
            "[!a]",
            "[^d-x]",
            "[]a]",
            "\\a",
            "\\*",
            "[[:alpha:]]",
            "[[:x:]]",
            "[a",
            "]",
            "-",
            " ",
            "d/",
            "/**/",
            "**/",
            "!",
            "#",
            "\n",
            "\n!",
            "\\",
        ]);
        let file = prop::collection::vec(token, 0..7).prop_map(|tokens| tokens.concat());
        let mut runner =
            TestRunner::new(Config { cases: 500, failure_persistence: None, ..Config::default() });
        runner
            .run(&(file.clone(), file), |(top, inner)| {
                prop_assert_eq!(ours(&top, &inner), oracle.ignored(&top, &inner), "{:?} {:?}", top, inner);
                Ok(())
            })
            .unwrap();
    }
}
