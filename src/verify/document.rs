//! A document in a bundle: the one that the contract asks for, of its form, and the engine's last message.

use super::BundleContents;
use super::derive::Wrong;
use super::outcome::Check;
use crate::beneath::Dir;
use crate::engine::{Catalog, RawStream, last_words};
use crate::evidence::{Document, EngineSection, MAX_FILE, OutputSection, REVIEW_SARIF, review_sarif};
use crate::vocab::{Digest, EngineId};

const NAME: &str = "output";

/// The document against contract, report, and the engine's own output in the folder `dir`.
pub(super) fn check(contents: &BundleContents, dir: &Dir) -> Option<Check> {
    let sections = &contents.report.sections;
    let asked = contents.contract.as_ref().map(|contract| contract.task().output.map(|output| output.kind));
    let mut wrong = Wrong::default();
    if let Some(asked) = asked {
        let told = sections.output.as_ref().map(|output| output.kind);
        let inspected = sections.verification.is_some();
        wrong.unless(
            told == asked || (told.is_none() && !inspected),
            "the report is about another document than the contract asks for",
        );
    }
    let Some(section) = &sections.output else {
        return asked
            .is_some_and(|asked| asked.is_some())
            .then(|| wrong.check(NAME, "the run came to no document"));
    };
    let whole = [section.kind.file(), REVIEW_SARIF, RawStream::Stdout.name()]
        .iter()
        .all(|name| contents.withheld(name).is_none());
    if !whole || contents.report.withheld.iter().any(|one| one.name == crate::evidence::REPORT) {
        return Some(Check::not_done(
            NAME,
            "document, report or engine output is withheld: it was not read again",
        ));
    }
    files(contents, section, &mut wrong);
    match again(contents, section, sections.engine.as_ref(), dir) {
        Ok(holds) => wrong.unless(holds, "the engine's last message gives another document"),
        Err(why) => {
            return Some(if wrong.is_empty() { Check::not_done(NAME, why) } else { wrong.check(NAME, "") });
        }
    }
    Some(wrong.check(
        NAME,
        match section.document {
            Some(_) => "it is the engine's last message, of the form that was asked for",
            None => "there is none, and the engine's last message gives none",
        },
    ))
}

/// The files are what the section says, byte for byte.
fn files(contents: &BundleContents, section: &OutputSection, wrong: &mut Wrong) {
    let there = |name: &str| contents.sums.get(name).copied();
    let rendered = section.document.as_ref().and_then(|document| document.render().ok());
    let right_kind = section.document.as_ref().is_none_or(|document| document.kind() == section.kind);
    wrong.unless(right_kind, "the report holds a document of another kind");
    wrong.unless(
        section.file.as_deref() == rendered.is_some().then(|| section.kind.file())
            && there(section.kind.file()) == rendered.as_deref().map(Digest::of),
        "the document is not the one that the report holds",
    );
    let sarif = match &section.document {
        Some(Document::Review(review)) => {
            let (run, harness) = (&contents.report.run_id, &contents.root.harness);
            Some(Digest::of(&review_sarif(review, &section.set_aside, run, harness)))
        }
        Some(Document::Plan(_)) | None => None,
    };
    wrong.unless(there(REVIEW_SARIF) == sarif, format!("`{REVIEW_SARIF}` does not follow from the document"));
    let absent = section.document.is_none() && section.problem.is_some();
    wrong.unless(absent != section.file.is_some(), "there is neither a document nor what is wrong with it");
}

/// Whether the engine's own output, read again by this version's adapter, gives the section's document. The error says
/// why it could not be read again.
fn again(
    contents: &BundleContents,
    section: &OutputSection,
    engine: Option<&EngineSection>,
    dir: &Dir,
) -> Result<bool, String> {
    let engine = engine.ok_or_else(|| "no engine is on record".to_owned())?;
    let catalog = Catalog::load(None).map_err(|error| error.to_string())?;
    let manifest = EngineId::parse(&engine.id).ok().and_then(|id| catalog.get(&id));
    let manifest = manifest.filter(|manifest| manifest.digest == engine.adapter).ok_or_else(|| {
        format!("this version has no adapter {}: the engine's output was not read again", engine.adapter)
    })?;
    let name = RawStream::Stdout.name();
    let stdout = dir.read_file(name, MAX_FILE).map_err(|error| error.to_string())?;
    if contents.sums.get(name) != Some(&Digest::of(&stdout)) {
        return Err(format!("`{name}` is no longer the file that was sealed"));
    }
    let exit = engine.exit.as_deref().unwrap_or("");
    let words = last_words(manifest, &stdout, exit).map_err(|error| error.to_string())?;
    let document = words.and_then(|words| Document::read(section.kind, &words).ok());
    Ok(document == section.document)
}
