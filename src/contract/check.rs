//! From what was written to what is meant: every rule of SPEC §3 that needs no look at the world.
//!
//! Gated fields stay absent when they are absent. What this version cannot carry out is named in
//! `unsupported` and never dropped.

use std::collections::BTreeSet;

use super::actions::{Action, ActionError};
use super::alternatives::{Instructions, Run};
use super::error::{ContractError, FileProblem, did_you_mean};
use super::globs::PathGlobs;
use super::limits::{self, Ceilings};
use super::model::{
    Authority, AuthorityKind, EngineChoice, Expect, Permission, TaskContract, VerificationCommand,
};
use super::parse::{ContractFiles, MAX_ATTACHMENT_BYTES};
use super::rules;
use super::seal::Attachments;
use super::source::{Node, WireSource};
use super::wire::{AuthorityWire, CommandWire, TaskContractWire};
use crate::vocab::{ActionId, Destination};

/// The longest title or reference, in characters.
const MAX_LINE_CHARS: usize = 200;

/// Everything that checking needs to see.
pub(super) struct Checker<'a> {
    pub(super) source: &'a WireSource,
    pub(super) tree: &'a Node,
    pub(super) base_dir: Option<&'a str>,
    pub(super) files: &'a dyn ContractFiles,
    pub(super) ceilings: &'a Ceilings,
}

pub(super) type Checked<T> = Result<T, ContractError>;

