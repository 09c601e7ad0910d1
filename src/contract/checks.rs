//! Which files a test runner, a build or CI reads by itself.
//!
//! One embedded table, `check-patterns.toml`. It errs on the side of naming too much: a contract that means
//! such a file says so in `may_change_checks`. It cannot know files that a project's own scripts read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use serde::Deserialize;

use super::globs::PathGlobs;
use crate::vocab::Digest;

const EMBEDDED: &str = include_str!("check-patterns.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    group: Vec<CheckGroup>,
    python: PythonModules,
}

/// Modules whose place another file can take.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PythonModules {
    /// Where such a file is found first: the top, and what projects put on the path.
    folders: Vec<String>,
    library: BTreeSet<String>,
    runners: BTreeSet<String>,
}

/// Patterns that belong together.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckGroup {
    /// A heading.
    pub name: String,
    /// Why these matter.
    pub reason: String,
    /// Whether upper and lower case differ.
    #[serde(default)]
    pub exact_case: bool,
    /// Gitignore-style globs.
    pub patterns: Vec<String>,
}

/// The table, ready to match.
#[derive(Debug)]
pub struct CheckPatterns {
    groups: Vec<CheckGroup>,
    exact: OnceLock<PathGlobs>,
    /// Of the pattern in lower case, for paths in lower case.
    any_case: OnceLock<PathGlobs>,
    /// Patterns in lower case → as they are in the table.
    written: BTreeMap<String, String>,
    python: PythonModules,
}

impl CheckPatterns {
    /// The table that is part of this program.
    #[must_use]
    #[expect(
        clippy::expect_used,
        clippy::missing_panics_doc,
        reason = "the text is part of the program, and a test reads it"
    )]
    pub fn embedded() -> &'static Self {
        static TABLE: OnceLock<CheckPatterns> = OnceLock::new();
        TABLE.get_or_init(|| {
            let table: Table =
                toml::from_str(EMBEDDED).expect("the embedded check-patterns.toml is well formed");
            let any_case = table.group.iter().filter(|group| !group.exact_case);
            let patterns = any_case.flat_map(|group| &group.patterns);
            Self {
                exact: OnceLock::new(),
                any_case: OnceLock::new(),
                written: patterns.map(|pattern| (pattern.to_ascii_lowercase(), pattern.clone())).collect(),
                python: table.python,
                groups: table.group,
            }
        })
    }

    /// The pattern that names the file `path` (relative) or a folder above it.
    #[must_use]
    pub fn matching(&self, path: &str) -> Option<&str> {
        self.matching_bytes(path.as_bytes())
    }

    /// As [`Self::matching`], for a path that may not be UTF-8.
    #[must_use]
    pub fn matching_bytes(&self, path: &[u8]) -> Option<&str> {
        // A patch can put a file, a link or a folder under the name, so folder patterns count for each of them.
        let any_case = || self.globs(false).matching_bytes(&path.to_ascii_lowercase(), true);
        let as_written = |pattern: &str| self.written.get(pattern).map(String::as_str);
        let by_glob = self.globs(true).matching_bytes(path, true).or_else(|| any_case().and_then(as_written));
        by_glob.or_else(|| self.python.shadowed(path))
    }

    /// The groups with their reasons, in the order of the table.
    #[must_use]
    pub fn groups(&self) -> &[CheckGroup] {
        &self.groups
    }

    /// Digest of the table's exact text; part of the policy digest.
    #[must_use]
    pub fn digest() -> Digest {
        Digest::of(EMBEDDED.as_bytes())
    }

    /// One of the two sets of globs, compiled when a first path is looked at: many runs change nothing.
    #[expect(clippy::expect_used, reason = "the text is part of the program, and a test reads it")]
    fn globs(&self, exact_case: bool) -> &PathGlobs {
        let globs =
            |patterns: &[String]| PathGlobs::new(patterns).expect("the embedded check patterns are globs");
        if exact_case {
            let groups = self.groups.iter().filter(|group| group.exact_case);
            self.exact
                .get_or_init(|| globs(&groups.flat_map(|group| &group.patterns).cloned().collect::<Vec<_>>()))
        } else {
            self.any_case.get_or_init(|| globs(&self.written.keys().cloned().collect::<Vec<_>>()))
        }
    }
}

