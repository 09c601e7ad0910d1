//! From an engine's last message to a document: strict, bounded, nothing hidden.
//!
//! A pure function of the text, so that `cto verify` reads it again from the engine's own output.

use serde::de::DeserializeOwned;

use super::form::{Document, PlanDocument, PlanStep, ReviewDocument, ReviewFinding};
use crate::contract::{OutputKind, in_a_tree};
use crate::vocab::{counted, shown};

/// Bytes of the largest text that is read as a document.
const DOCUMENT_BYTES: usize = 512 * 1024;
/// Steps, findings, and entries of any other list.
const ENTRIES: usize = 500;
/// Characters of a text.
const TEXT_CHARS: usize = 8_000;
/// Characters of a title, a rule or a command.
const LINE_CHARS: usize = 300;
/// Where the tree is for the engine: a path may begin so, and means the rest.
const WORKSPACE: &str = "/workspace/";

/// Why a text is not the document that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Too long to be looked at.
    #[error("it has {0} bytes, and a document at most {DOCUMENT_BYTES}")]
    TooLong(usize),
    /// Not JSON, not only one document, or not of the form.
    #[error("it is not one JSON document of the form `{form}`: {why}")]
    Form {
        /// Which form.
        form: &'static str,
        /// What the reader says, with line and column.
        why: String,
    },
    /// A member that cannot be meant.
    #[error("`{member}` {why}")]
    Member {
        /// Which.
        member: String,
        /// Why.
        why: String,
    },
}

impl Document {
    /// Reads the text of a last message as the document `kind`.
    pub fn read(kind: OutputKind, text: &str) -> Result<Self, Unfit> {
        if text.len() > DOCUMENT_BYTES {
            return Err(Unfit::TooLong(text.len()));
        }
        let mut document = match kind {
            OutputKind::Plan => Self::Plan(strict(kind, text)?),
            OutputKind::Review => Self::Review(strict(kind, text)?),
        };
        match &mut document {
            Self::Plan(plan) => fit_plan(plan)?,
            Self::Review(review) => fit_review(review)?,
        }
        for text in document.texts() {
            *text = shown(text);
        }
        Ok(document)
    }

    /// The file's bytes: the members of its form, in their order.
    pub fn render(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = match self {
            Self::Plan(plan) => serde_json::to_vec_pretty(plan)?,
            Self::Review(review) => serde_json::to_vec_pretty(review)?,
        };
        bytes.push(b'\n');
        Ok(bytes)
    }
}

/// Unknown members, members that stand twice or are missing, and anything behind the document are errors.
fn strict<T: DeserializeOwned>(kind: OutputKind, text: &str) -> Result<T, Unfit> {
    serde_json::from_str(text)
        .map_err(|error| Unfit::Form { form: kind.as_str(), why: shown(&error.to_string()) })
}

fn fit_plan(plan: &mut PlanDocument) -> Result<(), Unfit> {
    let PlanDocument { summary, steps, risks, open_questions } = plan;
    long("summary", summary)?;
    few("steps", steps.len())?;
    if steps.is_empty() {
        return Err(unfit("steps", "is empty: a plan without steps is none"));
    }
    for (list, name) in [(&*risks, "risks"), (&*open_questions, "open_questions")] {
        few(name, list.len())?;
        list.iter().try_for_each(|text| long(name, text))?;
    }
    for (index, step) in steps.iter_mut().enumerate() {
        let PlanStep { title, detail, paths, check } = step;
        let at = |name: &str| format!("steps[{index}].{name}");
        line(&at("title"), title)?;
        long(&at("detail"), detail)?;
        few(&at("paths"), paths.len())?;
        paths.iter_mut().try_for_each(|path| in_tree(&at("paths"), path))?;
        check.iter().try_for_each(|command| line(&at("check"), command))?;
    }
    Ok(())
}

fn fit_review(review: &mut ReviewDocument) -> Result<(), Unfit> {
    let ReviewDocument { summary, findings } = review;
    long("summary", summary)?;
    few("findings", findings.len())?;
    for (index, finding) in findings.iter_mut().enumerate() {
        let ReviewFinding { rule, path, message, suggestion, .. } = finding;
        let at = |name: &str| format!("findings[{index}].{name}");
        line(&at("rule"), rule)?;
        in_tree(&at("path"), path)?;
        long(&at("message"), message)?;
        suggestion.iter().try_for_each(|text| long(&at("suggestion"), text))?;
    }
    Ok(())
}

fn unfit(member: &str, why: impl Into<String>) -> Unfit {
    Unfit::Member { member: member.to_owned(), why: why.into() }
}

fn few(member: &str, count: usize) -> Result<(), Unfit> {
    let why = || format!("has {}, and at most {ENTRIES} are read", counted(count, "entry"));
    if count <= ENTRIES { Ok(()) } else { Err(unfit(member, why())) }
}

fn within(member: &str, text: &str, most: usize) -> Result<(), Unfit> {
    if text.trim().is_empty() {
        return Err(unfit(member, "is empty"));
    }
    if text.chars().nth(most).is_some() {
        return Err(unfit(member, format!("is longer than {most} characters")));
    }
    Ok(())
}

fn long(member: &str, text: &str) -> Result<(), Unfit> {
    within(member, text, TEXT_CHARS)
}

fn line(member: &str, text: &str) -> Result<(), Unfit> {
    within(member, text, LINE_CHARS)?;
    if text.contains('\n') { Err(unfit(member, "is more than one line")) } else { Ok(()) }
}

/// A path that leads out of the tree, or into `.git`, is one that no honest reader writes.
fn in_tree(member: &str, path: &mut String) -> Result<(), Unfit> {
    if let Some(rest) = path.strip_prefix(WORKSPACE) {
        *path = rest.to_owned();
    }
    in_a_tree(path).map_err(|why| unfit(member, format!("names a path that {why}")))
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
