//! The order of checking: the folder, the root and who signed it, the list of digests, then what it all says.
//!
//! A check that a later one rests on ends the work when it fails: nothing is concluded from bytes that the root
//! does not cover.

use std::collections::BTreeMap;
use std::path::Path;

use super::outcome::{Check, CheckState, VerifyError, VerifyReport};
use super::read::{Hashed, Names};
use super::{
    BundleContents, Expect, approvals, asked, derive, document, events, incomplete, money, proof, read,
};
use crate::beneath::Dir;
use crate::contract::SealedContract;
use crate::evidence::{
    CHECKPOINTS, CONTRACT, CTRF, DECISION, EVENTS, Envelope, PREDICATE_TYPE, REPORT, ROOT, Report,
    RootStatement, SARIF, STATEMENT_TYPE, SUMMARY, SUMS, SignedHead, TRACE, TreeHead, render_sums, subjects,
};
use crate::home::Trust;
use crate::vocab::{Digest, Timestamp, strict_json};

/// Files without which a folder is no bundle.
const NEEDED: [&str; 11] =
    [CONTRACT, DECISION, REPORT, SUMMARY, EVENTS, TRACE, SARIF, CTRF, CHECKPOINTS, SUMS, ROOT];
/// Rows for what is joined on elsewhere.
const TREES: &str =
    "--repo was not given: the trees, the patch's effect and the secret scan were not derived again";
const REPLAY: &str = "--replay was not given: verification was not run again";

/// Checks the bundle in the folder `path`. `now` is for `max-age` only.
pub fn verify(
    path: &Path,
    trust: &Trust,
    expect: &Expect,
    now: Timestamp,
) -> Result<VerifyReport, VerifyError> {
    let dir = Dir::open_root(path).map_err(|source| VerifyError::Open { path: path.to_owned(), source })?;
    let mut checks = Vec::new();
    let names = match read::names(&dir) {
        Ok(names) => names,
        Err(wrong) => {
            checks.push(Check::failed("folder", wrong));
            return Ok(VerifyReport::new(path, true, checks, None));
        }
    };
    if !names.files.contains_key(ROOT) {
        return Ok(VerifyReport::new(path, false, incomplete::checks(&dir, &names, trust), None));
    }
    let contents = sealed(&dir, &names, trust, expect, now, &mut checks);
    Ok(VerifyReport::new(path, true, checks, contents))
}

/// The checks of a sealed bundle, in order; `None` as soon as one fails on which the rest would stand.
fn sealed(
    dir: &Dir,
    names: &Names,
    trust: &Trust,
    expect: &Expect,
    now: Timestamp,
    checks: &mut Vec<Check>,
) -> Option<BundleContents> {
    if let Some(missing) = NEEDED.iter().find(|name| !names.files.contains_key(**name)) {
        checks.push(Check::failed("folder", format!("`{missing}` is missing")));
        return None;
    }
    checks.push(Check::ok("folder", format!("{} files, all well named and regular", names.files.len())));
    let (envelope, statement) = keep(checks, "root", root(dir))?;
    checks.push(signature(&envelope, trust));
    if checks.iter().any(|check| check.state == CheckState::Failed) {
        return None;
    }
    let (notes, heads) = keep(checks, "sums", heads(dir, &statement))?;
    let known = heads.as_deref().unwrap_or(&[]);
    let (log, mut hashed) = keep(checks, "sums", read_all(dir, names, &statement, known))?;
    hashed.digests.insert(EVENTS.to_owned(), log.digest);
    hashed.digests.insert(CHECKPOINTS.to_owned(), notes);
    keep(checks, "sums", sums(dir, &statement, &hashed))?;
    checks.push(Check::ok("sums", format!("{} files are exactly what the root names", hashed.digests.len())));

    checks.push(Check::of("events", derive::events(&log, &statement.predicate)));
    let heads = keep(checks, "checkpoints", heads)?;
    checks.push(derive::heads(&log, &heads, &statement.predicate, &envelope, trust));
    let contents = contents(statement, hashed, checks)?;
    let sealer = trust.sealing.iter().find(|trusted| trusted.key.key_id() == envelope.key_id);
    checks.extend(derive::contract_and_decision(&contents));
    checks.extend(derive::report(&contents));
    checks.extend(asked::checks(&contents));
    checks.extend(document::check(&contents, dir));
    checks.extend(proof::check(&contents));
    checks.push(derive::verdict(&contents, log.verdict.as_deref()));
    checks.push(log.programs.check(contents.report.sections.processes.as_ref()));
    checks.push(money::check(&contents, &log.calls));
    checks.push(log.layers.check(&contents.report.sections));
    let sections = &contents.report.sections;
    checks.push(log.attempts.check(&sections.times.attempts, sections.processes.as_ref()));
    checks.push(derive::files(&contents, log.trace));
    checks.push(approvals::check(&contents, trust, sealer.map(|trusted| &trusted.key)));
    let answers = approvals::read(&contents);
    checks.push(log.granted.check(&contents, answers, trust, sealer.map(|trusted| &trusted.key)));
    checks.extend(expect.check(&contents.root, now));
    checks.push(Check::not_done("trees", TREES));
    checks.push(Check::not_done("replay", REPLAY));
    Some(contents)
}

