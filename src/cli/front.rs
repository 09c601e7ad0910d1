//! From the words of the call to one command, and from its answer to the exit code.

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args as _, FromArgMatches as _, Parser as _};

use super::args::{Cli, KeyVerb, PrincipalVerb, RepoVerb, SandboxArgs, Verb};
use super::args_engine::EngineVerb;
use super::args_proof::ProofVerb;
use super::output::{Line, Output, Tone, lines_of};
use super::problem::Problem;
use crate::home::Home;
use crate::process::leave_no_core;
use crate::run::clean_up;
use crate::sandbox::{Expected, prepare_zygote};
use crate::vocab::Reason;

use super::{
    Exit, answer, cancel, decide, diff, doctor, engine, engine_check, engine_install, engine_records, key,
    principal, proof, proof_view, publish, repo, resume, run, runs, sandbox, show, spend, verify,
};

/// Verbs that may establish sandboxes.
const CONFINING: [&str; 6] = ["run", "resume", "decide", "verify", "sandbox", "doctor"];

/// What `main` does: parses the call, runs the command, prints what went wrong, gives the exit code.
#[must_use]
pub fn main() -> ExitCode {
    if let Err(error) = leave_no_core() {
        Output::new()
            .note(&Line::of(format!("core dumps could not be turned off, so nothing was done: {error}")));
        return Exit::Unrecorded.into();
    }
    if let Some(expected) = expected_sandboxes() {
        // Where it cannot be made, stubs are executed instead: slower, and confined in the same way.
        prepare_zygote(expected).ok();
    }
    let mut output = Output::new();
    output.for_programs(asked_for_json());
    let exit = match parse() {
        Ok(verb) => match dispatch(&verb, &mut output) {
            Ok(exit) => exit,
            Err(problem) => {
                tell(&problem, &mut output);
                problem.exit()
            }
        },
        Err(error) => explain(&error, &mut output),
    };
    if output.has_failed() { Exit::Unrecorded.into() } else { exit.into() }
}

/// The call by the grammar of its verb alone where that is enough for a sandbox by hand: to put the whole grammar together
/// takes an eighth of such a call. What does not fit is read again by the whole grammar, which knows what to say about it.
fn parse() -> Result<Verb, clap::Error> {
    let words = || std::env::args_os().skip(1);
    if words().next().is_some_and(|verb| verb == "sandbox") {
        let alone = SandboxArgs::augment_args(clap::Command::default()).try_get_matches_from(words());
        if let Ok(args) = alone.and_then(|matches| SandboxArgs::from_arg_matches(&matches)) {
            return Ok(Verb::Sandbox(args));
        }
    }
    Cli::try_parse().map(|cli| cli.verb)
}

/// How many sandboxes the call will establish, guessed before its words make sense; `None` if none. A guess that is
/// wrong costs time and nothing else.
fn expected_sandboxes() -> Option<Expected> {
    let mut words = std::env::args_os().skip(1);
    let verb = words.next()?;
    if !CONFINING.iter().any(|known| verb == *known) {
        return None;
    }
    // An isolated view of a folder is tried out first, in a sandbox of its own.
    let tried =
        words.take_while(|word| word != "--").any(|word| word.as_encoded_bytes().starts_with(b"--workspace"));
    Some(if verb == "sandbox" && !tried { Expected::One } else { Expected::Several })
}

/// Help and version are answers; everything else is a usage error.
fn explain(error: &clap::Error, output: &mut Output) -> Exit {
    let text = error.render();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            output.help(&text);
            Exit::Pass
        }
        _ => {
            output.note_styled(&text);
            if output.is_for_programs() {
                let sentence = text.to_string().lines().next().unwrap_or("").to_owned();
                let reason = Reason::observed("call.invalid", &sentence, "See `cto --help`.");
                output.no_answer(&sentence, &reason, Exit::Invalid.code());
            }
            Exit::Invalid
        }
    }
}

/// Whether a program wants the answer: known before the words make sense, because it wants that answer, too.
fn asked_for_json() -> bool {
    std::env::args_os().skip(1).take_while(|word| word != "--").any(|word| word == "--json")
}

