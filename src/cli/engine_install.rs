//! `cto engine install|remove`: the registry of engines that are not built in. Each act is on record before it happens.

use super::args_engine::{InstallArgs, RemoveArgs};
use super::output::{Line, Output, Tone};
use super::problem::Problem;
use super::{Exit, audited};
use crate::audit::Act;
use crate::engine::InstalledEngines;
use crate::home::Home;
use crate::vocab::EngineId;

/// Reads, tries and keeps an engine.
pub(super) fn install(args: &InstallArgs, output: &mut Output) -> Result<Exit, Problem> {
    let home = Home::open()?;
    let registry = InstalledEngines::of(&home);
    let found = registry.read(&args.paths)?;
    let (id, module) = (&found.manifest.id, found.module);
    audited::announce(&home, Act::Configure, format!("engine: install {id} {module}"))?;
    registry.place(&found, &home.caller_account()?)?;
    output.say(&Line::new().add(Tone::Good, "installed").plain(format!(" {id}, its adapter is {module}")));
    let hint = "it is gated: it runs once an operator has admitted and enabled it and it has proven itself";
    output.note(&Line::new().add(Tone::Warn, "note: ").plain(hint));
    Ok(Exit::Pass)
}

/// Removes an installed engine.
pub(super) fn remove(args: &RemoveArgs, output: &mut Output) -> Result<Exit, Problem> {
    let id = EngineId::parse(&args.engine);
    let id = id.map_err(|error| Problem::usage(error.to_string(), "see `cto engine list`"))?;
    let home = Home::open()?;
    let registry = InstalledEngines::of(&home);
    registry.holds(&id)?;
    audited::announce(&home, Act::Configure, format!("engine: remove {id}"))?;
    registry.remove(&id)?;
    output.say(&Line::new().add(Tone::Good, "removed").plain(format!(" {id}")));
    Ok(Exit::Pass)
}