impl Checker<'_> {
    /// The checked contract and the files it brought along.
    pub(super) fn check(&self, wire: TaskContractWire) -> Checked<(TaskContract, Attachments)> {
        if wire.contract_version != "1" {
            return Err(self.refuse("contract_version", "only version \"1\" is known", "write \"1\""));
        }
        self.line("title", &wire.title, MAX_LINE_CHARS)?;
        if let Some(note) = &wire.requested_by {
            self.line("requested_by", note, MAX_LINE_CHARS)?;
        }
        let base_ref = wire.base_ref.unwrap_or_else(|| "HEAD".to_owned());
        let remedy = "name a branch, tag or commit, or leave it out for HEAD";
        rules::base_ref(&base_ref).map_err(|why| self.wrong("base_ref", &base_ref, why, remedy))?;
        self.authority(&wire.authority_basis)?;
        self.globs("allowed_paths", wire.allowed_paths.iter().flatten())?;
        self.globs("may_change_checks", wire.may_change_checks.iter().flatten())?;

        let wanted = wire.limits.unwrap_or_default();
        let (limits, mut unsupported) = limits::settle(&wanted, self.ceilings);
        let spend = limits::settle_spend(wanted.spend.as_ref(), self.ceilings, &mut unsupported);
        self.actions(wire.forbidden_actions.as_deref())?;
        let forbidden = wire.forbidden_actions.as_deref().unwrap_or_default();
        let ask_first = self.ask_first(wire.ask_first, forbidden)?;
        let network_allow = wire.network.map_or_else(Vec::new, |network| network.allow);
        self.network(&network_allow, wire.forbidden_actions.as_deref())?;
        let permissions = self.permissions(wire.permissions.as_deref(), &mut unsupported)?;
        let verification_commands = self.commands(wire.verification_commands, &mut unsupported)?;

        let mut attachments = Attachments::default();
        let engine = wire.engine.map(|engine| EngineChoice { id: engine.id, model: engine.model });
        self.model(engine.as_ref())?;
        let script = self.script(wire.script.as_deref(), engine.as_ref(), &mut attachments)?;
        let task = TaskContract {
            contract_version: wire.contract_version,
            task_id: wire.task_id,
            title: wire.title,
            instructions: self.instructions(wire.instructions)?,
            target_repository: self.target(&wire.target_repository)?,
            base_ref,
            authority_basis: Authority {
                kind: wire.authority_basis.kind,
                reference: wire.authority_basis.reference,
            },
            risk_class: wire.risk_class,
            allowed_paths: wire.allowed_paths,
            forbidden_actions: wire.forbidden_actions,
            ask_first,
            mutation_mode: wire.mutation_mode,
            clean_start: wire.clean_start.unwrap_or(true),
            approval_required: wire.approval_required,
            verification_commands,
            verification_files: self.verification_files(wire.verification_files, &mut attachments)?,
            may_change_checks: wire.may_change_checks.unwrap_or_default(),
            toolchains: self.toolchains(wire.toolchains.unwrap_or_default())?,
            inputs: self.inputs(wire.inputs.unwrap_or_default())?,
            evidence_expectations: self.expectations(wire.evidence_expectations)?,
            engine,
            limits,
            spend,
            unsupported: unsupported.into_iter().collect(),
            network_allow,
            permissions,
            script,
            output: wire.output,
            requested_by: wire.requested_by,
        };
        Ok((task, attachments))
    }

    pub(super) fn refuse(
        &self,
        field: &str,
        sentence: impl Into<String>,
        remedy: impl Into<String>,
    ) -> ContractError {
        let span = self.tree.find(field).map(|node| node.span.clone());
        ContractError::Value(self.source.complaint(span.as_ref(), Some(field.to_owned()), sentence, remedy))
    }

    pub(super) fn wrong(&self, field: &str, text: &str, why: &str, remedy: &str) -> ContractError {
        let text: String = text.chars().take(200).collect();
        self.refuse(field, format!("`{text}` {why}"), remedy)
    }

    pub(super) fn line(&self, field: &str, text: &str, max: usize) -> Checked<()> {
        let remedy = format!("write one line of at most {max} characters");
        rules::one_line(text, max).map_err(|why| self.wrong(field, text, why, &remedy))
    }

    /// Refuses the second of two equal entries.
    pub(super) fn once<'t>(&self, field: &str, seen: &mut BTreeSet<&'t str>, entry: &'t str) -> Checked<()> {
        if seen.insert(entry) {
            Ok(())
        } else {
            Err(self.wrong(field, entry, "stands there twice", "keep one of the two"))
        }
    }

    pub(super) fn read(&self, field: &str, path: &str) -> Checked<Vec<u8>> {
        let plain = path.strip_prefix("./").unwrap_or(path);
        let problem = if self.base_dir.is_none() {
            FileProblem::NoFolder
        } else if rules::relative_path(plain).is_err() {
            FileProblem::Escapes
        } else {
            match self.files.read_beneath(plain, MAX_ATTACHMENT_BYTES) {
                Ok(bytes) if bytes.len() as u64 <= MAX_ATTACHMENT_BYTES => return Ok(bytes),
                Ok(_) => FileProblem::TooLarge { max: MAX_ATTACHMENT_BYTES },
                Err(problem) => problem,
            }
        };
        let remedy = match problem {
            FileProblem::NoFolder => "write the text into the contract, or pass the contract as a file",
            _ => {
                "name a regular file of at most 1 MiB beneath the contract's folder, not reached through a link"
            }
        };
        let span = self.tree.find(field).map(|node| node.span.clone());
        let sentence = format!("the file `{path}` cannot be used: {problem}");
        let complaint = self.source.complaint(span.as_ref(), Some(field.to_owned()), sentence, remedy);
        Err(ContractError::File { complaint, source: problem })
    }

    fn instructions(&self, wire: Instructions) -> Checked<String> {
        let (field, text) = match wire {
            Instructions::Text(text) => ("instructions", text),
            Instructions::File(path) => {
                let bytes = self.read("instructions.file", &path)?;
                let text = String::from_utf8(bytes).map_err(|_| {
                    self.wrong("instructions.file", &path, "is not UTF-8", "save the instructions as UTF-8")
                })?;
                ("instructions.file", text)
            }
        };
        if text.trim().is_empty() {
            return Err(self.refuse(field, "the instructions are empty", "say what is to be done"));
        }
        if text.len() as u64 > MAX_ATTACHMENT_BYTES {
            return Err(self.refuse(field, "the instructions are longer than 1 MiB", "shorten them"));
        }
        Ok(text)
    }

    fn target(&self, target: &str) -> Checked<String> {
        const FIELD: &str = "target_repository";
        if target.is_empty() || target.len() > 4096 || target.chars().any(char::is_control) {
            let why = "is empty, longer than 4096 bytes, or holds a control character";
            return Err(self.wrong(FIELD, target, why, "write a path or a registered URL"));
        }
        if rules::is_url(target) { Ok(target.to_owned()) } else { self.absolute(FIELD, target) }
    }

    /// An absolute path; a relative one starts at the contract's folder.
    pub(super) fn absolute(&self, field: &str, path: &str) -> Checked<String> {
        if path.starts_with('~') {
            return Err(self.wrong(field, path, "starts with `~`", "write the whole path"));
        }
        if path.starts_with('/') {
            return Ok(path.to_owned());
        }
        let Some(base) = self.base_dir else {
            let why = "is relative, and there is no folder to start from";
            return Err(self.wrong(field, path, why, "write an absolute path or a registered URL"));
        };
        let steps = path.split('/').filter(|step| !step.is_empty() && *step != ".");
        let mut whole = base.trim_end_matches('/').to_owned();
        for step in steps {
            whole.push('/');
            whole.push_str(step);
        }
        Ok(if whole.is_empty() { "/".to_owned() } else { whole })
    }

    fn authority(&self, basis: &AuthorityWire) -> Checked<()> {
        const FIELD: &str = "authority_basis.reference";
        self.line(FIELD, &basis.reference, 4096)?;
        if basis.kind == AuthorityKind::LocalPlanning {
            let remedy = "name a planning file beside the contract or in the base tree";
            rules::relative_path(&basis.reference)
                .map_err(|why| self.wrong(FIELD, &basis.reference, why, remedy))?;
        }
        Ok(())
    }

    fn globs<'g>(&self, field: &str, globs: impl Iterator<Item = &'g String>) -> Checked<()> {
        let globs: Vec<&String> = globs.collect();
        PathGlobs::new(&globs).map(|_| ()).map_err(|error| {
            self.refuse(&format!("{field}[{}]", error.index), error.to_string(), error.remedy)
        })
    }

    fn actions(&self, actions: Option<&[ActionId]>) -> Checked<()> {
        let mut seen = BTreeSet::new();
        for (index, id) in actions.into_iter().flatten().enumerate() {
            let field = format!("forbidden_actions[{index}]");
            self.once(&field, &mut seen, id.as_str())?;
            self.action(&field, id)?;
        }
        Ok(())
    }

    pub(super) fn action(&self, field: &str, id: &ActionId) -> Checked<Action> {
        Action::parse(id).map_err(|error| {
            let known: Vec<&str> = super::actions::RULES.iter().map(|rule| rule.id).collect();
            let remedy = match &error {
                ActionError::Unknown(text) => match did_you_mean(text, &known) {
                    Some(name) => format!("did you mean `{name}`?"),
                    None => format!("known: {}, command:<glob>, path:<glob>", known.join(", ")),
                },
                ActionError::Path(error) => error.remedy.to_owned(),
                ActionError::Command(_) => {
                    "write a glob over the arguments, like `command:git push *`".to_owned()
                }
            };
            self.refuse(field, error.to_string(), remedy)
        })
    }

    fn network(&self, allow: &[String], forbidden: Option<&[ActionId]>) -> Checked<()> {
        let mut seen = BTreeSet::new();
        for (index, text) in allow.iter().enumerate() {
            let field = format!("network.allow[{index}]");
            Destination::parse(text).map_err(|error| {
                self.wrong(&field, text, &error.to_string(), "write host:port, like example.org:443")
            })?;
            self.once(&field, &mut seen, text)?;
        }
        let forbids = forbidden.into_iter().flatten().position(|id| id.as_str() == super::actions::EGRESS);
        match forbids {
            Some(index) if !allow.is_empty() => Err(self.refuse(
                &format!("forbidden_actions[{index}]"),
                format!("`{}` is forbidden, and `network.allow` allows it", super::actions::EGRESS),
                "take one of the two out of the contract",
            )),
            _ => Ok(()),
        }
    }

    fn permissions(
        &self,
        given: Option<&[Permission]>,
        unsupported: &mut Vec<String>,
    ) -> Checked<BTreeSet<Permission>> {
        let mut set = BTreeSet::new();
        for (index, permission) in given.into_iter().flatten().enumerate() {
            if !set.insert(*permission) {
                let field = format!("permissions[{index}]");
                return Err(self.refuse(&field, "this permission stands there twice", "keep one of the two"));
            }
            match permission {
                Permission::Commit => {}
                Permission::Push => unsupported.push("permissions.push".to_owned()),
                Permission::Merge => unsupported.push("permissions.merge".to_owned()),
                Permission::Deploy => unsupported.push("permissions.deploy".to_owned()),
                Permission::Close => unsupported.push("permissions.close".to_owned()),
            }
        }
        Ok(set)
    }

    fn commands(
        &self,
        wires: Vec<CommandWire>,
        unsupported: &mut Vec<String>,
    ) -> Checked<Vec<VerificationCommand>> {
        let mut commands = Vec::with_capacity(wires.len());
        for (index, wire) in wires.into_iter().enumerate() {
            let field = format!("verification_commands[{index}].run");
            let argv = match wire.run {
                Run::Argv(argv) => argv,
                Run::Shell(text) if text.trim().is_empty() => Vec::new(),
                Run::Shell(text) => vec!["/bin/sh".to_owned(), "-c".to_owned(), text],
            };
            if argv.first().is_none_or(String::is_empty) || argv.iter().any(|arg| arg.contains('\0')) {
                let sentence = "there is no program to run, or an argument holds a NUL byte";
                return Err(self.refuse(
                    &field,
                    sentence,
                    "write [\"program\", \"argument\"] or a shell text",
                ));
            }
            let ceiling = self.ceilings.verification_timeout_seconds;
            let timeout_seconds =
                wire.timeout.map_or_else(limits::verification_timeout_seconds, |amount| amount.0);
            if timeout_seconds > ceiling {
                let field = format!("verification_commands[{index}].timeout");
                unsupported.push(limits::above(&field, timeout_seconds, ceiling));
            }
            commands.push(VerificationCommand {
                argv,
                timeout_seconds,
                expect: wire.expect.unwrap_or(Expect::Pass),
            });
        }
        Ok(commands)
    }
}
