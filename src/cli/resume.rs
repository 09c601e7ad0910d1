//! `cto resume`: goes on with runs whose processes died.

use serde_json::json;

use super::Exit;
use super::args_again::ResumeArgs;
use super::output::{Line, Output, Tone};
use super::problem::Problem;
use super::run::watched;
use crate::home::Home;
use crate::run::{resumable, resume as go_on};

/// Goes on with one run, or with all, or lists those that can be gone on with.
pub(super) fn resume(args: &ResumeArgs, output: &mut Output) -> Result<Exit, Problem> {
    output.for_programs(args.json);
    let home = Home::open()?;
    match (&args.run, args.all) {
        (Some(run), _) => watched(args.json, output, |watching| go_on(&home, run, watching)),
        (None, true) => all(&home, args.json, output),
        (None, false) => list(&home, args.json, output),
    }
}

/// One after the other, the oldest first. One that cannot be gone on with does not keep the next from its turn; the
/// answer is the first that is not a pass.
fn all(home: &Home, json: bool, output: &mut Output) -> Result<Exit, Problem> {
    let mut first = Exit::Pass;
    let mut refused = None;
    for record in resumable(home)?.into_iter().rev() {
        let exit = watched(json, output, |watching| go_on(home, record.run_id.as_str(), watching));
        match exit {
            Ok(Exit::Interrupted) => return Ok(Exit::Interrupted),
            Ok(exit) if first == Exit::Pass => first = exit,
            Ok(_) => {}
            Err(problem) => {
                let text = crate::vocab::shown(&problem.to_string());
                output.note(&Line::new().add(Tone::Bad, "cto: ").plain(text));
                refused.get_or_insert(problem);
            }
        }
    }
    refused.map_or(Ok(first), Err)
}

fn list(home: &Home, json: bool, output: &mut Output) -> Result<Exit, Problem> {
    let runs = resumable(home)?;
    for record in &runs {
        if json {
            let (run, task, thread) = (&record.run_id, &record.task_id, &record.held.thread);
            output.json(
                &json!({"run_id": run, "task_id": task, "thread_id": thread, "started": record.started}),
            );
        } else {
            let line = Line::new().add(Tone::Accent, format!("cto resume {}", record.run_id));
            output.say(&line.plain(format!("  {}", record.task_id)));
        }
    }
    if runs.is_empty() && !json {
        output.say(&Line::of("no run can be gone on with; `cto runs` lists all"));
    }
    Ok(Exit::Pass)
}
