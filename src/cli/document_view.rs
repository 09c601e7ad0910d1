//! A plan or a review, as the engine gave it: a claim, shown with the rest of a run.

use super::output::{Line, Tone};
use super::summary::named;
use crate::evidence::{Document, OutputSection, PlanStep, ReviewFinding, Severity};

/// Steps or findings that are shown; the rest is counted.
const SHOWN: usize = 12;
/// Characters of a line.
const WIDTH: usize = 160;

/// The document line by line; nothing where it is not there, which is among the reasons.
pub(super) fn lines(section: &OutputSection) -> Vec<Line> {
    let rows: Vec<Line> = match &section.document {
        None => return Vec::new(),
        Some(Document::Plan(plan)) => {
            let step = |(n, step): (usize, &PlanStep)| {
                Line::of(format!("{}. ", n + 1)).plain(&step.title).add(Tone::Quiet, paths(&step.paths))
            };
            plan.steps.iter().enumerate().map(step).collect()
        }
        Some(Document::Review(review)) => {
            let finding = |(n, finding): (usize, &ReviewFinding)| {
                let tone = match finding.severity {
                    Severity::Error => Tone::Bad,
                    Severity::Warning => Tone::Warn,
                    Severity::Note => Tone::Quiet,
                };
                let line = finding.start_line.map_or_else(String::new, |line| format!(":{line}"));
                let row = Line::new()
                    .add(tone, finding.severity.as_str())
                    .add(Tone::Accent, format!(" {}{line}", finding.path))
                    .plain(format!("  {}", finding.message));
                match section.set_aside.iter().find(|aside| usize::try_from(aside.finding) == Ok(n + 1)) {
                    None => row,
                    Some(aside) => row.add(Tone::Quiet, format!("  set aside: {}", aside.why)),
                }
            };
            review.findings.iter().enumerate().map(finding).collect()
        }
    };
    let more = rows.len().saturating_sub(SHOWN);
    let name = section.kind.as_str();
    let none = || vec![named(name).plain("nothing was found")];
    let mut out: Vec<Line> = if rows.is_empty() { none() } else { Vec::new() };
    for (n, row) in rows.into_iter().take(SHOWN).enumerate() {
        out.push(named(if n == 0 { name } else { "" }).append(row).cut(WIDTH));
    }
    if more > 0 {
        out.push(named("").add(Tone::Quiet, format!("and {more} more")));
    }
    out
}

fn paths(paths: &[String]) -> String {
    if paths.is_empty() { String::new() } else { format!("  {}", paths.join(", ")) }
}
