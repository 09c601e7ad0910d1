//! `cto doctor`: what this machine can enforce, with the remedy for what it cannot.

use std::path::Path;

use serde_json::json;

use super::Exit;
use super::args::DoctorArgs;
use super::output::{Line, Output, Tone};
use super::problem::Problem;
use crate::eligibility::enforces;
use crate::home::{Config, Home};
use crate::process::remove_left_groups;
use crate::run::clean_up;
use crate::sandbox;
use crate::verification::{KNOWN, ProvisionProblem, SearchPlaces, Toolchain, discover};
use crate::vocab::RiskClass;
use crate::workspace::trim_base_cache;

/// Column of what was found.
const FOUND: usize = 20;

/// Probes the host and looks for toolchains. Exit 3 when a layer that every run needs is missing.
pub(super) fn doctor(args: &DoctorArgs, output: &mut Output) -> Result<Exit, Problem> {
    output.for_programs(args.json);
    let home = Home::open()?;
    if args.clean {
        clean(&home, output)?;
    }
    let config = home.load_config()?;
    let rows = sandbox::doctor(&home);
    let host = sandbox::probe(&home);
    let runs = host.as_ref().is_ok_and(|facts| enforces(facts, RiskClass::Safe));
    let toolchains = toolchains(&config);
    if args.json {
        let layers: Vec<_> = rows
            .iter()
            .map(|row| json!({"layer": row.layer, "ok": row.ok, "detail": row.detail, "remedy": row.remedy}))
            .collect();
        let tools: Vec<_> = toolchains
            .iter()
            .map(|(name, found)| {
                let (detail, remedy) = match found {
                    Ok(detail) => (detail, ""),
                    Err(problem) => (&problem.sentence, problem.remedy.as_str()),
                };
                json!({"name": name, "ok": found.is_ok(), "detail": detail, "remedy": remedy})
            })
            .collect();
        output.json(
            &json!({"layers": layers, "toolchains": tools, "can_run": runs, "places": json_places(&home)}),
        );
        return Ok(if runs { Exit::Pass } else { Exit::Blocked });
    }
    output.say(&Line::new().add(Tone::Strong, "what a sandbox has here"));
    for row in &rows {
        let (tone, mark) = if row.ok { (Tone::Good, "✓") } else { (Tone::Bad, "✗") };
        output.say(&found(tone, mark, &row.layer).plain(&row.detail));
        if !row.remedy.is_empty() {
            output.say(&Line::new().pad_to(FOUND).add(Tone::Accent, "→ ").plain(&row.remedy));
        }
    }
    output.say(&Line::new());
    output.say(&Line::new().add(Tone::Strong, "toolchains"));
    for (name, answer) in &toolchains {
        match answer {
            Ok(detail) => output.say(&found(Tone::Good, "✓", name).plain(detail)),
            Err(problem) => {
                output.say(&found(Tone::Quiet, "-", name).add(Tone::Quiet, &problem.sentence));
                output.say(&Line::new().pad_to(FOUND).add(Tone::Accent, "→ ").plain(&problem.remedy));
            }
        }
    }
    output.say(&Line::new());
    places(&home, output);
    output.say(&Line::new());
    let (tone, text) = if runs {
        (Tone::Good, "this machine can run tasks")
    } else {
        (Tone::Bad, "this machine can run nothing: every run would be blocked by host.sandbox")
    };
    output.say(&Line::new().add(tone, text));
    Ok(if runs { Exit::Pass } else { Exit::Blocked })
}

fn found(tone: Tone, mark: &str, name: &str) -> Line {
    Line::of(" ").add(tone, mark).plain(" ").plain(name).pad_to(FOUND)
}

/// Known and configured names, each with its place or why it is not to be had.
fn toolchains(config: &Config) -> Vec<(String, Result<String, ProvisionProblem>)> {
    let places = SearchPlaces::of_this_process();
    let known = KNOWN.iter().map(|name| (*name).to_owned());
    let own = config.toolchains.keys().filter(|name| !KNOWN.contains(&name.as_str())).cloned();
    known
        .chain(own)
        .map(|name| {
            let answer = discover(&name, &config.toolchains, &places);
            (name, answer.map(|found| describe(&found)))
        })
        .collect()
}

fn named_places(home: &Home) -> [(&'static str, &Path); 3] {
    [("configuration", home.config()), ("state", home.state()), ("cache", home.cache())]
}

fn json_places(home: &Home) -> serde_json::Value {
    named_places(home).into_iter().map(|(name, path)| (name.to_owned(), json!(path))).collect()
}

fn places(home: &Home, output: &mut Output) {
    output.say(&Line::new().add(Tone::Strong, "places"));
    for (name, path) in named_places(home) {
        output.say(&Line::of("   ").plain(name).pad_to(FOUND).plain(path.display().to_string()));
    }
}

/// What dead runs left goes, the control groups of dead processes of this program with whatever is in them; bundles
/// are evidence and stay. Cached bases that nobody holds go as well. Mounts are never made where the host sees them.
fn clean(home: &Home, output: &mut Output) -> Result<(), Problem> {
    let dead = clean_up(home)?;
    let bases = trim_base_cache(home.cache(), 0)?;
    let text = format!("{} dead runs cleaned, {} cached bases removed", dead.len(), bases.len());
    output.note(&Line::new().add(Tone::Good, "clean").plain(format!(": {text}")));
    for group in remove_left_groups() {
        let killed: Vec<String> = group.killed.iter().map(u32::to_string).collect();
        let killed = if killed.is_empty() { String::new() } else { format!(", killed {}", killed.join(" ")) };
        let (tone, what) = match &group.stays {
            None => (Tone::Good, format!(": removed control group {}{killed}", group.dir.display())),
            Some(why) => (Tone::Bad, format!(": cannot remove {}: {why}{killed}", group.dir.display())),
        };
        output.note(&Line::new().add(tone, "clean").plain(what));
    }
    Ok(())
}

fn describe(toolchain: &Toolchain) -> String {
    let version = toolchain.version.as_deref().unwrap_or("version not written anywhere");
    let place = toolchain
        .read_only
        .first()
        .map_or_else(|| "in the system folders".to_owned(), |first| first.from.display().to_string());
    format!("{version}  {place}")
}
