//! `cto engine admit|license|enable|disable`: an operator's signed records of a gated engine.

use std::path::Path;

use super::args_engine::{AdmitArgs, EnableArgs, LicenseArgs};
use super::output::Output;
use super::problem::Problem;
use super::proof::tell;
use super::signer::{gated, mode, moment, signer};
use super::{Exit, audited};
use crate::approval::Role;
use crate::audit::Act;
use crate::eligibility::Observed;
use crate::engine::EngineManifest;
use crate::home::Home;
use crate::proof::{
    AdmissionRecord, EnablingRecord, Grounds, LicenceNote, ProofFolder, earned, look, sign, tree_digest,
};
use crate::vocab::{Digest, GitId, Timestamp};

/// Bytes of a decision that is read from a file.
const DECISION_BYTES: u64 = 4_096;

/// Looks at every file of an installation and records them.
pub(super) fn admit(args: &AdmitArgs, output: &mut Output) -> Result<Exit, Problem> {
    output.for_programs(args.json);
    let home = Home::open()?;
    let manifest = gated(&home, &args.engine)?;
    let who = signer(&home, &args.signer, Role::Operate)?;
    let remedy = "name the folder that holds the whole installation";
    let read = |source| Problem::Read { path: args.installation.clone(), source, remedy };
    let place = args.installation.canonicalize().map_err(read)?;
    let files = look(&place)?;
    let record = AdmissionRecord {
        engine: manifest.id.clone(),
        admitted_at: Timestamp::now(),
        origin: args.origin.clone(),
        commit: git_id("commit", &args.commit)?,
        tree: git_id("tree", &args.tree)?,
        runtime: args.runtime.clone(),
        installation: in_words(&place)?,
        program: args.program.clone(),
        entry: args.entry.clone(),
        tree_digest: tree_digest(&files).map_err(|error| Problem::usage(error.to_string(), remedy))?,
        files,
    };
    let (count, tree) = (record.files.len(), record.tree_digest);
    let signed = sign(record, &who.name, &who.key)?;
    keep(&home, &manifest, "admission", &who.name, || {
        ProofFolder::of(&home.proof_dir(), &manifest.id).keep(&signed)
    })
    .map(|digest| tell(output, "admitted", &format!("{} of {count} objects, {tree}", manifest.id), digest))?;
    Ok(Exit::Pass)
}

fn git_id(name: &str, text: &str) -> Result<GitId, Problem> {
    GitId::new(text)
        .map_err(|_| Problem::usage(format!("`--{name}` is not a git id"), "write its 40 hex digits"))
}

fn in_words(path: &Path) -> Result<String, Problem> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| {
        Problem::usage("the path is not UTF-8", "move the installation to a path with plain names")
    })
}

fn keep(
    home: &Home,
    manifest: &EngineManifest,
    kind: &str,
    by: &crate::vocab::PrincipalName,
    keep: impl FnOnce() -> Result<Digest, crate::proof::RecordError>,
) -> Result<Digest, Problem> {
    audited::announce(home, Act::KeepRecord, format!("{kind} of {} by {by}", manifest.id))?;
    Ok(keep()?)
}

/// The tree that is admitted now: what licence notes and enablings are about.
fn admitted_tree(home: &Home, manifest: &EngineManifest) -> Result<Digest, Problem> {
    let remedy = format!("admit an installation first: `cto engine admit {}`", manifest.id);
    let refuse = |why: String| Problem::usage(why, remedy.clone());
    let grounds = Grounds::read(home).map_err(refuse)?;
    let folder = ProofFolder::of(&home.proof_dir(), &manifest.id);
    match earned(&folder, manifest.digest, &grounds.at(Timestamp::now())).admission {
        Observed::Seen(kept) => Ok(kept.signed.record.tree_digest),
        Observed::Absent(why) | Observed::Error(why) => Err(refuse(format!("nothing is admitted: {why}"))),
    }
}

/// Records under which licence the admitted installation may be used.
pub(super) fn license(args: &LicenseArgs, output: &mut Output) -> Result<Exit, Problem> {
    output.for_programs(args.json);
    let home = Home::open()?;
    let manifest = gated(&home, &args.engine)?;
    let who = signer(&home, &args.signer, Role::Operate)?;
    let decision = match (&args.decision, &args.decision_file) {
        (Some(text), _) => Some(text.clone()),
        (None, Some(path)) => Some(text_of(path)?),
        (None, None) => None,
    };
    let record = LicenceNote {
        engine: manifest.id.clone(),
        noted_at: Timestamp::now(),
        tree_digest: admitted_tree(&home, &manifest)?,
        spdx: args.spdx.clone().unwrap_or_else(|| "NOASSERTION".to_owned()),
        decision,
        widest_mode: mode(&args.widest_mode)?,
        expires_at: args.expires.as_deref().map(moment).transpose()?,
    };
    let unresolved = record.unresolved();
    let what = format!("{} under {} up to mode {}", manifest.id, record.spdx, record.widest_mode);
    let signed = sign(record, &who.name, &who.key)?;
    let digest = keep(&home, &manifest, "licence note", &who.name, || {
        ProofFolder::of(&home.proof_dir(), &manifest.id).keep(&signed)
    })?;
    tell(output, "noted", &what, digest);
    if let Some(why) = unresolved {
        let line = super::output::Line::new().add(super::output::Tone::Warn, "note: ");
        output.note(&line.plain(format!("this resolves nothing: {why}; see --decision")));
    }
    Ok(Exit::Pass)
}

fn text_of(path: &Path) -> Result<String, Problem> {
    use std::io::Read as _;
    let remedy = "name a text file with the decision";
    let read = |source| Problem::Read { path: path.to_owned(), source, remedy };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(read)?;
    file.take(DECISION_BYTES + 1).read_to_string(&mut text).map_err(read)?;
    Ok(text.trim_end().to_owned())
}

/// Lets the admitted installation be used, or ends that.
pub(super) fn enable(args: &EnableArgs, enabled: bool, output: &mut Output) -> Result<Exit, Problem> {
    output.for_programs(args.json);
    let home = Home::open()?;
    let manifest = gated(&home, &args.engine)?;
    let who = signer(&home, &args.signer, Role::Operate)?;
    let record = EnablingRecord {
        engine: manifest.id.clone(),
        said_at: Timestamp::now(),
        tree_digest: admitted_tree(&home, &manifest)?,
        enabled,
    };
    let signed = sign(record, &who.name, &who.key)?;
    let word = if enabled { "enabled" } else { "disabled" };
    let digest = keep(&home, &manifest, word, &who.name, || {
        ProofFolder::of(&home.proof_dir(), &manifest.id).keep(&signed)
    })?;
    tell(output, word, manifest.id.as_str(), digest);
    Ok(Exit::Pass)
}