fn keep<T>(checks: &mut Vec<Check>, name: &'static str, answer: Result<T, String>) -> Option<T> {
    answer.map_err(|wrong| checks.push(Check::failed(name, wrong))).ok()
}

fn root(dir: &Dir) -> Result<(Envelope, RootStatement), String> {
    let bytes = read::whole(dir, ROOT)?;
    let text = str::from_utf8(&bytes).map_err(|error| format!("`{ROOT}` is not text: {error}"))?;
    let envelope = Envelope::parse(text).map_err(|error| error.to_string())?;
    let statement: RootStatement = strict_json(&envelope.payload)
        .map_err(|error| format!("the root's statement does not read: {error}"))?;
    let canonical = serde_json::to_vec(&statement).map_err(|error| error.to_string())?;
    if canonical != envelope.payload {
        return Err("the root's statement is not in the one form that is written here".to_owned());
    }
    if statement.kind != STATEMENT_TYPE || statement.predicate_type != PREDICATE_TYPE {
        return Err(format!("the root is a `{}`, which is not known here", statement.predicate_type));
    }
    Ok((envelope, statement))
}

fn signature(envelope: &Envelope, trust: &Trust) -> Check {
    let Some(trusted) = trust.sealing.iter().find(|trusted| trusted.key.key_id() == envelope.key_id) else {
        let detail = format!("sealed by key {}, which the trust file does not name", envelope.key_id);
        return Check::untrusted("signature", detail);
    };
    if envelope.is_signed_by(&trusted.key) {
        Check::ok("signature", format!("sealed by `{}`, key {}", trusted.name, envelope.key_id))
    } else {
        Check::failed(
            "signature",
            format!("the root is not signed by `{}`, whose key it names", trusted.name),
        )
    }
}

/// Heads, or why they do not read. That counts only once the file is known to be the sealed one.
type Heads = Result<Vec<SignedHead>, String>;

/// The digest of the file of checkpoints, and its heads.
fn heads(dir: &Dir, statement: &RootStatement) -> Result<(Digest, Heads), String> {
    let bytes = read::whole(dir, CHECKPOINTS)?;
    let text = str::from_utf8(&bytes).map_err(|error| format!("`{CHECKPOINTS}` is not text: {error}"));
    let run = &statement.predicate.run_id;
    let heads = text.and_then(|text| TreeHead::parse_all(text, run).map_err(|error| error.to_string()));
    Ok((Digest::of(&bytes), heads))
}

