//! `cto cancel`: ends another process's run.

use serde_json::json;

use super::Exit;
use super::args_again::CancelArgs;
use super::output::{Line, Output, Tone};
use super::problem::Problem;
use crate::home::Home;
use crate::run::{Cancelled, cancel as end};
use crate::store::RunState;

/// Asks a living run to stop and waits until it has sealed; gives a dead one up. Exit 0 when that is done, 1 when it has
/// not sealed yet, 2 when there was nothing to end.
pub(super) fn cancel(args: &CancelArgs, output: &mut Output) -> Result<Exit, Problem> {
    output.for_programs(args.json);
    let (run_id, became) = end(&Home::open()?, &args.run)?;
    let (exit, word, text) = match &became {
        Cancelled::Sealed(verdict) => {
            (Exit::Pass, "sealed", format!("it stopped and sealed; verdict {}", verdict.as_str()))
        }
        Cancelled::GivenUp => {
            let text = "its process was dead; it is given up, and its bundle stays a prefix".to_owned();
            (Exit::Pass, "given-up", text)
        }
        Cancelled::NotYet => {
            (Exit::Fail, "not-yet", "it was asked to stop, and has not sealed yet; see `cto runs`".to_owned())
        }
        Cancelled::Over(state) => {
            let how = match state {
                RunState::Sealed { verdict } => format!("it ended before: {}", verdict.as_str()),
                RunState::GivenUp => "it was given up before".to_owned(),
                _ => "it ended before, without a seal".to_owned(),
            };
            return Err(Problem::usage(format!("{run_id}: {how}"), "`cto runs` lists what is running"));
        }
    };
    if args.json {
        output.json(&json!({"run_id": run_id, "cancelled": word, "exit_code": exit.code()}));
    } else {
        output.say(&Line::new().add(Tone::Strong, run_id.to_string()).plain(format!(": {text}")));
    }
    Ok(exit)
}