impl PythonModules {
    /// The module whose place `path` takes.
    fn shadowed(&self, path: &[u8]) -> Option<&str> {
        let path = std::str::from_utf8(path).ok()?;
        let mut below = self.folders.iter().filter_map(|folder| path.strip_prefix(folder.as_str()));
        below.find_map(|path| self.named(path))
    }

    fn named(&self, path: &str) -> Option<&str> {
        let last = path.rsplit('/').next().unwrap_or(path);
        let compiled = [".py", ".pyc", ".pyd", ".so"].iter().any(|end| last.ends_with(end));
        let (module, in_folder) = match path.split_once('/') {
            Some((folder, _)) => (folder, true),
            None => (path.split('.').next().unwrap_or(path), false),
        };
        let counts = compiled || (!in_folder && !path.contains('.'));
        let known = self.library.get(module).or_else(|| self.runners.get(module));
        known.filter(|_| counts).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_decide_what_a_check_means_are_named() {
        let table = CheckPatterns::embedded();
        for (path, pattern) in [
            ("Cargo.toml", "Cargo.toml"),
            ("crates/a/build.rs", "build.rs"),
            (".cargo/config.toml", ".cargo/"),
            ("web/package.json", "package.json"),
            ("Makefile", "Makefile"),
            ("pkg/conftest.py", "conftest.py"),
            ("sitecustomize.py", "sitecustomize.py"),
            ("src/deep/tests/it.rs", "tests/"),
            ("src/a.test.ts", "*.test.*"),
            ("pkg/test_a.py", "test*.py"),
            ("testsum.py", "test*.py"),
            ("sum-test.mjs", "*[-_]test.[cm][jt]s"),
            ("sum_test.mjs", "*[-_]test.[cm][jt]s"),
            ("a/sum_test.ts", "*[-_]test.[jt]s"),
            ("test-sum.cjs", "test[-_]*.[cm][jt]s"),
            ("test.mjs", "test.[cm][jt]s"),
            ("a/b_spec.js", "*[-_]spec.[jt]s"),
            ("src/TestSum.java", "Test*.java"),
            ("src/SumTestCase.java", "*TestCase.java"),
            ("SumTest.cs", "*Test.cs"),
            ("SumSpec.scala", "*Spec.scala"),
            ("SumTest.scala", "*Test.scala"),
            ("SumTests.swift", "*Tests.swift"),
            ("lib/basic.t", "*.t"),
            ("GNUMakefile", "GNUmakefile"),
            ("MAKEFILE", "Makefile"),
            ("Tests/a.c", "tests/"),
            ("_weakrefset.py", "/_[!_]*.py"),
            ("src/_weakrefset.py", "_weakrefset"),
            ("argparse.so", "/*.so"),
            ("lib/argparse.cpython-313-x86_64-linux-gnu.so", "/lib/*.so"),
            ("__future__.py", "__future__"),
            ("json/__init__.py", "json"),
            ("src/json/decoder.pyc", "*.pyc"),
            ("python/pluggy/__init__.py", "pluggy"),
            ("tomllib", "tomllib"),
            ("a/b_test.go", "*_test.go"),
            (".github/workflows/ci.yml", ".github/"),
            ("requirements-dev.txt", "requirements*.txt"),
            (".gitattributes", ".gitattributes"),
            ("tests", "tests/"),
        ] {
            assert_eq!(table.matching(path), Some(pattern), "{path}");
        }
    }

    #[test]
    fn ordinary_sources_are_not() {
        for path in [
            "src/lib.rs",
            "README.md",
            "src/main.py",
            "lib/testing.rs",
            "docs/latest.md",
            "contest.py",
            "src/Commit.java",
            "src/Latest.java",
            "src/contest.mjs",
            "docs/how-to-test.md",
            "src/types/index.ts",
            "html/index.html",
            "src/json.rs",
            "app/json/__init__.py",
            "native/lib.so",
        ] {
            assert_eq!(CheckPatterns::embedded().matching(path), None, "{path}");
        }
    }

    #[test]
    fn every_group_says_why_and_no_pattern_stands_twice() {
        let groups = CheckPatterns::embedded().groups();
        let mut all: Vec<String> =
            groups.iter().flat_map(|group| &group.patterns).map(|one| one.to_ascii_lowercase()).collect();
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(count, all.len());
        assert!(groups.iter().all(|group| group.reason.len() > 10));
    }
}
