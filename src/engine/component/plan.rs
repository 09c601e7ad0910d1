//! A module's plan, checked and completed by what the harness alone decides: program, places, environment.
//!
//! A plan chooses no path of the sandbox and no program. Variables that would put other code into the admitted program
//! (those of the dynamic linker) are refused, and so are the harness's own.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use super::bindings::seam;
use super::limits::{ARGUMENT_BYTES, ARGUMENTS, FILES, PATH_BYTES, VARIABLES, WORDS_BYTES};
use crate::engine::adapter::{AdapterError, LaunchPlan, PlanInput, PrivateHome, SealedFile, WORKSPACE};
use crate::engine::trouble::{Trouble, TroubleKind};
use crate::vocab::shown;

/// The private home inside.
pub(super) const HOME: &str = "/engine/home";
/// Where read-only files are, inside.
const SEALED: &str = "/engine/files";

/// What is asked of the engine, in the seam's words.
pub(super) fn job(input: &PlanInput<'_>) -> Result<seam::Job, AdapterError> {
    let contract = serde_json::to_string(input.contract);
    let contract = contract
        .map_err(|error| AdapterError::Unwritable { what: "contract".to_owned(), why: error.to_string() })?;
    Ok(seam::Job {
        contract,
        title: input.contract.title.clone(),
        instructions: input.contract.instructions.clone(),
        model: input.model.map(str::to_owned),
        workspace: WORKSPACE.to_owned(),
        listener_port: input.listener_port,
        continued: input.earlier.is_some_and(|earlier| earlier.tree),
    })
}

/// The plan that may be carried out.
pub(super) fn plan(
    answer: Result<seam::LaunchPlan, String>,
    input: &PlanInput<'_>,
) -> Result<LaunchPlan, AdapterError> {
    let from = answer.map_err(|why| AdapterError::Unwritable {
        what: "task".to_owned(),
        why: shown(&why.chars().take(WORDS_BYTES).collect::<String>()),
    })?;
    Ok(checked(from, input)?)
}

fn refuse(what: impl Into<String>) -> Trouble {
    TroubleKind::Plan.because(what)
}

fn checked(from: seam::LaunchPlan, input: &PlanInput<'_>) -> Result<LaunchPlan, Trouble> {
    let mut bytes = 0_usize;
    if from.arguments.len() > ARGUMENTS || from.environment.len() > VARIABLES {
        return Err(refuse(format!("more than {ARGUMENTS} arguments or {VARIABLES} variables")));
    }
    for text in from.arguments.iter().chain(from.environment.iter().flat_map(|(name, value)| [name, value])) {
        bytes = bytes.saturating_add(text.len());
        if text.contains('\0') {
            return Err(refuse("an argument or variable holds a NUL byte"));
        }
    }
    if bytes > ARGUMENT_BYTES {
        return Err(refuse(format!("{bytes} bytes of arguments and variables, at most {ARGUMENT_BYTES}")));
    }
    let mut env = environment(from.environment, input.environment)?;
    let count = from.home_folders.len() + from.home_files.len() + from.sealed_files.len();
    if count > FILES {
        return Err(refuse(format!("{count} files and folders, at most {FILES}")));
    }
    let home = home(from.home_folders, from.home_files, from.starts_at_home)?;
    if home.is_some() {
        env.insert("HOME".to_owned(), HOME.to_owned());
    }
    let files = from.sealed_files.into_iter().map(sealed).collect::<Result<_, _>>()?;
    let cwd = if from.starts_at_home { HOME } else { WORKSPACE };
    Ok(LaunchPlan {
        argv: [input.program.to_owned()].into_iter().chain(from.arguments).collect(),
        env,
        cwd: cwd.to_owned(),
        home,
        files,
        needs_listener: input.model.is_some(),
        ..LaunchPlan::default()
    })
}

fn environment(
    wanted: Vec<(String, String)>,
    given: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Trouble> {
    let mut env = given.clone();
    for (name, value) in wanted {
        let letters = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !begins || !name.chars().all(letters) {
            return Err(refuse("a variable's name is not letters, digits and `_`"));
        }
        let linker = name.starts_with("LD_") || name == "GLIBC_TUNABLES" || name == "GCONV_PATH";
        if linker || ["HOME", "PATH", "TMPDIR"].contains(&name.as_str()) {
            return Err(refuse(format!("the variable `{name}` is not a plan's to set")));
        }
        if env.insert(name.clone(), value).is_some() {
            return Err(refuse(format!("the variable `{name}` is the harness's own, or stands twice")));
        }
    }
    Ok(env)
}

fn home(
    folders: Vec<String>,
    files: Vec<seam::File>,
    starts_there: bool,
) -> Result<Option<PrivateHome>, Trouble> {
    if folders.is_empty() && files.is_empty() && !starts_there {
        return Ok(None);
    }
    folders.iter().chain(files.iter().map(|file| &file.path)).try_for_each(|path| plain(path))?;
    let files = files.into_iter().map(|file| (file.path, file.bytes)).collect();
    Ok(Some(PrivateHome { at: HOME.to_owned(), folders, files, kept: None, also_at: Vec::new() }))
}

fn sealed(file: seam::File) -> Result<SealedFile, Trouble> {
    plain(&file.path)?;
    if file.path.contains('/') {
        return Err(refuse("a read-only file is named with a folder"));
    }
    Ok(SealedFile { at: format!("{SEALED}/{}", file.path), bytes: file.bytes, executable: false })
}

fn plain(path: &str) -> Result<(), Trouble> {
    let parts = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    let fine = parts && !path.is_empty() && path.len() <= PATH_BYTES && !path.contains(['\0', '\n']);
    if fine { Ok(()) } else { Err(refuse(format!("`{}` is no plain relative path", shown(path)))) }
}
