//! The document that a run was to hand back: read from the engine's last message, held against the base, written.
//!
//! What it says is a claim and decides nothing; that it is there, and of its form, the contract can rely on.

use super::execute::Tools;
use super::recording::{RecordError, Recording};
use super::report::Told;
use crate::contract::Output;
use crate::engine::FinishedEngine;
use crate::evidence::{Document, OutputSection, REVIEW_SARIF, ReviewDocument, SetAside, review_sarif};
use crate::vocab::Reason;

/// Bytes of a file of the base in which lines are counted; findings about a larger one are set aside.
const FILE_BYTES: u64 = 16 * 1024 * 1024;

/// Writes the document that the contract asks for, if it asks for one, and tells of it.
pub(super) fn write(
    tools: &Tools<'_>,
    finished: &FinishedEngine,
    recording: &mut Recording<'_>,
    told: &mut Told,
) -> Result<(), RecordError> {
    let Some(output) = tools.scene.asked.contract.task().output else { return Ok(()) };
    let mut section =
        OutputSection { kind: output.kind, file: None, problem: None, document: None, set_aside: Vec::new() };
    match read(output, finished.observed.last_words.as_deref()) {
        Err(problem) => section.problem = Some(problem),
        Ok(document) => {
            recording.bundle().write(output.kind.file(), &document.render()?)?;
            section.file = Some(output.kind.file().to_owned());
            if let Document::Review(review) = &document {
                section.set_aside = set_aside(review, tools);
                let run = recording.run_id().clone();
                let sarif = review_sarif(review, &section.set_aside, &run, super::HARNESS);
                recording.bundle().write(REVIEW_SARIF, &sarif)?;
            }
            section.document = Some(document);
        }
    }
    told.sections.output = Some(section);
    Ok(())
}

fn read(output: Output, words: Option<&str>) -> Result<Document, Reason> {
    let kind = output.kind;
    let Some(words) = words else {
        let sentence = format!("The engine said nothing, and a {} was asked for.", kind.as_str());
        let remedy = "Read the engine's own output under backend/; then run again.";
        return Err(Reason::observed("output.missing", sentence, remedy));
    };
    Document::read(kind, words).map_err(|unfit| {
        let sentence =
            format!("The engine's last message is not the {} that was asked for: {unfit}.", kind.as_str());
        let remedy = "Run again, or name an engine or model that keeps to the form.";
        Reason::observed("output.invalid", sentence, remedy)
    })
}

/// The findings about places that the base tree does not have.
fn set_aside(review: &ReviewDocument, tools: &Tools<'_>) -> Vec<SetAside> {
    let mut aside = Vec::new();
    for (finding, number) in review.findings.iter().zip(1..) {
        // A folder, a link, and what is too large to be looked at have no lines here.
        let file = tools.scene.seen.source.read_base_file(&finding.path, FILE_BYTES);
        let lines = file.and_then(Result::ok).map(|bytes| lines(&bytes));
        aside.extend(SetAside::judge(finding, lines).map(|why| SetAside { finding: number, why }));
    }
    aside
}

/// Lines of a file, a last one without its newline counted.
fn lines(bytes: &[u8]) -> u64 {
    bytes.split_inclusive(|byte| *byte == b'\n').fold(0, |count, _| count.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_as_editors_count_them() {
        for (text, count) in [("", 0), ("a", 1), ("a\n", 1), ("a\nb", 2), ("\n\n", 2)] {
            assert_eq!(lines(text.as_bytes()), count, "{text:?}");
        }
    }
}
