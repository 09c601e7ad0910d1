//! `cto repo add|list`: the registry of repositories that may be targets.

use std::path::{Path, PathBuf};

use super::args::{CriticalityArg, ListArgs, OwnershipArg, RepoAddArgs};
use super::output::{Line, Output, Tone};
use super::problem::Problem;
use super::table::Table;
use super::{Exit, audited};
use crate::audit::Act;
use crate::home::{Home, RegisteredCriticality, RegisteredOwnership, RepoEntry};

/// Registers a repository's top under its canonical path.
pub(super) fn add(args: &RepoAddArgs, output: &mut Output) -> Result<Exit, Problem> {
    let path = top_of(&args.dir)?;
    let home = Home::open()?;
    let entry = RepoEntry {
        path: path.clone(),
        url: args.url.clone(),
        ownership: match args.ownership {
            OwnershipArg::Sandbox => RegisteredOwnership::Sandbox,
            OwnershipArg::Owned => RegisteredOwnership::Owned,
        },
        owner: args.owner.clone(),
        criticality: args.criticality.map(|criticality| match criticality {
            CriticalityArg::Noncritical => RegisteredCriticality::Noncritical,
            CriticalityArg::Critical => RegisteredCriticality::Critical,
        }),
    };
    audited::announce(&home, Act::Configure, format!("repository: put {}", path.display()))?;
    home.update_registry(|registry| registry.put(entry))?;
    output.say(&Line::new().add(Tone::Good, "registered").plain(format!(" {}", path.display())));
    if args.owner.is_none() {
        let hint = "without --owner it can be read (mode `none`), but not be the target of a change";
        output.note(&Line::new().add(Tone::Warn, "note: ").plain(hint));
    }
    Ok(Exit::Pass)
}

fn top_of(dir: &Path) -> Result<PathBuf, Problem> {
    let remedy = "name the folder that holds the repository's .git";
    let path = dir.canonicalize().map_err(|source| Problem::Read { path: dir.to_owned(), source, remedy })?;
    if path.join(".git").exists() {
        Ok(path)
    } else {
        Err(Problem::usage(
            format!("{} is not the top of a git repository with a work tree", path.display()),
            remedy,
        ))
    }
}

/// Every entry as a table, or one JSON object a line.
pub(super) fn list(args: &ListArgs, output: &mut Output) -> Result<Exit, Problem> {
    output.for_programs(args.json);
    let registry = Home::open()?.load_registry()?;
    if args.json {
        for entry in registry.entries() {
            output.json(&serde_json::json!(entry));
        }
        return Ok(Exit::Pass);
    }
    if registry.entries().is_empty() {
        output.say(&Line::of("no repository is registered; see `cto repo add --help`"));
        return Ok(Exit::Pass);
    }
    let mut table = Table::new(&["repository", "ownership", "owner", "criticality", "url"]);
    for entry in registry.entries() {
        let ownership = match entry.ownership {
            RegisteredOwnership::Sandbox => "sandbox",
            RegisteredOwnership::Owned => "owned",
        };
        let criticality = match entry.criticality {
            Some(RegisteredCriticality::Noncritical) => "noncritical",
            Some(RegisteredCriticality::Critical) => "critical",
            None => "-",
        };
        table.row([
            (Tone::Plain, entry.path.display().to_string()),
            (Tone::Plain, ownership.into()),
            (Tone::Plain, entry.owner.clone().unwrap_or_else(|| "-".into())),
            (Tone::Plain, criticality.into()),
            (Tone::Quiet, entry.url.clone().unwrap_or_else(|| "-".into())),
        ]);
    }
    for line in table.lines() {
        output.say(&line);
    }
    Ok(Exit::Pass)
}
