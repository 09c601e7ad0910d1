//! `cto engine check`: an ordinary run that shows whether the installed program is one that the adapter understands.

use std::path::Path;

use super::args_engine::CheckArgs;
use super::output::{Output, Tone};
use super::problem::Problem;
use super::{Exit, run};
use crate::engine::{EngineManifest, ProgramStore, find_program};
use crate::home::{Config, Home};
use crate::run::{ContractInput, RunRequest};
use crate::store::{Conformance, ConformanceRecords};
use crate::vocab::EngineId;

/// Checks one engine and shows what came of it.
pub(super) fn check(args: &CheckArgs, output: &mut Output) -> Result<Exit, Problem> {
    output.for_programs(args.json);
    let engine = EngineId::parse(&args.engine);
    let engine = engine.map_err(|error| Problem::usage(error.to_string(), "see `cto engine list`"))?;
    let cwd = std::env::current_dir().map_err(|source| Problem::Read {
        path: ".".into(),
        source,
        remedy: "change to a folder that exists",
    })?;
    let request = RunRequest {
        input: ContractInput::Conformance { engine: engine.clone(), logs: args.log.clone() },
        cwd,
        engine: Some(engine),
        out: args.out.clone(),
        wait: false,
        learn: false,
    };
    run::carry(&request, args.json, output)
}

/// Whether the program of `manifest` may be used, as far as that is known without reading the whole of it: the words
/// for `cto engine list`, and the moment of the check.
pub(super) fn state(
    home: &Home,
    manifest: &EngineManifest,
    program: Option<&Path>,
) -> (Tone, String, Option<String>) {
    let plain = |tone, words: &str| (tone, words.to_owned(), None);
    let Some(covered) = manifest.covered().filter(|_| !manifest.gated) else {
        return plain(Tone::Plain, "-");
    };
    let Some(program) = program else { return plain(Tone::Plain, "-") };
    let Some(digest) = ProgramStore::at(home.programs_dir()).known(program) else {
        return plain(Tone::Warn, "not looked at yet");
    };
    let key = || home.sealing_key().map_err(|error| error.to_string());
    match ConformanceRecords::of(home.state()).find(&manifest.id, digest, manifest.digest, key) {
        Ok(Some(Conformance { record, .. })) => {
            let at = record.checked_at.to_string();
            let day = at.split('T').next().unwrap_or(&at);
            let (tone, word) =
                if record.passed { (Tone::Good, "checked") } else { (Tone::Bad, "check failed") };
            (tone, format!("{word} {day}"), Some(at))
        }
        Ok(None) if covered.contains(&digest) => plain(Tone::Good, "covered by this build"),
        Ok(None) => plain(Tone::Warn, "not checked"),
        Err(_) => plain(Tone::Bad, "its record does not count"),
    }
}

/// Where the program of an engine is, by configuration or `PATH`.
pub(super) fn program_of(
    manifest: &EngineManifest,
    config: &Config,
) -> Result<std::path::PathBuf, crate::engine::ProgramError> {
    let beside = std::env::current_exe().ok().and_then(|path| path.parent().map(Path::to_owned));
    let (beside, search) = (beside.unwrap_or_default(), std::env::var_os("PATH"));
    find_program(manifest, config.engine(&manifest.id).program.as_deref(), &beside, search.as_deref())
}
