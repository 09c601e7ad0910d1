//! Which files a test runner, a build or CI reads by itself.
//!
//! One embedded table, `check-patterns.toml`. It errs on the side of naming too much: a contract that means
//! such a file says so in `may_change_checks`. It cannot know files that a project's own scripts read.

use std::sync::OnceLock;

use serde::Deserialize;

use super::globs::PathGlobs;
use crate::vocab::Digest;

const EMBEDDED: &str = include_str!("check-patterns.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    group: Vec<CheckGroup>,
}

/// Patterns that belong together.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckGroup {
    /// A heading.
    pub name: String,
    /// Why these matter.
    pub reason: String,
    /// Gitignore-style globs.
    pub patterns: Vec<String>,
}

/// The table, ready to match.
#[derive(Debug)]
pub struct CheckPatterns {
    groups: Vec<CheckGroup>,
    globs: PathGlobs,
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
            let all: Vec<&String> = table.group.iter().flat_map(|group| &group.patterns).collect();
            let globs = PathGlobs::new(&all).expect("the embedded check patterns are globs");
            Self { groups: table.group, globs }
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
        self.globs.matching_bytes(path, true)
    }

    /// The groups with their reasons, in the order of the table.
    #[must_use]
    pub fn groups(&self) -> &[CheckGroup] {
        &self.groups
    }

    /// Digest of the table's exact text; part of the policy digest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(EMBEDDED.as_bytes())
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
            ("pkg/test_a.py", "test_*.py"),
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
        for path in
            ["src/lib.rs", "README.md", "src/main.py", "lib/testing.rs", "docs/latest.md", "contest.py"]
        {
            assert_eq!(CheckPatterns::embedded().matching(path), None, "{path}");
        }
    }

    #[test]
    fn every_group_says_why_and_no_pattern_stands_twice() {
        let groups = CheckPatterns::embedded().groups();
        let mut all: Vec<&String> = groups.iter().flat_map(|group| &group.patterns).collect();
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(count, all.len());
        assert!(groups.iter().all(|group| group.reason.len() > 10));
    }
}
