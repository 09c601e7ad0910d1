//! Checks of what a contract brings along or asks to be laid out: files, inputs, toolchains, expectations.

use std::collections::BTreeSet;

use super::alternatives::{ExpectationText, SourceText};
use super::check::{Checked, Checker};
use super::model::{EngineChoice, Expectation, FileSource, Input, VerificationFile};
use super::rules;
use super::seal::Attachments;
use super::wire::{InputWire, VerificationFileWire};
use crate::vocab::Digest;

/// Most verification files: each may become a file of the bundle, and a bundle has a ceiling on names.
pub const MAX_VERIFICATION_FILES: usize = 1000;

const TREE_PATH: &str = "write a relative path in the repository, without `..` and not into `.git`";

impl Checker<'_> {
    pub(super) fn verification_files(
        &self,
        wires: Option<Vec<VerificationFileWire>>,
        attachments: &mut Attachments,
    ) -> Checked<Vec<VerificationFile>> {
        let mut files: Vec<VerificationFile> = Vec::new();
        let count = wires.as_ref().map_or(0, Vec::len);
        if count > MAX_VERIFICATION_FILES {
            return Err(self.refuse(
                "verification_files",
                format!("names {count} files, and a contract may name {MAX_VERIFICATION_FILES}"),
                "lay whole folders in with `inputs`, or put the files into the base",
            ));
        }
        for (index, wire) in wires.into_iter().flatten().enumerate() {
            let field = format!("verification_files[{index}].path");
            rules::tree_path(&wire.path).map_err(|why| self.wrong(&field, &wire.path, why, TREE_PATH))?;
            if files.iter().any(|earlier| overlaps(&earlier.path, &wire.path)) {
                let why = "is named twice, or lies in another of them";
                return Err(self.wrong(&field, &wire.path, why, "name each file once"));
            }
            let from = match wire.from {
                SourceText::Base => FileSource::Base,
                SourceText::File(file) => {
                    let bytes = self.read(&format!("verification_files[{index}].from"), &file)?;
                    let digest = Digest::of(&bytes);
                    attachments.verification_files.insert(wire.path.clone(), bytes);
                    FileSource::Sealed(digest)
                }
            };
            files.push(VerificationFile { path: wire.path, from });
        }
        Ok(files)
    }

    pub(super) fn inputs(&self, wires: Vec<InputWire>) -> Checked<Vec<Input>> {
        let mut inputs: Vec<Input> = Vec::with_capacity(wires.len());
        for (index, wire) in wires.into_iter().enumerate() {
            let (from, to) = (format!("inputs[{index}].from"), format!("inputs[{index}].to"));
            rules::tree_path(&wire.to).map_err(|why| self.wrong(&to, &wire.to, why, TREE_PATH))?;
            if inputs.iter().any(|earlier| overlaps(&earlier.to, &wire.to)) {
                return Err(self.wrong(
                    &to,
                    &wire.to,
                    "overlaps another input",
                    "give each input a place of its own",
                ));
            }
            if wire.from.is_empty() || wire.from.len() > 4096 || wire.from.chars().any(char::is_control) {
                let why = "is empty, longer than 4096 bytes, or holds a control character";
                return Err(self.wrong(&from, &wire.from, why, "write a path on this machine"));
            }
            inputs.push(Input { from: self.absolute(&from, &wire.from)?, to: wire.to });
        }
        Ok(inputs)
    }

    pub(super) fn toolchains(&self, names: Vec<String>) -> Checked<Vec<String>> {
        let mut seen = BTreeSet::new();
        for (index, name) in names.iter().enumerate() {
            let field = format!("toolchains[{index}]");
            rules::toolchain(name)
                .map_err(|why| self.wrong(&field, name, why, "`cto doctor` lists the configured ones"))?;
            self.once(&field, &mut seen, name)?;
        }
        Ok(names)
    }

    pub(super) fn expectations(&self, wires: Vec<ExpectationText>) -> Checked<Vec<Expectation>> {
        let mut all = Vec::with_capacity(wires.len());
        for (index, wire) in wires.into_iter().enumerate() {
            let field = format!("evidence_expectations[{index}]");
            all.push(match wire {
                ExpectationText::Artifact(name) => {
                    let remedy = "name a file of the bundle, like patch.diff or test.log";
                    rules::artifact_name(&name).map_err(|why| self.wrong(&field, &name, why, remedy))?;
                    Expectation::Artifact(name)
                }
                ExpectationText::VerificationAll => Expectation::VerificationAll,
                ExpectationText::PatchNonEmpty => Expectation::PatchNonEmpty,
                ExpectationText::PatchEmpty => Expectation::PatchEmpty,
            });
            let opposite =
                all.contains(&Expectation::PatchNonEmpty) && all.contains(&Expectation::PatchEmpty);
            if opposite {
                let sentence = "the patch cannot be empty and non-empty";
                return Err(self.refuse(&field, sentence, "keep one of the two"));
            }
        }
        Ok(all)
    }

    pub(super) fn model(&self, engine: Option<&EngineChoice>) -> Checked<()> {
        match engine.and_then(|engine| engine.model.as_deref()) {
            Some(model) => self.line("engine.model", model, 200),
            None => Ok(()),
        }
    }

    pub(super) fn script(
        &self,
        path: Option<&str>,
        engine: Option<&EngineChoice>,
        attachments: &mut Attachments,
    ) -> Checked<Option<Digest>> {
        let Some(path) = path else { return Ok(None) };
        if let Some(engine) = engine.filter(|engine| engine.id.as_str() != "fixture") {
            let sentence =
                format!("only the engine `fixture` plays a script, and the contract names `{}`", engine.id);
            return Err(self.refuse("script", sentence, "remove `script`, or name the engine `fixture`"));
        }
        let bytes = self.read("script", path)?;
        let digest = Digest::of(&bytes);
        attachments.script = Some(bytes);
        Ok(Some(digest))
    }
}

/// Whether one path is the other, or lies beneath it.
fn overlaps(a: &str, b: &str) -> bool {
    let beneath = |path: &str, top: &str| {
        path.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    beneath(a, b) || beneath(b, a)
}
