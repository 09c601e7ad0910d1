//! The acts that a contract may forbid, and what stops each of them in this version.
//!
//! What stops an act is a missing route, credential or right. Observation is a second matter: where this version
//! cannot see attempts, the table says so.

use super::globs::{GlobError, PathGlobs};
use crate::vocab::ActionId;

/// One row of the table of SPEC §6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActionRule {
    /// Its id.
    pub id: &'static str,
    /// What stops it.
    pub enforced_by: &'static str,
    /// What stops it where the contract's `network.allow` names destinations, when that is something else.
    pub with_routes: Option<&'static str>,
    /// What shows attempts in this version; `None` = not observable here.
    pub observed_in: Option<Observed>,
    /// Globs of paths whose change is an attempt (only with [`Observed::Patch`]).
    pub paths: &'static [&'static str],
}

/// Where attempts show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observed {
    /// In the patch.
    Patch,
    /// In what reached the handed-out listener.
    Listener,
}

/// The action that `network.allow` allows.
pub const EGRESS: &str = "network.egress";

/// Every named action.
pub const RULES: &[ActionRule] = &[
    ActionRule {
        with_routes: Some("no credential inside; no route but to what `network.allow` names"),
        ..rule(
            "git.push",
            "no route out and no credential inside; the target repository is not in the sandbox",
        )
    },
    rule("git.merge", "the target repository is not in the sandbox; merging has no executor"),
    rule("git.commit", "commits inside reach only the throw-away repository, which is dropped"),
    rule("git.history-rewrite", "the target repository's objects and refs are not in the sandbox"),
    ActionRule {
        with_routes: Some("no credential inside; no route but to what `network.allow` names; no executor"),
        ..rule("deploy", "no route out and no credential inside; deploying has no executor")
    },
    ActionRule {
        with_routes: Some("no credential inside; no route but to what `network.allow` names; no executor"),
        ..rule("issue.close", "no route out and no credential inside; closing has no executor")
    },
    ActionRule {
        observed_in: Some(Observed::Listener),
        ..rule(EGRESS, "empty network namespace; the only listener forwards model requests and nothing else")
    },
    ActionRule {
        with_routes: Some("system directories are read-only; no route but to what `network.allow` names"),
        ..rule("package.install", "no route out; system directories are read-only")
    },
    ActionRule {
        observed_in: Some(Observed::Patch),
        paths: &["vendor/", "third_party/", "third-party/", "node_modules/"],
        ..rule(
            "vendor-source.mutate",
            "inputs are mounted read-only; patch inspection finds changes to vendored folders",
        )
    },
    ActionRule {
        with_routes: Some(
            "no credential inside; nothing outside the work tree is writable; nested repositories are findings",
        ),
        ..rule(
            "external-repo.mutate",
            "nothing outside the work tree is writable; nested repositories are findings",
        )
    },
    rule(
        "process.daemonize",
        "process namespace; the whole tree is killed and seen empty before anything is collected",
    ),
    rule("secrets.read", "home and credentials are not in the sandbox; keys stay outside, in the broker"),
];

const fn rule(id: &'static str, enforced_by: &'static str) -> ActionRule {
    ActionRule { id, enforced_by, with_routes: None, observed_in: None, paths: &[] }
}

/// A forbidden action, read.
#[derive(Debug, Clone)]
pub enum Action {
    /// One of [`RULES`].
    Named(&'static ActionRule),
    /// `command:<glob>` over the arguments of what the kernel executed, joined by blanks (see [`super::command`]).
    Command(String),
    /// `path:<glob>`: a change to a matching path is an attempt.
    Path(Box<PathGlobs>),
}

/// Why a text is not an action.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActionError {
    /// No such id.
    #[error("unknown action `{0}`")]
    Unknown(String),
    /// The glob of `path:`.
    #[error(transparent)]
    Path(#[from] GlobError),
    /// The glob of `command:`.
    #[error("the rule `{0}` has an empty or unclosed glob, or a control character")]
    Command(String),
}

impl Action {
    /// Reads an id.
    pub fn parse(id: &ActionId) -> Result<Self, ActionError> {
        let text = id.as_str();
        if let Some(glob) = text.strip_prefix("path:") {
            return Ok(Self::Path(Box::new(PathGlobs::new(&[glob])?)));
        }
        if let Some(glob) = text.strip_prefix("command:") {
            let open = glob.matches('[').count() > glob.matches(']').count();
            if glob.trim().is_empty() || open || glob.ends_with('\\') || glob.chars().any(char::is_control) {
                return Err(ActionError::Command(text.chars().take(200).collect()));
            }
            return Ok(Self::Command(glob.to_owned()));
        }
        let named = RULES.iter().find(|rule| rule.id == text);
        named.map(Self::Named).ok_or_else(|| ActionError::Unknown(text.chars().take(200).collect()))
    }

    /// What stops it.
    #[must_use]
    pub fn enforced_by(&self) -> &'static str {
        match self {
            Self::Named(rule) => rule.enforced_by,
            Self::Command(_) => "nothing: it is an alarm on what the kernel executes, not a wall",
            Self::Path(_) => "patch inspection",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Action, ActionError> {
        Action::parse(&ActionId::parse(text).unwrap())
    }

    #[test]
    fn every_named_action_says_what_stops_it() {
        assert_eq!(RULES.len(), 12);
        for rule in RULES {
            assert!(matches!(parse(rule.id), Ok(Action::Named(found)) if found == rule));
            assert!(rule.enforced_by.len() > 15, "{}", rule.id);
            // Where there is a route, no row says that there is none.
            assert!(!rule.enforced_by.contains("no route out") || rule.with_routes.is_some(), "{}", rule.id);
            assert_eq!(rule.paths.is_empty(), rule.observed_in != Some(Observed::Patch), "{}", rule.id);
        }
    }

    #[test]
    fn globs_are_checked() {
        assert!(parse("path:secrets/**").is_ok());
        assert!(parse("command:git push *").is_ok());
        for bad in ["git.pull", "path:../x", "path:", "command:", "command:[a", "paths:x"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
