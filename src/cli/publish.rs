//! `cto publish`: the branch of a run that passed, made or finished; and how that is told.

use super::Exit;
use super::args_again::PublishArgs;
use super::output::{Line, Output, Tone};
use super::problem::Problem;
use crate::home::Home;
use crate::run;
use crate::store::{Publication, RunRecord};

/// Publishes what is due, and says what came of it.
pub(super) fn publish(args: &PublishArgs, output: &mut Output) -> Result<Exit, Problem> {
    output.for_programs(args.json);
    let (run_id, publication) = run::publish(&Home::open()?, &args.run)?;
    let exit = exit_of(&publication);
    if args.json {
        let answer =
            serde_json::json!({"run_id": run_id, "publication": publication, "exit_code": exit.code()});
        output.json(&serde_json::json!({"result": answer}));
    } else {
        tell(&publication, output);
    }
    Ok(exit)
}

/// How a call ends whose run passed.
pub(super) fn exit_of(publication: &Publication) -> Exit {
    match publication {
        Publication::Done { .. } | Publication::Nothing => Exit::Pass,
        Publication::Refused { code, .. } if code != run::UNRECORDED => Exit::Blocked,
        Publication::Begun { .. } | Publication::Refused { .. } => Exit::Unrecorded,
    }
}

/// The full name of the branch that is in the target.
pub(super) fn made(publication: &Publication) -> Option<String> {
    match publication {
        Publication::Done { branch, .. } => Some(format!("refs/heads/{branch}")),
        Publication::Begun { .. } | Publication::Nothing | Publication::Refused { .. } => None,
    }
}

/// One or two lines for a person.
pub(super) fn tell(publication: &Publication, output: &mut Output) {
    match publication {
        Publication::Done { branch, commit } => {
            let line = Line::of(" ").plain("branch in the target: ").add(Tone::Accent, branch);
            output.say(&line.add(Tone::Quiet, format!(" at {commit}")));
        }
        Publication::Nothing => output.say(&Line::of(" nothing changed, so no branch was made")),
        Publication::Begun { branch, commit } => {
            let line = Line::of(" ").add(Tone::Warn, format!("the branch {branch} at {commit} was begun"));
            output.say(&line.plain(": `cto publish` finishes it"));
        }
        Publication::Refused { code, sentence, remedy } => {
            output.say(&Line::of(" ").add(Tone::Bad, format!("no branch was made ({code}): {sentence}")));
            output.say(&Line::of("   remedy: ").plain(remedy));
        }
    }
}

/// What the record says, where a branch is permitted.
pub(super) fn tell_record(record: &RunRecord, output: &mut Output) {
    if let Some(publication) = &record.publication {
        tell(publication, output);
    } else if record.publication_is_due() {
        let line = Line::of(" ").add(Tone::Warn, "its branch was not published");
        output.say(&line.plain(format!(": cto publish {}", record.run_id)));
    }
}

/// A word for the list of runs.
pub(super) const fn word(record: &RunRecord) -> Option<&'static str> {
    match &record.publication {
        Some(Publication::Done { .. }) => Some("published"),
        Some(Publication::Nothing) => Some("nothing to publish"),
        Some(Publication::Begun { .. }) => Some("publishing begun"),
        Some(Publication::Refused { .. }) => Some("not published"),
        None => None,
    }
}
