//! `--expect`: what the caller already knows, so that an old or foreign bundle is not mistaken for this one.

use super::Check;
use crate::evidence::RootPredicate;
use crate::vocab::{Digest, GitId, Timestamp, Verdict};

/// What a bundle must be about. Empty expects nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expect {
    contract: Option<Digest>,
    base: Option<GitId>,
    result: Option<GitId>,
    verdict: Option<Verdict>,
    /// Seconds.
    max_age: Option<u64>,
}

/// Why an expectation could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpectError {
    /// Not `NAME=VALUE`, or another name.
    #[error(
        "`{0}` is not an expectation: write contract=DIGEST, base=COMMIT, result=TREE, verdict=pass|fail|blocked or max-age=SECONDS"
    )]
    Name(String),
    /// A value of another form.
    #[error("`{0}` expects a value of another form: {1}")]
    Value(String, &'static str),
    /// The same name twice.
    #[error("`{0}` is expected twice")]
    Twice(String),
}

impl Expect {
    /// From `NAME=VALUE` texts.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, ExpectError> {
        let mut expect = Self::default();
        for text in texts {
            expect.take(text)?;
        }
        Ok(expect)
    }

    fn take(&mut self, text: &str) -> Result<(), ExpectError> {
        fn set<T>(
            place: &mut Option<T>,
            text: &str,
            value: Option<T>,
            form: &'static str,
        ) -> Result<(), ExpectError> {
            let value = value.ok_or_else(|| ExpectError::Value(text.to_owned(), form))?;
            if place.replace(value).is_some() { Err(ExpectError::Twice(text.to_owned())) } else { Ok(()) }
        }
        let Some((name, value)) = text.split_once('=') else {
            return Err(ExpectError::Name(text.to_owned()));
        };
        match name {
            "contract" => set(&mut self.contract, text, value.parse().ok(), "`sha256:` and 64 hex digits"),
            "base" => set(&mut self.base, text, GitId::new(value).ok(), "40 hex digits of a commit"),
            "result" => set(&mut self.result, text, GitId::new(value).ok(), "40 hex digits of a tree"),
            "verdict" => set(&mut self.verdict, text, verdict(value), "`pass`, `fail` or `blocked`"),
            "max-age" => set(&mut self.max_age, text, value.parse().ok(), "a number of seconds"),
            _ => Err(ExpectError::Name(text.to_owned())),
        }
    }

    /// One row, or none when nothing is expected.
    pub(super) fn check(&self, root: &RootPredicate, now: Timestamp) -> Option<Check> {
        let mut wrong = Vec::new();
        let mut met = Vec::new();
        let mut one = |name: &str, expected: Option<String>, found: Option<String>| {
            let Some(expected) = expected else { return };
            match found {
                Some(found) if found == expected => met.push(name.to_owned()),
                Some(found) => wrong.push(format!("{name} is {found}, expected {expected}")),
                None => wrong.push(format!("{name} is not in the bundle, expected {expected}")),
            }
        };
        let text = |id: &GitId| id.to_string();
        one("contract", self.contract.map(|d| d.to_string()), Some(root.contract.to_string()));
        one("base", self.base.as_ref().map(text), root.base_commit.as_ref().map(text));
        one("result", self.result.as_ref().map(text), root.result_tree.as_ref().map(text));
        one("verdict", self.verdict.map(|v| v.to_string()), Some(root.verdict.to_string()));
        if let Some(max) = self.max_age {
            let age = now.unix_micros().saturating_sub(root.sealed_at.unix_micros());
            match u64::try_from(age) {
                Err(_) => wrong.push(format!("it was sealed in the future, at {}", root.sealed_at)),
                Ok(age) if age / 1_000_000 > max => {
                    wrong.push(format!(
                        "it was sealed {} seconds ago, expected at most {max}",
                        age / 1_000_000
                    ));
                }
                Ok(_) => met.push("max-age".to_owned()),
            }
        }
        if !wrong.is_empty() {
            return Some(Check::failed("expect", wrong.join("; ")));
        }
        (!met.is_empty()).then(|| Check::ok("expect", met.join(", ")))
    }
}

fn verdict(text: &str) -> Option<Verdict> {
    [Verdict::Pass, Verdict::Fail, Verdict::Blocked].into_iter().find(|verdict| verdict.as_str() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expectations_are_read_strictly() {
        let digest = Digest::of(b"x").to_string();
        let contract = format!("contract={digest}");
        assert!(Expect::parse([contract.as_str(), "max-age=60"]).is_ok());
        assert!(Expect::parse(["verdict=pass"]).is_ok());
        assert!(matches!(Expect::parse(["verdict=good"]), Err(ExpectError::Value(..))));
        assert!(matches!(Expect::parse(["colour=red"]), Err(ExpectError::Name(_))));
        assert!(matches!(Expect::parse(["base"]), Err(ExpectError::Name(_))));
        assert!(matches!(Expect::parse(["base=HEAD"]), Err(ExpectError::Value(..))));
        assert!(matches!(Expect::parse(["max-age=1", "max-age=2"]), Err(ExpectError::Twice(_))));
    }
}