fn tell(problem: &Problem, output: &mut Output) {
    let text = problem.to_string();
    let mut lines = lines_of(&text);
    if let Some(first) = lines.next() {
        output.note(&Line::new().add(Tone::Bad, "cto: ").append(first));
    }
    for line in lines {
        output.note(&line);
    }
    if output.is_for_programs() {
        output.no_answer(&crate::vocab::shown(&text), &problem.reason(), problem.exit().code());
    }
}

/// Whether the next call that uses this installation is this one: it removes what dead processes left.
fn cleans_up(verb: &Verb) -> bool {
    match verb {
        // A run cleans up by itself, once its contract reads, and a sandbox while its first process is made; `spend` reads
        // only; a verb of a later version does nothing.
        Verb::Run(_)
        | Verb::Resume(_)
        | Verb::Cancel(_)
        | Verb::Sandbox(_)
        | Verb::Spend(_)
        | Verb::Proof(_)
        | Verb::Serve(_)
        | Verb::Worker(_) => false,
        // Elsewhere than where a bundle was made, verifying needs no installation and makes none.
        Verb::Verify(args) => args.uses_installation(),
        Verb::Engine(verb) => matches!(verb, EngineVerb::List(_)),
        _ => true,
    }
}

fn dispatch(verb: &Verb, output: &mut Output) -> Result<Exit, Problem> {
    if cleans_up(verb) {
        clean_up(&Home::open()?)?;
    }
    match verb {
        Verb::Run(args) => run::run(args, output),
        Verb::Decide(args) => decide::decide(args, output),
        Verb::Verify(args) => verify::verify(args, output),
        Verb::Approve(args) => answer::approve(args, output),
        Verb::Deny(args) => answer::deny(args, output),
        Verb::Runs(args) => runs::list(args, output),
        Verb::Show(args) => show::show(args, output),
        Verb::Events(args) => show::events(args, output),
        Verb::Logs(args) => show::logs(args, output),
        Verb::Diff(args) => diff::diff(args, output),
        Verb::Spend(args) => spend::spend(args, output),
        Verb::Sandbox(args) => sandbox::sandbox(args, output),
        Verb::Repo(RepoVerb::Add(args)) => repo::add(args, output),
        Verb::Repo(RepoVerb::List(args)) => repo::list(args, output),
        Verb::Principal(PrincipalVerb::List(args)) => principal::list(args, output),
        Verb::Principal(PrincipalVerb::Add(args)) => principal::add(args, output),
        Verb::Principal(PrincipalVerb::Remove { name }) => principal::remove(name, output),
        Verb::Key(KeyVerb::Show(args)) => key::show(args, output),
        Verb::Key(KeyVerb::Rotate(args)) => key::rotate(args, output),
        Verb::Engine(EngineVerb::List(args)) => engine::list(args, output),
        Verb::Engine(EngineVerb::Check(args)) => engine_check::check(args, output),
        Verb::Engine(EngineVerb::Install(args)) => engine_install::install(args, output),
        Verb::Engine(EngineVerb::Remove(args)) => engine_install::remove(args, output),
        Verb::Doctor(args) => doctor::doctor(args, output),
        Verb::Engine(EngineVerb::Admit(args)) => engine_records::admit(args, output),
        Verb::Engine(EngineVerb::License(args)) => engine_records::license(args, output),
        Verb::Engine(EngineVerb::Enable(args)) => engine_records::enable(args, true, output),
        Verb::Engine(EngineVerb::Disable(args)) => engine_records::enable(args, false, output),
        Verb::Resume(args) => resume::resume(args, output),
        Verb::Cancel(args) => cancel::cancel(args, output),
        Verb::Publish(args) => publish::publish(args, output),
        Verb::Proof(ProofVerb::Open(args)) => proof::open(args, output),
        Verb::Proof(ProofVerb::Run(args)) => proof::prove(args, output),
        Verb::Proof(ProofVerb::Promote(args)) => proof::promote(args, output),
        Verb::Proof(ProofVerb::Show(args)) => proof_view::show(args, output),
        Verb::Proof(ProofVerb::Check(args)) => proof_view::check(args, output),
        Verb::Serve(_) => Err(Problem::NotYet("cto serve")),
        Verb::Worker(_) => Err(Problem::NotYet("cto worker")),
    }
}
