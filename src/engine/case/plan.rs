//! How Case is started: a home of its own with nothing in it, the files that it wants, and the broker as its model.
//!
//! It starts from nothing each time: a log or a task of before would make it go on, or do nothing and call that done. It
//! starts in an empty folder, because its runtime executes what it finds in the one it starts in. No value here is
//! secret; the key that it demands is a word.

use std::collections::BTreeMap;

use serde_json::json;

use super::{shims, task};
use crate::engine::adapter::{
    AdapterError, KeptFiles, LaunchPlan, PlanInput, PrivateHome, SealedFile, WORKSPACE,
};
use crate::engine::follow::WatchedFolder;

/// The private home.
pub(super) const HOME: &str = "/case-home";
/// Where the private home has what Case calls `.case` of the repository.
const STATE: &str = "case";
/// Where Case finds it.
const STATE_AT: &str = "/workspace/.case";
/// Folder of programs and stand-ins that are found before all others.
const BIN: &str = "/engine/bin";
/// The folder that it starts in.
const START: &str = "/engine/empty";
/// git's only configuration inside, and the names that it leaves alone.
const GIT_CONFIG: &str = "/engine/gitconfig";
const GIT_IGNORES: &str = "/engine/gitignore";
/// Where programs are found when no toolchain says otherwise.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// Characters of a model's name.
const MODEL_CHARS: usize = 128;
/// Index of the folder of events among the watched ones, and of that of attempts to publish.
pub(super) const EVENTS: usize = 0;
pub(super) const ATTEMPTS: usize = 1;

/// The plan for `input`.
pub(super) fn plan(input: &PlanInput<'_>) -> Result<LaunchPlan, AdapterError> {
    if input.earlier.is_some() {
        return Err(AdapterError::NeverResumed("case".to_owned()));
    }
    let model = model(input)?;
    let id = task::slug(input.contract.task_id.as_str());
    let mut argv = vec![input.program.to_owned()];
    let mut program_also_at = Vec::new();
    let mut files = shims::files(BIN);
    match input.entry {
        // The program is the runtime; what agents call `ca` hands on to it.
        Some(entry) => {
            files.push(shims::wrapper(BIN, input.program, plain(entry)?));
            argv.push(entry.to_owned());
        }
        None => program_also_at.push(format!("{BIN}/ca")),
    }
    let task_file = format!("{STATE_AT}/tasks/active/{id}.task.json");
    argv.extend(["run", "--task", &task_file, "--mode", "unattended", "--model", model].map(str::to_owned));
    files.push(text_file(GIT_CONFIG, &git_config()));
    files.push(text_file(GIT_IGNORES, ".case/\n"));
    let (task_json, brief) = (task::document(input.contract, &id), task::brief(input.contract));
    Ok(LaunchPlan {
        argv,
        env: environment(input),
        cwd: START.to_owned(),
        home: Some(home(input, &id, &task_json, &brief)),
        files,
        needs_listener: true,
        program_also_at,
        empty_at: Some(START.to_owned()),
        watched: watched(&id),
        given: vec![
            ("backend/case/task-before.json".to_owned(), task_json.into_bytes()),
            ("backend/case/brief-before.md".to_owned(), brief.into_bytes()),
        ],
        left: left(&id),
    })
}

/// The entry as it stands in a shell's line.
fn plain(entry: &str) -> Result<&str, AdapterError> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "._/-".contains(c);
    if entry.starts_with('/') && entry.chars().all(fine) {
        return Ok(entry);
    }
    let why = "the path of an entry is letters, digits and `._/-`".to_owned();
    Err(AdapterError::Unwritable { what: "entry".into(), why })
}

/// The model's name as it stands in an argument: nothing that could be read as an option.
fn model<'a>(input: &PlanInput<'a>) -> Result<&'a str, AdapterError> {
    let model = input.model.ok_or_else(|| AdapterError::NoModel("case".into()))?;
    let fine = |c: char| c.is_ascii_alphanumeric() || "._:/-".contains(c);
    let first = model.starts_with(|c: char| c.is_ascii_alphanumeric());
    if first && model.len() <= MODEL_CHARS && model.chars().all(fine) {
        return Ok(model);
    }
    let why = "a model's name is letters, digits and `._:/-`, beginning with a letter or digit".to_owned();
    Err(AdapterError::Unwritable { what: "model".into(), why })
}

