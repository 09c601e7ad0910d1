//! The report's section about a document, and how a page shows it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::form::{Document, PlanStep, ReviewFinding};
use crate::contract::OutputKind;
use crate::evidence::summary::escaped;
use crate::vocab::{Reason, counted};

/// The document that a run was to hand back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OutputSection {
    /// Which document the contract asks for.
    pub kind: OutputKind,
    /// The file of the bundle that holds it; `None` where there is none.
    pub file: Option<String>,
    /// What is wrong, where there is no document.
    pub problem: Option<Reason>,
    /// What it says (claimed).
    pub document: Option<Document>,
    /// Findings about places that the base tree does not have (observed).
    pub set_aside: Vec<SetAside>,
}

/// A finding that names no place of the base tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetAside {
    /// Its number in the document, from 1.
    pub finding: u64,
    /// What the tree does not have.
    pub why: String,
}

impl SetAside {
    /// What of `finding` the tree does not have; `lines` are those of the file, `None` where there is no such file.
    #[must_use]
    pub fn judge(finding: &ReviewFinding, lines: Option<u64>) -> Option<String> {
        let Some(lines) = lines else {
            return Some(format!("the base tree has no readable file `{}`", finding.path));
        };
        let (start, end) = match (finding.start_line, finding.end_line) {
            (None, None) => return None,
            (None, Some(end)) => return Some(format!("it ends at line {end} and begins nowhere")),
            (Some(start), end) => (start, end.unwrap_or(start)),
        };
        let there = 1 <= start && start <= end && end <= lines;
        (!there).then(|| format!("lines {start} to {end} are not in `{}`, which has {lines}", finding.path))
    }
}

impl OutputSection {
    /// Heading of the page's section.
    #[must_use]
    pub(in crate::evidence) const fn title(&self) -> &'static str {
        match self.kind {
            OutputKind::Plan => "Plan",
            OutputKind::Review => "Review",
        }
    }

    /// A line, and one item each for what the document lists; Markdown, in which nothing of the engine's is read as
    /// Markdown.
    pub(in crate::evidence) fn page(&self) -> (String, Vec<String>) {
        let Some(document) = &self.document else {
            let why =
                self.problem.as_ref().map_or("nothing is on record", |problem| problem.sentence.as_str());
            return (format!("There is no document: {}", escaped(why)), Vec::new());
        };
        let told = |text: &str| format!("{} *(by the engine's word)*", escaped(text));
        match document {
            Document::Plan(plan) => {
                let steps = plan.steps.iter().map(step);
                let risks = plan.risks.iter().map(|text| format!("risk: {}", escaped(text)));
                let open = plan.open_questions.iter().map(|text| format!("open: {}", escaped(text)));
                (told(&plan.summary), steps.chain(risks).chain(open).collect())
            }
            Document::Review(review) => {
                let aside = match self.set_aside.len() {
                    0 => String::new(),
                    some => format!(" {} set aside: no such place in the tree.", counted(some, "finding")),
                };
                let count = counted(review.findings.len(), "finding");
                let opening = format!("{} {count} in `review.sarif`.{aside}", told(&review.summary));
                (opening, review.findings.iter().enumerate().map(|(at, one)| self.finding(at, one)).collect())
            }
        }
    }

    fn finding(&self, index: usize, finding: &ReviewFinding) -> String {
        let line = finding.start_line.map_or_else(String::new, |line| format!(":{line}"));
        let (severity, rule) = (finding.severity.as_str(), escaped(&finding.rule));
        let place = format!("{}{line}", escaped(&finding.path));
        let number = u64::try_from(index).unwrap_or(u64::MAX).saturating_add(1);
        let aside = self.set_aside.iter().find(|one| one.finding == number);
        let aside = aside.map_or_else(String::new, |one| format!(" (set aside: {})", escaped(&one.why)));
        format!("**{severity}** {rule} {place} {}{aside}", escaped(&finding.message))
    }

    /// Every free text in it.
    pub(in crate::evidence) fn texts(&mut self) -> Vec<&mut String> {
        let Self { kind: _, file: _, problem, document, set_aside } = self;
        let problem = problem.iter_mut().flat_map(|reason| [&mut reason.sentence, &mut reason.remedy]);
        let aside = set_aside.iter_mut().map(|one| &mut one.why);
        problem.chain(aside).chain(document.iter_mut().flat_map(Document::texts)).collect()
    }
}

fn step(step: &PlanStep) -> String {
    let paths: Vec<String> = step.paths.iter().map(|path| escaped(path)).collect();
    let paths = if paths.is_empty() { String::new() } else { format!(" ({})", paths.join(", ")) };
    let check = step.check.as_ref().map_or_else(String::new, |check| format!(" check: {}", escaped(check)));
    format!("**{}**{paths} {}{check}", escaped(&step.title), escaped(&step.detail))
}
