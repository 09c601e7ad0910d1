//! The adapter of the sample engine: a task's instructions into its commands, its lines into claims.
//!
//! Instructions are lines `replace OLD NEW`; everything else of them is for people. What the engine says is passed on as
//! it was said: the harness holds it against what it saw.

use std::cell::RefCell;

wit_bindgen::generate!({ path: "../../../adapter.wit", world: "adapter" });

use exports::cto::adapter::seam::{
    CommandClaim, Ending, Event, EventKind, Guest, Job, LaunchPlan, Outcome, Output, Step, Value,
};

struct Wordy;

/// What the engine has said so far.
#[derive(Default)]
struct Said {
    files: Vec<String>,
    commands: Vec<CommandClaim>,
    last: Option<String>,
    bye: bool,
    stopped: bool,
    exit: String,
}

thread_local! {
    static SAID: RefCell<Said> = RefCell::default();
}

fn event(kind: EventKind, fields: Vec<(&str, Value)>) -> Step {
    let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Step::Event(Event { kind, fields })
}

/// The commands that the instructions hold.
fn commands(job: &Job) -> Vec<&str> {
    job.instructions.lines().map(str::trim).filter(|line| line.starts_with("replace ")).collect()
}

impl Guest for Wordy {
    fn plan(job: Job) -> Result<LaunchPlan, String> {
        if commands(&job).is_empty() {
            return Err("the instructions hold no line `replace OLD NEW`".to_owned());
        }
        let boast = job.instructions.lines().find_map(|line| line.trim().strip_prefix("boast "));
        Ok(LaunchPlan {
            arguments: vec![job.workspace],
            environment: boast.map(|text| ("WORDY_BOAST".to_owned(), text.to_owned())).into_iter().collect(),
            starts_at_home: false,
            home_folders: Vec::new(),
            home_files: Vec::new(),
            sealed_files: Vec::new(),
        })
    }

    fn opening(job: Job) -> Vec<Step> {
        let mut lines = commands(&job).join("\n");
        lines.push_str("\ngo\n");
        vec![Step::Send(lines.into_bytes())]
    }

    fn on_line(from: Output, line: Vec<u8>) -> Vec<Step> {
        let text = String::from_utf8_lossy(&line).into_owned();
        let raw = || event(EventKind::RawUnrecognized, vec![("line", Value::Text(text.clone()))]);
        let (word, rest) = text.split_once(' ').unwrap_or((&text, ""));
        SAID.with_borrow_mut(|said| match (from, word) {
            // After the end nothing counts any more.
            (Output::Stdout, _) if said.bye => vec![raw()],
            (Output::Stdout, "hello") => {
                vec![event(EventKind::PhaseStarted, vec![("phase", Value::Text(rest.to_owned()))])]
            }
            (Output::Stdout, "say") => {
                said.last = Some(rest.to_owned());
                vec![event(EventKind::Message, vec![("text", Value::Text(rest.to_owned()))])]
            }
            (Output::Stdout, "changed") => {
                said.files.push(rest.to_owned());
                let path = ("path", Value::Text(rest.to_owned()));
                vec![event(
                    EventKind::FileChanged,
                    vec![path, ("change", Value::Text("modified".to_owned()))],
                )]
            }
            (Output::Stdout, "ran") => {
                let (code, command) = rest.split_once(' ').unwrap_or(("", rest));
                let exit_code = code.parse().ok();
                said.commands.push(CommandClaim { command: command.to_owned(), exit_code });
                let mut fields = vec![("command", Value::Text(command.to_owned()))];
                fields.extend(exit_code.map(|code| ("exit_code", Value::Number(code))));
                vec![event(EventKind::EvidenceClaimed, fields)]
            }
            (Output::Stdout, "bye") => {
                said.bye = true;
                vec![Step::CloseInput, Step::Done]
            }
            _ => vec![raw()],
        })
    }

    fn on_exit(exit: String) -> Vec<Step> {
        SAID.with_borrow_mut(|said| said.exit = exit);
        Vec::new()
    }

    fn declined(_why: String) -> Vec<Step> {
        Vec::new()
    }

    fn interrupt() -> Vec<Step> {
        SAID.with_borrow_mut(|said| said.stopped = true);
        vec![Step::Send(b"stop\n".to_vec())]
    }

    fn conclude() -> Outcome {
        let said = SAID.take();
        let ending = match (said.stopped, said.bye && said.exit == "exited:0") {
            (true, _) => Ending::Interrupted,
            (false, true) => Ending::Completed,
            (false, false) => Ending::Crashed,
        };
        Outcome {
            ending,
            message: said.last,
            commands: said.commands,
            files: said.files,
            statements: Vec::new(),
            input_tokens: None,
            output_tokens: None,
        }
    }

    fn recommendation() -> Option<String> {
        Some("have somebody read the changed words in their sentences".to_owned())
    }
}

export!(Wordy);
