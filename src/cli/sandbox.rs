//! `cto sandbox`: the same sandbox by hand. Never a broker, key or bundle, and it says that it is not evidence.

use std::path::{Path, PathBuf};

use tokio::signal::unix::{SignalKind, signal};

use super::Exit;
use super::args::SandboxArgs;
use super::learn::Learning;
use super::out_file::{Already, OutFile};
use super::output::{Line, Output, Tone};
use super::problem::Problem;
use crate::contract::{Ceilings, limits};
use crate::eligibility::GROUPS_REMEDY;
use crate::home::Home;
use crate::process::{self, PayloadEvent, ProcessTree};
use crate::run::{clean_up, evidence_places, own_places};
use crate::sandbox::{
    Bind, Grouping, Purpose, Sandbox, SandboxError, SandboxPolicy, Stdio, expect_as, expected_uid, probe,
};
use crate::store::LiveFolder;
use crate::verification::keep_out;
use crate::vocab::Limits;
use crate::workspace::{FolderView, Patch, Placement, RunUid, RunUidLease};

/// Runs one command and ends with its exit code (128 and the signal's number when one ended it).
pub(super) fn sandbox(args: &SandboxArgs, output: &mut Output) -> Result<Exit, Problem> {
    let home = Home::open()?;
    let lease = match expected_uid() {
        Some(lease) => lease,
        None => claim(&home)?,
    };
    clean_up(&home)?;
    let mut policy = policy(args, &home, lease.uid())?;
    let patch = args.patch.as_deref();
    let patch = patch.map(|file| OutFile::open("--patch", file, &policy, Already::Replace)).transpose()?;
    let learning = Learning::prepare(args, &mut policy)?;
    let view = match &args.workspace {
        Some(dir) => {
            let view = View::open(dir, &home, &policy)?;
            policy = policy.in_tree(view.folder.mount());
            Some(view)
        }
        None => None,
    };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Problem::Loop)?;
    let held = grouping(&args.limit) != Grouping::None;
    let Ended { exit, tree, limited } = runtime.block_on(drive(policy, held, output))?;
    let wanted = patch.is_some() || learning.is_some();
    let change = view.as_ref().filter(|_| wanted).map(|view| view.folder.patch()).transpose()?;
    if let Some(learning) = learning {
        learning.write(&home, &exit, &tree, change.as_ref(), output)?;
    }
    if let Some(view) = view {
        if let (Some(file), Some(change)) = (patch, change) {
            write_patch(&view.folder, &change, file, output)?;
        }
        view.folder.remove()?;
    }
    tell_how_it_ended(&exit.status, output);
    Ok(exit_of(&exit.status, limited))
}

fn claim(home: &Home) -> Result<RunUidLease, Problem> {
    let lease = RunUid::claim_by_hand(home.state())?;
    expect_as(lease.uid());
    Ok(lease)
}

/// A command that never started is an error of the call; otherwise only what this was.
fn tell_how_it_ended(status: &str, output: &mut Output) {
    if let Some(why) = status.strip_prefix("not-started:") {
        output.note(&Line::new().add(Tone::Bad, "cto: ").plain(format!("cannot {why}")));
        let remedy = "name a program that exists inside; `--ro DIR` hands a folder in";
        output.note(&Line::new().add(Tone::Quiet, "  remedy: ").plain(remedy));
    }
    if let Some(why) = status.strip_prefix("lost:") {
        let text = format!("the command was not held to its end, and ended: {why}");
        output.note(&Line::new().add(Tone::Bad, "cto: ").plain(text));
        let remedy = "let `cto` see /proc and its control groups until the command has ended; `cto doctor` shows what this host can hold";
        output.note(&Line::new().add(Tone::Quiet, "  remedy: ").plain(remedy));
    }
    output
        .note(&Line::new().add(Tone::Quiet, format!("sandbox: {status}; by hand, so this is not evidence")));
}

/// A view of the caller's folder, with everything it needs in one folder of the state, gone with it.
struct View {
    folder: FolderView,
    _own: LiveFolder,
}

impl View {
    fn open(dir: &Path, home: &Home, policy: &SandboxPolicy) -> Result<Self, Problem> {
        let own = LiveFolder::make(home.state(), "by-hand")?;
        let placement = Placement {
            cache_dir: own.path(),
            run_dir: own.path(),
            uid: policy.uid,
            overlay: probe(home).is_ok_and(|host| host.overlay),
            mounted: Vec::new(),
        };
        let dir = folder(dir, &own_places(home, &home.load_config()?))?;
        if let Some(both) = policy.writable.iter().find(|bind| overlap(&bind.from, &dir)) {
            return Err(Problem::usage(
                format!("--workspace {} and --rw {} overlap", dir.display(), both.from.display()),
                "take `--workspace` for an isolated view, or `--rw` for the folder itself",
            ));
        }
        Ok(Self { folder: FolderView::open(&dir, placement)?, _own: own })
    }
}

