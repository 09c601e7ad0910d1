//! `cto repo add|list`: the registry of repositories that may be targets.

use std::path::{Path, PathBuf};

use super::args::{CriticalityArg, ListArgs, OwnershipArg, RepoAddArgs};
use super::output::{Line, Output, Tone};
use super::problem::Problem;
use super::request::named_in_utf8;
use super::table::Table;
use super::{Exit, audited};
use crate::audit::Act;
use crate::home::{Home, RegisteredCriticality, RegisteredOwnership, RepoEntry};

/// Registers a repository's top under its canonical path.
pub(super) fn add(args: &RepoAddArgs, output: &mut Output) -> Result<Exit, Problem> {
    let path = top_of(&args.dir)?;
    named_in_utf8(&path, "move the repository to a path with plain names")?;
    let home = Home::open()?;
    audited::announce(&home, Act::Configure, format!("repository: put {}", path.display()))?;
    let (before, entry) = home.update_registry(|registry| {
        let before = registry.by_path(&path).cloned();
        let entry = entry(&path, args, before.as_ref());
        registry.put(entry.clone())?;
        Ok((before, entry))
    })?;
    let word = if before.is_some() { "changed" } else { "registered" };
    output.say(&Line::new().add(Tone::Good, word).plain(format!(" {}", path.display())));
    for line in before.iter().flat_map(|before| changes(before, &entry)) {
        output.say(&Line::of("  ").plain(line));
    }
    if entry.owner.is_none() {
        let hint = "without --owner it can be read (mode `none`), but not be the target of a change";
        output.note(&Line::new().add(Tone::Warn, "note: ").plain(hint));
    }
    Ok(Exit::Pass)
}

/// The entry as it shall be: what is not named anew stays as it was.
fn entry(path: &Path, args: &RepoAddArgs, before: Option<&RepoEntry>) -> RepoEntry {
    RepoEntry {
        path: path.to_owned(),
        url: args.url.clone().or_else(|| before?.url.clone()),
        ownership: match args.ownership {
            OwnershipArg::Sandbox => RegisteredOwnership::Sandbox,
            OwnershipArg::Owned => RegisteredOwnership::Owned,
        },
        owner: args.owner.clone().or_else(|| before?.owner.clone()),
        criticality: match args.criticality {
            Some(CriticalityArg::Noncritical) => Some(RegisteredCriticality::Noncritical),
            Some(CriticalityArg::Critical) => Some(RegisteredCriticality::Critical),
            None => before.and_then(|before| before.criticality),
        },
    }
}

/// What is another in an entry that was there, and what stayed.
fn changes(before: &RepoEntry, after: &RepoEntry) -> Vec<String> {
    let cells = cells(before).into_iter().zip(cells(after));
    let told =
        cells.map(
            |((name, old), (_, new))| {
                if old == new { format!("{name}: {new}") } else { format!("{name}: {old} → {new}") }
            },
        );
    told.collect()
}

/// The fields of an entry in words.
fn cells(entry: &RepoEntry) -> [(&'static str, String); 4] {
    let ownership = match entry.ownership {
        RegisteredOwnership::Sandbox => "sandbox",
        RegisteredOwnership::Owned => "owned",
    };
    let criticality = match entry.criticality {
        Some(RegisteredCriticality::Noncritical) => "noncritical",
        Some(RegisteredCriticality::Critical) => "critical",
        None => "-",
    };
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
    [
        ("ownership", ownership.to_owned()),
        ("owner", or_none(&entry.owner)),
        ("criticality", criticality.to_owned()),
        ("url", or_none(&entry.url)),
    ]
}

fn top_of(dir: &Path) -> Result<PathBuf, Problem> {
    let remedy = "name the folder that holds the repository's .git, or a fixture's `repo`";
    let path = dir.canonicalize().map_err(|source| Problem::Read { path: dir.to_owned(), source, remedy })?;
    // A fixture's plain files are a repository, too: the harness imports them.
    let of_a_fixture = path.ends_with("repo")
        && path.parent().is_some_and(|fixture| fixture.join("contract.toml").is_file());
    if path.join(".git").exists() || of_a_fixture {
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
        let [ownership, owner, criticality, url] = cells(entry).map(|(_, text)| text);
        table.row([
            (Tone::Plain, entry.path.display().to_string()),
            (Tone::Plain, ownership),
            (Tone::Plain, owner),
            (Tone::Plain, criticality),
            (Tone::Quiet, url),
        ]);
    }
    for line in table.lines() {
        output.say(&line);
    }
    Ok(Exit::Pass)
}
