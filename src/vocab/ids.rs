//! Names of things, checked once when they are made.
//!
//! None of these is ever used as a path without being a valid file name by construction.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

/// Why a text is not a name of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid {kind}: {rule}")]
pub struct IdError {
    /// What was wanted.
    pub kind: &'static str,
    /// What was given, cut to 80 characters.
    pub text: String,
    /// The rule it broke.
    pub rule: &'static str,
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $kind:literal, $rule:literal, $pattern:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $type(String);

        impl $type {
            /// Checks the rule and takes the text.
            pub fn parse(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                let check: fn(&str) -> bool = $check;
                if check(&text) {
                    Ok(Self(text))
                } else {
                    Err(IdError { kind: $kind, text: text.chars().take(80).collect(), rule: $rule })
                }
            }
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $type {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::parse(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({"type": "string", "pattern": $pattern})
            }
        }
    };
}

name!(
    /// The caller's name for the task.
    TaskId, "task id", "1 to 128 of A-Z a-z 0-9 . _ -, first a letter or digit",
    "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$", |t| word(t, 128, b"._-"));
name!(
    /// An engine's id: `codex`, `case`, `fixture`, or an installed module's.
    EngineId, "engine id", "1 to 64 of a-z 0-9 -, first a letter or digit",
    "^[a-z0-9][a-z0-9-]{0,63}$", |t| word(t, 64, b"-") && !t.bytes().any(|b| b.is_ascii_uppercase()));
name!(
    /// A principal's name in the file of principals.
    PrincipalName, "principal name", "1 to 64 of A-Z a-z 0-9 . _ @ -, first a letter or digit",
    "^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$", |t| word(t, 64, b"._@-"));
name!(
    /// One run: `run-` and a version 7 UUID, so names sort by the time of their making.
    RunId, "run id", "`run-` and a UUID", "^run-[0-9a-f-]{36}$",
    |t| t.strip_prefix("run-").is_some_and(|u| u.len() == 36 && uuid::Uuid::try_parse(u).is_ok()
        && !t.bytes().any(|b| b.is_ascii_uppercase())));
name!(
    /// A thread of an engine's, over all runs that go on with it, by the harness's own name for it.
    ThreadId, "thread id", "1 to 128 of A-Z a-z 0-9 . _ : -, first a letter or digit",
    "^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$", |t| word(t, 128, b"._:-"));
name!(
    /// A pending or granted approval: `apr-` and 32 random hex digits.
    ApprovalId, "approval id", "`apr-` and 32 hex digits", "^apr-[0-9a-f]{32}$",
    |t| t.strip_prefix("apr-").is_some_and(|h| h.len() == 32
        && h.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))));
name!(
    /// A forbidden action's id: `git.push` …, `command:<glob>`, `path:<glob>`.
    ActionId, "action id", "one of the ids of the table, or `command:` or `path:` and a glob",
    "^([a-z-]+(\\.[a-z-]+)?|command:.+|path:.+)$", |t| !t.is_empty() && t.len() <= 4096);

fn word(text: &str, max: usize, also: &[u8]) -> bool {
    let mut bytes = text.bytes();
    text.len() <= max
        && bytes.next().is_some_and(|b| b.is_ascii_alphanumeric())
        && bytes.all(|b| b.is_ascii_alphanumeric() || also.contains(&b))
}

impl RunId {
    /// A fresh id. Reads the clock and the kernel's randomness.
    #[must_use]
    pub fn new() -> Self {
        Self(format!("run-{}", uuid::Uuid::now_v7()))
    }
}

impl From<&RunId> for ThreadId {
    /// The thread that a run opened: a name that no engine can choose.
    fn from(run: &RunId) -> Self {
        Self(run.0.clone())
    }
}

impl Default for RunId {
    fn default() -> Self {
        Self::new()
    }
}

impl EngineId {
    /// `codex`: the engine where nobody names one.
    #[must_use]
    pub fn codex() -> Self {
        Self("codex".to_owned())
    }
}

impl ApprovalId {
    /// A fresh id from 128 bits of the kernel's randomness.
    pub fn fresh() -> Result<Self, getrandom::Error> {
        let mut bytes = [0_u8; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self(format!("apr-{:032x}", u128::from_be_bytes(bytes))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn task_ids_never_look_like_paths() {
        assert!(TaskId::parse("fix-1.2_b").is_ok());
        for bad in ["", ".", "..", "-a", "a/b", "a b", "ä", &"x".repeat(129)] {
            assert!(TaskId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn fresh_ids_are_valid_and_differ() {
        let (a, b) = (RunId::new(), RunId::new());
        assert_ne!(a, b);
        assert!(RunId::parse(a.as_str()).is_ok());
        assert!(ApprovalId::parse(ApprovalId::fresh().unwrap().as_str()).is_ok());
    }
}