/// The patch, unless the folder itself was changed meanwhile under what the patch touches.
fn write_patch(view: &FolderView, patch: &Patch, file: OutFile, output: &mut Output) -> Result<(), Problem> {
    let moved = view.moved_under(patch)?;
    if let Some(first) = moved.first() {
        return Err(Problem::usage(
            format!("the patch is refused: {first} was changed in the folder itself meanwhile"),
            "run the command again on the folder as it is now",
        ));
    }
    for oddity in &patch.oddities {
        output.note(
            &Line::new()
                .add(Tone::Warn, "not in the patch: ")
                .plain(&oddity.path)
                .plain(" ")
                .plain(&oddity.sentence),
        );
    }
    file.publish(&patch.text)
}

/// A command that has ended.
struct Ended {
    exit: process::Exit,
    tree: ProcessTree,
    /// Whether it met a limit.
    limited: bool,
}

/// Follows the command to its end. Ctrl-C is the command's; a second one, or a request to terminate, ends it. `held`:
/// whether a control group was asked for.
async fn drive(policy: SandboxPolicy, held: bool, output: &mut Output) -> Result<Ended, Problem> {
    let sandbox = Sandbox::establish(policy).await?;
    if held && sandbox.group().is_none() {
        let text = format!("no control group here: memory is watched, not held; {GROUPS_REMEDY}");
        output.note(&Line::new().add(Tone::Warn, "cto: ").plain(text));
    }
    let mut interrupts = signal(SignalKind::interrupt()).map_err(Problem::Loop)?;
    let mut terminations = signal(SignalKind::terminate()).map_err(Problem::Loop)?;
    let mut payload = sandbox.start(Stdio::Inherit)?;
    let mut interrupted = false;
    let mut tree = ProcessTree::default();
    let mut limited = false;
    loop {
        let event = tokio::select! {
            event = payload.next() => event,
            _ = interrupts.recv() => {
                let told = if interrupted { payload.terminate() } else { payload.interrupt() };
                told.map_err(SandboxError::from)?;
                interrupted = true;
                continue;
            }
            _ = terminations.recv() => {
                payload.terminate().map_err(SandboxError::from)?;
                continue;
            }
        };
        match event {
            PayloadEvent::LimitReached { name, value, .. } => {
                let text = format!("limit {} of {value} reached; ending the command", name.as_str());
                output.note(&Line::new().add(Tone::Warn, "cto: ").plain(text));
                limited = true;
            }
            PayloadEvent::Exited(exit) => return Ok(Ended { exit, tree, limited }),
            // Only where something is learned; by hand there is no log.
            PayloadEvent::Seen(seen) => drop(tree.take(seen, "sandbox")),
            PayloadEvent::Line { .. } => {}
        }
    }
}

/// `exited:N` → N; `signal:N` → 128 + N, as shells do; a command that never started → 127, or 126 when it is there
/// and may not be executed; one that could not be watched any more → 125, the sandbox's own failure; one that met a limit
/// and said that all went well → 124, as of timeout(1): what was ended may be a part of it that it did not ask after.
fn exit_of(status: &str, limited: bool) -> Exit {
    let number = |text: &str| text.parse::<u8>().ok();
    if limited && status == "exited:0" {
        Exit::Command(124)
    } else if let Some(code) = status.strip_prefix("exited:").and_then(number) {
        Exit::Command(code)
    } else if let Some(signal) = status.strip_prefix("signal:").and_then(number) {
        Exit::Command(signal.saturating_add(128))
    } else if status.starts_with("lost:") {
        Exit::Command(125)
    } else {
        let may_not = std::io::Error::from_raw_os_error(13).to_string();
        Exit::Command(if status.ends_with(&may_not) { 126 } else { 127 })
    }
}

fn policy(args: &SandboxArgs, home: &Home, uid: RunUid) -> Result<SandboxPolicy, Problem> {
    let mut command = Vec::new();
    for word in &args.command {
        command.push(word.to_str().map(str::to_owned).ok_or_else(|| {
            Problem::usage("an argument is not UTF-8", "put it into a file, or call it by another name")
        })?);
    }
    let mut policy = SandboxPolicy::new(Purpose::ByHand, command, uid, limits_of(&args.limit)?);
    policy.group = grouping(&args.limit);
    let config = home.load_config()?;
    policy.landlock_at_most = config.sandbox.landlock_abi_at_most;
    for text in &args.env {
        let (name, value) = split(text, "--env")?;
        policy.env.insert(name.to_owned(), value.to_owned());
    }
    if args.ro.is_empty() && args.rw.is_empty() {
        return Ok(policy);
    }
    let own = own_places(home, &config);
    let evidence = evidence_places(home)?;
    for dir in &args.ro {
        let dir = folder(dir, &[&own[..], &evidence].concat())?;
        policy.read_only.push(Bind::new(&dir, &dir));
    }
    for dir in &args.rw {
        let dir = folder(dir, &own)?;
        if uid.own {
            return Err(Problem::usage(
                format!(
                    "--rw {}: as root the command runs as a host uid of its own, which may not write there",
                    dir.display()
                ),
                "use --workspace DIR --patch FILE, or call `cto sandbox` as the folder's owner",
            ));
        }
        policy.writable.push(Bind::new(&dir, &dir));
    }
    Ok(policy)
}

