//! The folder of a run that was killed: no root, so nothing in it is a result; its log is good up to a signed head.

use super::events;
use super::outcome::Check;
use super::read::{self, Names};
use crate::beneath::Dir;
use crate::evidence::{CHECKPOINTS, EVENTS, TreeHead};
use crate::home::Trust;

const NAME: &str = "prefix";
const NOTHING: &str = "the run was killed before it recorded anything";

/// What can be said of the log. A head that the log contradicts is a failure, not an interruption.
pub(super) fn checks(dir: &Dir, names: &Names, trust: &Trust) -> Vec<Check> {
    // The log is the first file of a bundle, and the checkpoints are the second.
    if names.files.iter().all(|(name, size)| name == EVENTS && *size == 0) {
        return vec![Check::not_done(NAME, NOTHING)];
    }
    if !names.files.contains_key(EVENTS) || !names.files.contains_key(CHECKPOINTS) {
        return vec![Check::failed("folder", "this is no bundle: it has no event log with checkpoints")];
    }
    vec![prefix(dir, trust).unwrap_or_else(|wrong| Check::failed(NAME, wrong))]
}

fn prefix(dir: &Dir, trust: &Trust) -> Result<Check, String> {
    let log = events::open(dir)?;
    let Some(run) = log.run()? else { return Ok(Check::not_done(NAME, NOTHING)) };
    let bytes = read::whole(dir, CHECKPOINTS)?;
    // A cut character at the end is part of a head that was being written.
    let text = bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    let heads = TreeHead::parse_prefix(text, &run);
    let log = log.scan(&run, &heads)?;
    let covered = log.heads(&heads)?;
    if let Some((line, problem)) = log.problem.as_ref().filter(|(line, _)| *line <= covered) {
        return Err(format!("line {line} of the event log does not belong there: {problem}"));
    }
    let Some(last) = heads.last() else {
        return Ok(Check::not_done(NAME, "the run was killed before its first checkpoint"));
    };
    let Some(trusted) = trust.sealing.iter().find(|one| heads.iter().all(|head| head.is_signed_by(&one.key)))
    else {
        return Ok(Check::untrusted(NAME, "no key of the trust file signed all checkpoints"));
    };
    let stage = &last.head.stage;
    let detail = format!(
        "{covered} of {} events, up to checkpoint `{stage}`, signed by `{}`",
        log.count, trusted.name
    );
    Ok(Check::ok(NAME, detail))
}
