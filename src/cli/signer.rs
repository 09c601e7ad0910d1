//! The principal who signs a record, with what can be seen at once to count for nothing refused; and the words that records
//! are made of.

use super::args_proof::SignerArgs;
use super::keyfile;
use super::principal;
use super::problem::Problem;
use crate::approval::Role;
use crate::engine::{Catalog, EngineManifest};
use crate::home::Home;
use crate::vocab::{EngineId, MutationMode, PrincipalName, SealingKey, Stage, Timestamp};

/// Who signs.
pub(super) struct Signer {
    pub(super) name: PrincipalName,
    pub(super) key: SealingKey,
}

/// Reads name and key, and refuses who cannot sign what takes `role`.
pub(super) fn signer(home: &Home, args: &SignerArgs, role: Role) -> Result<Signer, Problem> {
    let name = PrincipalName::parse(&args.principal)
        .map_err(|error| Problem::usage(error.to_string(), "see `cto principal list`"))?;
    let key = keyfile::private(&args.key)?;
    let principals = principal::load(home)?;
    let found = principals.find(&name).ok_or_else(|| {
        let remedy = "an operator adds one: cto principal add NAME --key FILE.pem --role operate|approve";
        Problem::usage(format!("`{name}` is not in the file of principals"), remedy)
    })?;
    let refuse = |sentence: String, remedy: &str| Err(Problem::usage(sentence, remedy));
    if key.public() == home.sealing_key()?.public() {
        return refuse("the sealing key is never a principal's".into(), "sign with a key of your own");
    }
    if found.key(key.public().key_id()).is_none() {
        return refuse(format!("this is not a key of `{name}`"), "give the private half of a registered key");
    }
    if !found.roles.contains(&role) {
        let word = if role == Role::Approve { "approve" } else { "operate" };
        return refuse(format!("`{name}` has no role `{word}`"), "ask a principal who has it");
    }
    if !found.valid_at(Timestamp::now()) {
        return refuse(
            format!("`{name}` is not valid now"),
            "ask an operator to look at the file of principals",
        );
    }
    Ok(Signer { name, key })
}

/// The manifest of a gated engine.
pub(super) fn gated(home: &Home, name: &str) -> Result<EngineManifest, Problem> {
    let remedy = "see `cto engine list`";
    let id = EngineId::parse(name).map_err(|error| Problem::usage(error.to_string(), remedy))?;
    let catalog = Catalog::load(Some(&home.engines_dir()))?;
    match catalog.get(&id) {
        Some(manifest) if manifest.gated => Ok(manifest.clone()),
        Some(_) => Err(Problem::usage(
            format!("`{id}` is built in and has nothing to prove"),
            "see `cto engine check`",
        )),
        None => Err(Problem::usage(format!("engine `{id}` is not registered"), remedy)),
    }
}

/// A stage by its name.
pub(super) fn stage(text: &str) -> Result<Stage, Problem> {
    Stage::ALL.iter().copied().find(|stage| stage.as_str() == text).ok_or_else(|| {
        let all: Vec<&str> = Stage::ALL.iter().map(|stage| stage.as_str()).collect();
        Problem::usage(format!("`{text}` is not a stage"), format!("write one of {}", all.join(", ")))
    })
}

/// A mode by its name.
pub(super) fn mode(text: &str) -> Result<MutationMode, Problem> {
    MutationMode::ALL.iter().copied().find(|mode| mode.as_str() == text).ok_or_else(|| {
        let all: Vec<&str> = MutationMode::ALL.iter().map(|mode| mode.as_str()).collect();
        Problem::usage(format!("`{text}` is not a mode"), format!("write one of {}", all.join(", ")))
    })
}

/// A moment: a date (its beginning in UTC), or RFC 3339.
pub(super) fn moment(text: &str) -> Result<Timestamp, Problem> {
    let whole = format!("{text}T00:00:00Z");
    text.parse::<Timestamp>().or_else(|_| whole.parse()).map_err(|_| {
        Problem::usage(format!("`{text}` is not a date"), "write it like 2027-06-30 or 2027-06-30T12:00:00Z")
    })
}
