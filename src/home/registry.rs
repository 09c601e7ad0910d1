//! `repos.toml`: which repositories may be targets, who owns them, and how much depends on them.
//!
//! An entry is a statement of the operator's. What it allows is for the gate `target.ownership`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::HomeError;

/// Whose repository it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RegisteredOwnership {
    /// Made for trying things.
    Sandbox,
    /// Somebody's.
    Owned,
}

/// How much depends on a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RegisteredCriticality {
    /// Nothing that cannot wait.
    Noncritical,
    /// People depend on it.
    Critical,
}

/// One registered repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepoEntry {
    /// Absolute, canonical path of the repository's top.
    pub path: PathBuf,
    /// The URL that stands for it in contracts; nothing is ever fetched from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Whose it is.
    pub ownership: RegisteredOwnership,
    /// Who owns it, by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// How much depends on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub criticality: Option<RegisteredCriticality>,
    /// Branches that nothing is ever published to, as globs (`*` any text, `?` any character); `None` = the usual ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected: Option<Vec<String>>,
}

/// Protected where an entry says nothing else.
pub const PROTECTED: [&str; 3] = ["main", "master", "release*"];

impl RepoEntry {
    /// The glob that protects a branch (named without `refs/heads/`), if one does.
    #[must_use]
    pub fn protects(&self, branch: &str) -> Option<&str> {
        let own = self.protected.iter().flatten().map(String::as_str);
        let usual = PROTECTED.into_iter().filter(|_| self.protected.is_none());
        own.chain(usual).find(|glob| fits(glob.as_bytes(), branch.as_bytes()))
    }
}

/// Whether all of `text` is what `glob` says.
fn fits(glob: &[u8], text: &[u8]) -> bool {
    // For each length of the text's beginning: whether the glob so far fits it.
    let mut so_far: Vec<bool> = (0..=text.len()).map(|length| length == 0).collect();
    for sign in glob {
        let mut next = Vec::with_capacity(so_far.len());
        for (length, fitted) in so_far.iter().enumerate() {
            let before = length.checked_sub(1);
            let shorter = |all: &[bool]| before.and_then(|at| all.get(at)).copied().unwrap_or(false);
            next.push(match sign {
                b'*' => *fitted || shorter(&next),
                b'?' => shorter(&so_far),
                sign => shorter(&so_far) && before.and_then(|at| text.get(at)) == Some(sign),
            });
        }
        so_far = next;
    }
    so_far.last().copied().unwrap_or(false)
}

/// Every registered repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    #[serde(default, rename = "repo", skip_serializing_if = "Vec::is_empty")]
    repos: Vec<RepoEntry>,
}

const HEADER: &str =
    "# Repositories that may be targets. Written by `cto repo add`; may be edited by hand.\n\n";

impl Registry {
    /// Parses and checks the text of `path` (used in messages only).
    pub fn parse(path: &Path, text: &str) -> Result<Self, HomeError> {
        let registry: Self = toml::from_str(text)
            .map_err(|error| HomeError::Syntax { path: path.to_owned(), problem: error.to_string() })?;
        let refuse = |field: String, problem: &str, remedy: &str| HomeError::Value {
            path: path.to_owned(),
            field,
            problem: problem.into(),
            remedy: remedy.into(),
        };
        for (n, entry) in registry.repos.iter().enumerate() {
            if !entry.path.is_absolute() {
                return Err(refuse(
                    format!("repo[{n}].path"),
                    "is a relative path",
                    "write an absolute path",
                ));
            }
            let earlier = registry.repos.iter().take(n);
            if earlier.clone().any(|other| other.path == entry.path) {
                return Err(refuse(
                    format!("repo[{n}].path"),
                    "is registered twice",
                    "remove one of the two",
                ));
            }
            if entry.url.is_some() && earlier.clone().any(|other| other.url == entry.url) {
                return Err(refuse(
                    format!("repo[{n}].url"),
                    "stands for two clones",
                    "remove one of the two",
                ));
            }
        }
        Ok(registry)
    }

    /// The file's text.
    pub(super) fn render(&self, path: &Path) -> Result<String, HomeError> {
        let body = toml::to_string(self)
            .map_err(|error| HomeError::Render { path: path.to_owned(), problem: error.to_string() })?;
        Ok(format!("{HEADER}{body}"))
    }