/// Reads everything once, the event log beside the rest.
fn read_all(
    dir: &Dir,
    names: &Names,
    statement: &RootStatement,
    heads: &[SignedHead],
) -> Result<(events::Log, Hashed), String> {
    let rest = names.files.keys().filter(|name| ![EVENTS, CHECKPOINTS, SUMS, ROOT].contains(&name.as_str()));
    std::thread::scope(|scope| {
        let beside = scope.spawn(|| events::open(dir)?.scan(&statement.predicate.run_id, heads));
        let hashed = read::hash_files(dir, rest)?;
        let log = beside.join().map_err(|_| "the thread that reads the event log died".to_owned())??;
        Ok((log, hashed))
    })
}

/// The list of digests is what was read, the root's subjects are that list, and nothing else is in the folder.
fn sums(dir: &Dir, statement: &RootStatement, hashed: &Hashed) -> Result<(), String> {
    let bytes = read::whole(dir, SUMS)?;
    if subjects(Digest::of(&bytes), &hashed.digests) != statement.subject {
        return Err(difference(statement, &bytes, &hashed.digests));
    }
    if render_sums(&hashed.digests).as_bytes() != bytes {
        return Err(format!("`{SUMS}` is not the list of the root's files"));
    }
    Ok(())
}

/// What differs, for a person: the first few names.
fn difference(statement: &RootStatement, sums: &[u8], found: &BTreeMap<String, Digest>) -> String {
    let sealed: BTreeMap<&str, &str> =
        statement.subject.iter().map(|s| (s.name.as_str(), s.digest.sha256.as_str())).collect();
    let mut wrong = Vec::new();
    for (name, digest) in
        found.iter().map(|(name, digest)| (name.as_str(), *digest)).chain([(SUMS, Digest::of(sums))])
    {
        match sealed.get(name) {
            None => wrong.push(format!("`{name}` was added")),
            Some(sealed) if **sealed != digest.hex() => wrong.push(format!("`{name}` was changed")),
            Some(_) => {}
        }
    }
    let missing = sealed.keys().filter(|name| **name != SUMS && !found.contains_key(**name));
    wrong.extend(missing.map(|name| format!("`{name}` is missing")));
    wrong.truncate(10);
    if wrong.is_empty() {
        "the root names its files in another order or twice".to_owned()
    } else {
        wrong.join("; ")
    }
}

fn contents(statement: RootStatement, mut hashed: Hashed, checks: &mut Vec<Check>) -> Option<BundleContents> {
    let bytes = hashed.kept.remove(REPORT).ok_or_else(|| format!("`{REPORT}` is too large"));
    let report: Report = keep(checks, "report", bytes.and_then(|bytes| parse_report(&bytes)))?;
    let mut contents = BundleContents {
        root: statement.predicate,
        report,
        contract: None,
        decision: None,
        files: hashed.kept,
        sums: hashed.digests,
    };
    if contents.withheld(CONTRACT).is_none() {
        let bytes = contents.files.remove(CONTRACT).ok_or_else(|| format!("`{CONTRACT}` is too large"));
        let read = bytes.and_then(|bytes| SealedContract::reopen(&bytes).map_err(|error| error.to_string()));
        contents.contract = keep(checks, "contract", read);
    }
    if contents.withheld(DECISION).is_none() {
        let bytes = contents.files.remove(DECISION).ok_or_else(|| format!("`{DECISION}` is too large"));
        let read = bytes.and_then(|bytes| {
            strict_json(&bytes).map_err(|error| format!("`{DECISION}` does not read: {error}"))
        });
        contents.decision = keep(checks, "decision", read);
    }
    Some(contents)
}

fn parse_report(bytes: &[u8]) -> Result<Report, String> {
    let report: Report = strict_json(bytes).map_err(|error| format!("`{REPORT}` does not read: {error}"))?;
    let mut canonical = serde_json::to_vec_pretty(&report).map_err(|error| error.to_string())?;
    canonical.push(b'\n');
    if canonical == bytes {
        Ok(report)
    } else {
        Err(format!("`{REPORT}` is not in the one form that is written here"))
    }
}
