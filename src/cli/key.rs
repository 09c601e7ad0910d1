//! `cto key show|rotate`: this machine's sealing key. The private part is never shown.

use serde_json::json;

use super::args::ListArgs;
use super::output::{Line, Output, Tone};
use super::problem::Problem;
use super::{Exit, audited};
use crate::audit::Act;
use crate::home::Home;
use crate::vocab::PublicKey;

/// The public part, as PEM on standard output, ready for `verify.sh`.
pub(super) fn show(args: &ListArgs, output: &mut Output) -> Result<Exit, Problem> {
    output.for_programs(args.json);
    let home = Home::open()?;
    let key = home.sealing_key()?.public();
    answer(&key, output);
    output.note(&Line::new().add(Tone::Quiet, format!("key id {}", key.key_id())));
    Ok(Exit::Pass)
}

/// A new key; bundles sealed before still verify here.
pub(super) fn rotate(args: &ListArgs, output: &mut Output) -> Result<Exit, Problem> {
    output.for_programs(args.json);
    let home = Home::open()?;
    audited::announce(&home, Act::Configure, "sealing key: rotate")?;
    let key = home.rotate_sealing_key()?;
    answer(&key, output);
    let path = home.trust_path();
    output.note(&Line::new().add(Tone::Good, "rotated").plain(format!(
        ": new key id {}; the old key stays trusted in {}",
        key.key_id(),
        path.display()
    )));
    Ok(Exit::Pass)
}

fn answer(key: &PublicKey, output: &mut Output) {
    if output.is_for_programs() {
        output.json(&json!({"key_id": key.key_id(), "public_key": key.to_pem()}));
    } else {
        output.document(key.to_pem().as_bytes());
    }
}