    /// All entries, in the order of the file.
    #[must_use]
    pub fn entries(&self) -> &[RepoEntry] {
        &self.repos
    }

    /// The entry of a canonical path.
    #[must_use]
    pub fn by_path(&self, path: &Path) -> Option<&RepoEntry> {
        self.repos.iter().find(|entry| entry.path == path)
    }

    /// The entry that a URL stands for. Compared as text.
    #[must_use]
    pub fn by_url(&self, url: &str) -> Option<&RepoEntry> {
        self.repos.iter().find(|entry| entry.url.as_deref() == Some(url))
    }

    /// Adds an entry, or replaces the one of the same path. A URL that stands for another clone is refused.
    pub fn put(&mut self, entry: RepoEntry) -> Result<(), HomeError> {
        let other =
            entry.url.as_deref().and_then(|url| self.by_url(url)).filter(|other| other.path != entry.path);
        if let Some(other) = other {
            return Err(HomeError::Value {
                path: other.path.clone(),
                field: "url".into(),
                problem: "the URL already stands for this clone".into(),
                remedy: "register the other clone without --url, or remove this entry from repos.toml".into(),
            });
        }
        match self.repos.iter_mut().find(|known| known.path == entry.path) {
            Some(known) => *known = entry,
            None => self.repos.push(entry),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::Home;

    fn entry(path: &str, url: Option<&str>) -> RepoEntry {
        RepoEntry {
            path: path.into(),
            url: url.map(str::to_owned),
            ownership: RegisteredOwnership::Sandbox,
            owner: Some("Ada".into()),
            criticality: None,
            protected: None,
        }
    }

    #[test]
    fn protected_branches_are_the_usual_ones_or_those_that_are_named() {
        let usual = entry("/r/a", None);
        for (branch, is) in [
            ("main", true),
            ("master", true),
            ("release/1", true),
            ("release", true),
            ("maint", false),
            ("cto/run-1", false),
        ] {
            assert_eq!(usual.protects(branch).is_some(), is, "{branch}");
        }
        let own = RepoEntry { protected: Some(vec!["cto/*".to_owned(), "v?.x".to_owned()]), ..usual };
        for (branch, is) in
            [("cto/run-1", true), ("main", false), ("v1.x", true), ("v10.x", false), ("ccto/x", false)]
        {
            assert_eq!(own.protects(branch).is_some(), is, "{branch}");
        }
        let none = RepoEntry { protected: Some(Vec::new()), ..own };
        assert_eq!(none.protects("main"), None);
        let many = RepoEntry { protected: Some(vec!["*".repeat(200) + "x"]), ..none };
        assert_eq!(many.protects(&"a".repeat(200)), None, "and that does not take for ever");
    }

    #[test]
    fn entries_are_kept_replaced_and_found() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        home.update_registry(|r| r.put(entry("/r/a", Some("https://h/a")))).unwrap();
        home.update_registry(|r| r.put(entry("/r/b", None))).unwrap();
        let mut changed = entry("/r/a", Some("https://h/a"));
        changed.criticality = Some(RegisteredCriticality::Noncritical);
        home.update_registry(|r| r.put(changed.clone())).unwrap();
        let registry = home.load_registry().unwrap();
        assert_eq!(registry.entries().len(), 2);
        assert_eq!(registry.by_path(Path::new("/r/a")), Some(&changed));
        assert_eq!(registry.by_url("https://h/a"), Some(&changed));
        assert!(registry.by_url("https://h/b").is_none());
        assert!(home.update_registry(|r| r.put(entry("/r/c", Some("https://h/a")))).is_err());
    }

    #[test]
    fn mistakes_are_named() {
        let one = "[[repo]]\npath = \"/a\"\nownership = \"sandbox\"\n";
        for (text, named) in [
            (one.replace("/a", "a"), "repo[0].path"),
            (format!("{one}{one}"), "repo[1].path"),
            (one.replace("sandbox", "mine"), "mine"),
            (one.replace("ownership", "owner"), "ownership"),
        ] {
            let error = Registry::parse(Path::new("repos.toml"), &text).unwrap_err().to_string();
            assert!(error.contains(named), "{named}: {error}");
        }
    }
}