/// A control group is made for who asks for what it holds: it takes half a millisecond.
fn grouping(words: &[String]) -> Grouping {
    let held = ["memory_bytes=", "processes=", "tree_cpu_seconds="];
    let asked = words.iter().any(|word| held.iter().any(|name| word.starts_with(name)));
    if asked { Grouping::WherePossible } else { Grouping::None }
}

/// A canonical folder that neither holds nor lies in one of the places in `own`.
fn folder(dir: &Path, own: &[PathBuf]) -> Result<PathBuf, Problem> {
    let remedy = "name an existing folder";
    let path = dir.canonicalize().map_err(|source| Problem::Read { path: dir.to_owned(), source, remedy })?;
    keep_out(&path, own).map_err(|problem| Problem::usage(problem.sentence, problem.remedy))?;
    Ok(path)
}

fn overlap(one: &Path, other: &Path) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

fn split<'a>(text: &'a str, option: &str) -> Result<(&'a str, &'a str), Problem> {
    text.split_once('=').ok_or_else(|| {
        Problem::usage(format!("{option} {text}: no `=`"), format!("write {option} NAME=VALUE"))
    })
}

/// The defaults with what the caller says laid over them.
fn limits_of(words: &[String]) -> Result<Limits, Problem> {
    let mut chosen = limits::defaults();
    for word in words {
        let (name, value) = split(word, "--limit")?;
        let number = value.parse::<u64>().ok().filter(|number| *number > 0).ok_or_else(|| {
            Problem::usage(
                format!("--limit {word}: not a positive number"),
                "write a whole number in the limit's unit",
            )
        })?;
        if ["output_bytes", "idle_seconds", "changed_files", "patch_bytes"].contains(&name) {
            return Err(Problem::usage(
                format!(
                    "--limit {name}: not supported by hand, where the command has your own terminal or pipes"
                ),
                "leave it out, or write a contract: `cto run` holds it",
            ));
        }
        let mut most = Ceilings::standard().limits;
        let ceiling = limits::rows(&mut most).into_iter().find(|(known, _)| *known == name);
        if let Some((_, ceiling)) = ceiling.filter(|(_, ceiling)| number > **ceiling) {
            return Err(Problem::usage(
                format!("--limit {word}: above the ceiling of {ceiling}"),
                "ask for less",
            ));
        }
        let mut rows = limits::rows(&mut chosen);
        let names: Vec<&str> = rows.iter().map(|(name, _)| *name).collect();
        let slot = rows.iter_mut().find(|(known, _)| *known == name).map(|(_, slot)| slot);
        let unknown = || {
            let remedy = format!("the names are {}", names.join(", "));
            Problem::usage(format!("--limit {name}: no such limit"), remedy)
        };
        **slot.ok_or_else(unknown)? = number;
    }
    // Nobody counts what goes to the caller's own terminal, so silence there means nothing.
    chosen.idle_seconds = chosen.wall_seconds;
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_named_and_positive() {
        let words = |text: &str| vec![text.to_owned()];
        assert_eq!(limits_of(&words("wall_seconds=7")).unwrap().wall_seconds, 7);
        for bad in ["wall_seconds=0", "wall_seconds", "wall=1", "wall_seconds=-1"] {
            assert!(limits_of(&words(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_commands_own_end_is_the_exit() {
        let told = [("exited:0", 0), ("exited:3", 3), ("signal:9", 137)];
        let ours = [("not-started:no such file", 127), ("lost:limits are not held", 125)];
        for (status, code) in told.into_iter().chain(ours) {
            assert_eq!(exit_of(status, false), Exit::Command(code));
            let limited = if code == 0 { 124 } else { code };
            assert_eq!(exit_of(status, true), Exit::Command(limited), "{status}");
        }
    }

    #[test]
    fn the_installations_own_places_are_never_handed_in() {
        let root = tempfile::tempdir().unwrap();
        let home = Home::at(&root.path().join("h")).unwrap();
        let own = own_places(&home, &home.load_config().unwrap());
        assert!(folder(home.state(), &own).is_err());
        assert!(folder(root.path(), &own).is_err());
        std::fs::create_dir(root.path().join("beside")).unwrap();
        assert!(folder(&root.path().join("beside"), &own).is_ok());
    }
}
