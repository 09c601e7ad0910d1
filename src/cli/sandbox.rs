//! `cto sandbox`: the same sandbox by hand. Never a broker, key or bundle, and it says that it is not evidence.

use std::path::{Path, PathBuf};

use super::Exit;
use super::args::SandboxArgs;
use super::output::{Line, Output, Tone};
use super::problem::Problem;
use crate::contract::{Ceilings, limits};
use crate::home::Home;
use crate::process::PayloadEvent;
use crate::sandbox::{Bind, Purpose, Sandbox, SandboxPolicy, Stdio, probe};
use crate::vocab::Limits;
use crate::workspace::{FolderView, Placement, RunUid};

/// Runs one command and ends with its exit code (128 and the signal's number when one ended it).
pub(super) fn sandbox(args: &SandboxArgs, output: &mut Output) -> Result<Exit, Problem> {
    let home = Home::open()?;
    let lease = RunUid::claim(home.state())?;
    let mut policy = policy(args, &home, lease.uid())?;
    // Everything of this call lies in one folder, gone with it.
    let place = |source| Problem::Write { path: home.state().to_owned(), source };
    let own = tempfile::Builder::new().prefix("by-hand-").tempdir_in(home.state()).map_err(place)?;
    let view = match &args.workspace {
        Some(dir) => {
            let view = view(dir, &home, &policy, own.path())?;
            policy = policy.in_tree(view.mount());
            Some(view)
        }
        None => None,
    };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Problem::Loop)?;
    let status = runtime.block_on(drive(policy, output))?;
    if let Some(view) = view {
        if let Some(file) = &args.patch {
            write_patch(&view, file, output)?;
        }
        view.remove()?;
    }
    if output.notes_go_to_a_terminal() {
        let text = format!("sandbox: {status}; by hand, so this is not evidence");
        output.note(&Line::new().add(Tone::Quiet, text));
    }
    Ok(exit_of(&status))
}

fn view(dir: &Path, home: &Home, policy: &SandboxPolicy, own: &Path) -> Result<FolderView, Problem> {
    let placement = Placement {
        cache_dir: own.to_owned(),
        run_dir: own.to_owned(),
        uid: policy.uid,
        overlay: probe().is_ok_and(|host| host.overlay),
        mounted: Vec::new(),
    };
    Ok(FolderView::open(&folder(dir, home)?, &policy.limits, placement)?)
}

/// The patch, unless the folder itself was changed meanwhile under what the patch touches.
fn write_patch(view: &FolderView, file: &Path, output: &mut Output) -> Result<(), Problem> {
    let patch = view.patch()?;
    let moved = view.moved_under(&patch)?;
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
    std::fs::write(file, &patch.text).map_err(|source| Problem::Write { path: file.to_owned(), source })
}

async fn drive(policy: SandboxPolicy, output: &mut Output) -> Result<String, Problem> {
    let sandbox = Sandbox::establish(policy).await?;
    let mut payload = sandbox.start(Stdio::Inherit)?;
    loop {
        match payload.next().await {
            PayloadEvent::LimitReached { name, value, .. } => {
                let name = serde_json::to_value(name).ok().and_then(|n| n.as_str().map(str::to_owned));
                let name = name.unwrap_or_else(|| "of the command".to_owned());
                let text = format!("limit {name} of {value} reached; ending the command");
                output.note(&Line::new().add(Tone::Warn, "cto: ").plain(text));
            }
            PayloadEvent::Exited(exit) => return Ok(exit.status),
            PayloadEvent::Line { .. } => {}
        }
    }
}

/// `exited:N` → N; `signal:N` → 128 + N, as shells do; a command that never started → 127.
fn exit_of(status: &str) -> Exit {
    let number = |text: &str| text.parse::<u8>().ok();
    if let Some(code) = status.strip_prefix("exited:").and_then(number) {
        Exit::Command(code)
    } else if let Some(signal) = status.strip_prefix("signal:").and_then(number) {
        Exit::Command(signal.saturating_add(128))
    } else {
        Exit::Command(127)
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
    for text in &args.env {
        let (name, value) = split(text, "--env")?;
        policy.env.insert(name.to_owned(), value.to_owned());
    }
    for dir in &args.ro {
        let dir = folder(dir, home)?;
        policy.read_only.push(Bind::new(&dir, &dir));
    }
    for dir in &args.rw {
        let dir = folder(dir, home)?;
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

/// A canonical folder that neither holds nor lies in the installation's own places.
fn folder(dir: &Path, home: &Home) -> Result<PathBuf, Problem> {
    let remedy = "name an existing folder";
    let path = dir.canonicalize().map_err(|source| Problem::Read { path: dir.to_owned(), source, remedy })?;
    let own = [home.config(), home.state(), home.cache()];
    if own.iter().any(|place| path.starts_with(place) || place.starts_with(&path)) {
        return Err(Problem::usage(
            format!("{} holds, or lies in, this installation's keys or records", path.display()),
            "hand in a folder beside them",
        ));
    }
    Ok(path)
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
        if ["output_bytes", "idle_seconds", "changed_files"].contains(&name) {
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
        assert_eq!(exit_of("exited:3"), Exit::Command(3));
        assert_eq!(exit_of("signal:9"), Exit::Command(137));
        assert_eq!(exit_of("not-started:no such file"), Exit::Command(127));
    }

    #[test]
    fn the_installations_own_places_are_never_handed_in() {
        let root = tempfile::tempdir().unwrap();
        let home = Home::at(&root.path().join("h")).unwrap();
        assert!(folder(home.state(), &home).is_err());
        assert!(folder(root.path(), &home).is_err());
        std::fs::create_dir(root.path().join("beside")).unwrap();
        assert!(folder(&root.path().join("beside"), &home).is_ok());
    }
}
