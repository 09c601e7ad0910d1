//! `cto principal list|add|remove`: the file of principals. There is none by default.

use std::collections::BTreeSet;

use super::args::{ListArgs, PrincipalAddArgs};
use super::output::{Line, Output, Tone};
use super::problem::Problem;
use super::table::Table;
use super::{Exit, audited, keyfile};
use crate::approval::{Principal, Principals, PrincipalsError, Role};
use crate::audit::Act;
use crate::home::{Accounts, Home};
use crate::vocab::PrincipalName;

/// The file as it stands; nobody when there is none.
pub(super) fn load(home: &Home) -> Result<Principals, Problem> {
    match home.load_principals()? {
        Some(found) => Ok(Principals::parse(&found.text)?),
        None => Ok(Principals::default()),
    }
}

/// Every principal as a table, or one JSON object a line.
pub(super) fn list(args: &ListArgs, output: &mut Output) -> Result<Exit, Problem> {
    output.for_programs(args.json);
    let principals = load(&Home::open()?)?;
    let mut table = Table::new(&["principal", "roles", "accounts", "valid until", "keys"]);
    for principal in principals.iter() {
        if args.json {
            output.json(&serde_json::json!(principal));
        }
        let roles: Vec<&str> = principal.roles.iter().map(|role| role_name(*role)).collect();
        let keys: Vec<String> =
            principal.keys.iter().map(|key| format!("{} {}", key.kind().as_str(), key.key_id())).collect();
        table.row([
            (Tone::Strong, principal.name.to_string()),
            (Tone::Plain, roles.join(", ")),
            (Tone::Plain, principal.accounts.join(", ")),
            (Tone::Plain, principal.valid_until.map_or_else(|| "-".into(), |until| until.to_string())),
            (Tone::Quiet, keys.join(", ")),
        ]);
    }
    if principals.iter().next().is_none() {
        output.say(&Line::of("there are no principals; see `cto principal add --help`"));
        return Ok(Exit::Pass);
    }
    for line in table.lines() {
        output.say(&line);
    }
    Ok(Exit::Pass)
}

/// Adds one. This machine's sealing key is never a principal's.
pub(super) fn add(args: &PrincipalAddArgs, output: &mut Output) -> Result<Exit, Problem> {
    let home = Home::open()?;
    let principal = Principal {
        name: name_of(&args.name)?,
        roles: args.role.iter().map(|role| role_of(role)).collect::<Result<BTreeSet<_>, _>>()?,
        accounts: args.account.clone(),
        valid_from: None,
        valid_until: None,
        keys: args.key.iter().map(|file| keyfile::public(file)).collect::<Result<_, _>>()?,
    };
    let (name, sealing) = (principal.name.clone(), home.sealing_key()?.public());
    change(&home, &format!("add {name}"), |principals| {
        principals.add(principal)?;
        principals.refuse_accounts(&name, &Accounts::read())?;
        principals.refuse_key(&sealing)
    })?;
    output.say(&Line::new().add(Tone::Good, "added").plain(format!(" {}", args.name)));
    Ok(Exit::Pass)
}

/// Removes one; answers that it signed count for nothing from now on.
pub(super) fn remove(name: &str, output: &mut Output) -> Result<Exit, Problem> {
    let home = Home::open()?;
    let name = name_of(name)?;
    change(&home, &format!("remove {name}"), |principals| principals.remove(&name).map(|_| ()))?;
    output.say(&Line::new().add(Tone::Good, "removed").plain(format!(" {name}")));
    Ok(Exit::Pass)
}

/// Changes the file as it stands at this moment, announced before it is written.
fn change(
    home: &Home,
    what: &str,
    change: impl FnOnce(&mut Principals) -> Result<(), PrincipalsError>,
) -> Result<(), Problem> {
    home.update_principals(|text| {
        let mut principals = Principals::parse(text)?;
        change(&mut principals)?;
        audited::announce(home, Act::Configure, format!("principal: {what}"))?;
        Ok(principals.to_toml()?)
    })
}

fn name_of(text: &str) -> Result<PrincipalName, Problem> {
    PrincipalName::parse(text).map_err(|error| Problem::usage(error.to_string(), "choose another name"))
}

const fn role_name(role: Role) -> &'static str {
    match role {
        Role::Submit => "submit",
        Role::Approve => "approve",
        Role::Operate => "operate",
    }
}

fn role_of(text: &str) -> Result<Role, Problem> {
    [Role::Submit, Role::Approve, Role::Operate]
        .into_iter()
        .find(|role| role_name(*role) == text)
        .ok_or_else(|| Problem::usage(format!("`{text}` is not a role"), "write submit, approve or operate"))
}
