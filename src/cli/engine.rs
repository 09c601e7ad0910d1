//! `cto engine list`: the registered engines and where their programs are.

use std::path::PathBuf;

use super::args::ListArgs;
use super::engine_check::{program_of, state};
use super::output::{Line, Output, Tone};
use super::problem::Problem;
use super::table::Table;
use super::{Exit, proof_view};
use crate::engine::{Catalog, Discover, EngineManifest, InstalledEngines};
use crate::home::Home;
use crate::vocab::{Stage, shown};

/// Every registered engine as a table, or one JSON object a line.
pub(super) fn list(args: &ListArgs, output: &mut Output) -> Result<Exit, Problem> {
    output.for_programs(args.json);
    let home = Home::open()?;
    let config = home.load_config()?;
    let catalog = Catalog::load(Some(&home.engines_dir()))?;
    let mut lacking = Vec::new();
    let mut table = Table::new(&["engine", "trust", "stage", "check", "program", "endpoint", "model"]);
    for manifest in catalog.iter() {
        let own = config.engine(&manifest.id);
        let found = program_of(manifest, &config);
        let (tone, check, checked_at) = state(&home, manifest, found.as_deref().ok());
        let (stage, lacks, admitted) = earned(&home, manifest);
        let found = admitted.map_or(found, Ok);
        let model = own.model.clone().or_else(|| manifest.default_model.clone());
        if args.json {
            output.json(&serde_json::json!({
                "engine": manifest.id, "gated": manifest.gated, "adapter": manifest.adapter,
                "manifest": manifest.digest, "stage": stage, "lacks": lacks,
                "program": found.as_ref().ok(), "problem": found.as_ref().err().map(ToString::to_string),
                "endpoint": own.endpoint, "model": model, "check": check, "checked_at": checked_at,
                "module": manifest.component.as_ref().map(|module| module.digest),
                "origin": InstalledEngines::of(&home).origin(&manifest.id),
            }));
            continue;
        }
        let trust = if manifest.gated { (Tone::Warn, "gated") } else { (Tone::Good, "built-in") };
        let program = match found {
            Ok(path) => (Tone::Plain, path.display().to_string()),
            Err(_) if own.program.is_some() => (Tone::Warn, "not found where configured".into()),
            Err(_) if manifest.program.discover == Discover::ConfiguredOrPath => {
                (Tone::Warn, "not found (not configured, not in PATH)".into())
            }
            Err(_) => (Tone::Warn, "not found".into()),
        };
        table.row([
            (Tone::Strong, manifest.id.to_string()),
            (trust.0, trust.1.into()),
            (Tone::Plain, stage.map_or("-", Stage::as_str).into()),
            (tone, check),
            program,
            (Tone::Plain, own.endpoint.unwrap_or_else(|| "-".into())),
            (Tone::Plain, model.unwrap_or_else(|| "-".into())),
        ]);
        if !lacks.is_empty() {
            let line = Line::of(format!("{} lacks: ", manifest.id)).plain(lacks.join(", "));
            lacking.push(line.add(Tone::Quiet, format!("  (`cto proof show {}`)", manifest.id)));
        }
    }
    if !args.json {
        for line in table.lines().into_iter().chain(lacking) {
            output.say(&line);
        }
        for line in catalog.iter().filter_map(|manifest| installed(&home, manifest)) {
            output.say(&Line::of(line));
        }
    }
    Ok(Exit::Pass)
}

/// Its stage, what it lacks, and where its admitted program lies.
type Earned = (Option<Stage>, Vec<String>, Option<PathBuf>);

/// What a gated engine has earned, and what it lacks; nothing of a built-in one.
fn earned(home: &Home, manifest: &EngineManifest) -> Earned {
    if !manifest.gated {
        return (None, Vec::new(), None);
    }
    match proof_view::view(home, &home.proof_dir(), manifest) {
        Ok(view) => (Some(view.stage), view.lacks(), view.program),
        // A list is no place to fail: without principals that can be read, nothing counts.
        Err(problem) => (Some(Stage::Unproven), vec![problem.reason().sentence], None),
    }
}

/// What an installed engine's adapter is, and where it is from.
fn installed(home: &Home, manifest: &EngineManifest) -> Option<String> {
    let module = manifest.component.as_ref()?;
    let from = match InstalledEngines::of(home).origin(&manifest.id) {
        Some(origin) => format!("{}, {}", shown(&origin.from.display().to_string()), origin.installed_at),
        None => "nobody knows where".to_owned(),
    };
    Some(format!("{}: adapter {} from {from}", manifest.id, module.digest))
}
