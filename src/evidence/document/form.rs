//! The forms: exactly these members, each of them there. The engine is given the same form as a JSON Schema.

use schemars::transform::{RecursiveTransform, Transform as _};
use schemars::{JsonSchema, Schema, generate::SchemaSettings};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::contract::OutputKind;

/// A document that was handed back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Document {
    /// What is to be done.
    Plan(PlanDocument),
    /// What was found.
    Review(ReviewDocument),
}

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanDocument {
    /// What comes of the plan, in a few sentences.
    pub summary: String,
    /// In the order in which they are to be done.
    pub steps: Vec<PlanStep>,
    /// What could go wrong.
    pub risks: Vec<String>,
    /// What somebody has to answer before the work begins.
    pub open_questions: Vec<String>,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanStep {
    /// The step in one line.
    pub title: String,
    /// How it is done, and why so.
    pub detail: String,
    /// Paths that it changes or adds, relative to the top of the tree.
    pub paths: Vec<String>,
    /// The command that shows that it is done, if there is one.
    pub check: Option<String>,
}

/// A review.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReviewDocument {
    /// What the review comes to, in a few sentences.
    pub summary: String,
    /// One entry for each thing that was found.
    pub findings: Vec<ReviewFinding>,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReviewFinding {
    /// A short name for this kind of finding, like `off-by-one`.
    pub rule: String,
    /// How bad it is.
    pub severity: Severity,
    /// The file, relative to the top of the tree.
    pub path: String,
    /// Its first line, from 1; null where the whole file is meant.
    pub start_line: Option<u64>,
    /// Its last line; null where it is the first.
    pub end_line: Option<u64>,
    /// What is wrong, and what follows from it.
    pub message: String,
    /// What to do instead, if something is known.
    pub suggestion: Option<String>,
}

/// How bad a finding is, in the words of SARIF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Wrong.
    Error,
    /// Doubtful.
    Warning,
    /// Worth knowing.
    Note,
}

impl Severity {
    /// As in documents and SARIF.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

impl Document {
    /// Which form it has.
    #[must_use]
    pub const fn kind(&self) -> OutputKind {
        match self {
            Self::Plan(_) => OutputKind::Plan,
            Self::Review(_) => OutputKind::Review,
        }
    }

    /// The form as a JSON Schema for a model, in the part of the language that endpoints take for strict output:
    /// every member required, no other allowed, no references.
    #[must_use]
    pub fn form(kind: OutputKind) -> Value {
        let settings =
            SchemaSettings::draft2020_12().for_serialize().with(|settings| settings.inline_subschemas = true);
        let generator = settings.into_generator();
        let mut schema = match kind {
            OutputKind::Plan => generator.into_root_schema_for::<PlanDocument>(),
            OutputKind::Review => generator.into_root_schema_for::<ReviewDocument>(),
        };
        RecursiveTransform(plain).transform(&mut schema);
        schema.to_value()
    }

    /// Every text in it.
    pub fn texts(&mut self) -> Vec<&mut String> {
        match self {
            Self::Plan(PlanDocument { summary, steps, risks, open_questions }) => {
                let own = std::iter::once(summary).chain(risks).chain(open_questions);
                own.chain(steps.iter_mut().flat_map(PlanStep::texts)).collect()
            }
            Self::Review(ReviewDocument { summary, findings }) => {
                std::iter::once(summary).chain(findings.iter_mut().flat_map(ReviewFinding::texts)).collect()
            }
        }
    }
}

impl PlanStep {
    fn texts(&mut self) -> impl Iterator<Item = &mut String> {
        let Self { title, detail, paths, check } = self;
        [title, detail].into_iter().chain(paths).chain(check)
    }
}

impl ReviewFinding {
    fn texts(&mut self) -> impl Iterator<Item = &mut String> {
        let Self { rule, path, message, suggestion, severity: _, start_line: _, end_line: _ } = self;
        [rule, path, message].into_iter().chain(suggestion)
    }
}

/// Takes out what strict output has no word for. The harness holds it all the same when it reads.
fn plain(schema: &mut Schema) {
    for word in ["$schema", "title", "format", "minimum"] {
        if !schema.get(word).is_some_and(Value::is_object) {
            schema.remove(word);
        }
    }
    let constants = |forms: &Value| {
        let words = forms.as_array()?.iter().map(|form| form.get("const").cloned());
        words.collect::<Option<Vec<Value>>>()
    };
    if let Some(words) = schema.get("oneOf").and_then(constants) {
        schema.remove("oneOf");
        schema.insert("type".to_owned(), "string".into());
        schema.insert("enum".to_owned(), words.into());
    }
}