fn home(input: &PlanInput<'_>, id: &str, task_json: &str, brief: &str) -> PrivateHome {
    let folders = ["home", "config", "data", "pi", shims::FOLDER, STATE, "case/tasks", "case/tasks/active"];
    let endpoint = format!("http://127.0.0.1:{}", input.listener_port);
    let models = json!({"providers": {"anthropic": {"baseUrl": endpoint}}});
    let config = json!({"version": 1, "projects": "./projects.json", "assetsRepo": task::NOWHERE});
    let file = |name: String, text: String| (name, text.into_bytes());
    PrivateHome {
        at: HOME.to_owned(),
        folders: folders.map(str::to_owned).into(),
        files: vec![
            file("data/config.json".to_owned(), format!("{config:#}\n")),
            file("data/projects.json".to_owned(), task::projects(input.contract, WORKSPACE)),
            file("pi/models.json".to_owned(), format!("{models:#}\n")),
            file(format!("{STATE}/active"), format!("{id}\n")),
            file(format!("{STATE}/tasks/active/{id}.task.json"), task_json.to_owned()),
            file(format!("{STATE}/tasks/active/{id}.md"), brief.to_owned()),
        ],
        kept: None,
        also_at: vec![(STATE.to_owned(), STATE_AT.to_owned())],
    }
}

fn watched(id: &str) -> Vec<WatchedFolder> {
    let named = |begin: &str, end: &str| (begin.to_owned(), end.to_owned());
    vec![
        WatchedFolder { folder: format!("{STATE}/{id}/events"), named: named("", ".jsonl") },
        WatchedFolder { folder: shims::FOLDER.to_owned(), named: named("attempts", ".log") },
    ]
}

/// What becomes evidence of what it left. Markers and its own sums are among it, and nothing rests on them.
fn left(id: &str) -> Vec<KeptFiles> {
    let of_the_task = format!("{STATE}/{id}");
    let rows: [(&str, &str, &str, &str); 11] = [
        (&of_the_task, "run-", ".jsonl", "events"),
        (&of_the_task, "plan", ".json", "plan"),
        (&of_the_task, "tested", "", "tested"),
        (&of_the_task, "manual-tested", "", "manual-tested"),
        (&of_the_task, "reviewed", "", "reviewed"),
        (STATE, "run-log", ".jsonl", "run-log"),
        (STATE, "learnings", ".md", "learnings"),
        ("case/tasks/active", id, ".json", "task-after"),
        ("case/tasks/active", id, ".md", "brief-after"),
        ("case/amendments", "", ".md", "amendments"),
        (shims::FOLDER, "attempts", ".log", "attempts"),
    ];
    let row = |(folder, begin, end, name): (&str, &str, &str, &str)| KeptFiles {
        folder: folder.to_owned(),
        named: (begin.to_owned(), end.to_owned()),
        copies: format!("backend/case/{name}"),
    };
    rows.map(row).into()
}

fn text_file(at: &str, text: &str) -> SealedFile {
    SealedFile { at: at.to_owned(), bytes: text.as_bytes().to_vec(), executable: false }
}

fn git_config() -> String {
    format!(
        "[user]\n\tname = case\n\temail = case@invalid\n[core]\n\texcludesFile = {GIT_IGNORES}\n\
         [safe]\n\tdirectory = *\n[credential]\n\thelper =\n"
    )
}

fn environment(input: &PlanInput<'_>) -> BTreeMap<String, String> {
    let path = input.environment.get("PATH").map_or(PATH, String::as_str);
    let own = [
        // Demanded, and inherited by every tool: the key itself is the broker's.
        ("ANTHROPIC_API_KEY", "unused".to_owned()),
        ("ASSETS_REPO", task::NOWHERE.to_owned()),
        ("CASE_DATA_DIR", format!("{HOME}/data")),
        ("GIT_CONFIG_GLOBAL", GIT_CONFIG.to_owned()),
        ("GIT_CONFIG_NOSYSTEM", "1".to_owned()),
        ("GIT_TERMINAL_PROMPT", "0".to_owned()),
        ("HOME", format!("{HOME}/home")),
        ("LANG", "C.UTF-8".to_owned()),
        ("NO_COLOR", "1".to_owned()),
        ("PATH", format!("{BIN}:{path}")),
        ("PI_CODING_AGENT_DIR", format!("{HOME}/pi")),
        ("TMPDIR", "/tmp".to_owned()),
        ("XDG_CONFIG_HOME", format!("{HOME}/config")),
    ];
    let mut env = input.environment.clone();
    env.extend(own.map(|(name, value)| (name.to_owned(), value)));
    env
}
