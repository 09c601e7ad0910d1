//! `cto proof open|run|promote`: the records of a gated engine's staged proof. Each is announced before it is kept.

use serde_json::json;

use super::args_proof::{ProofOpenArgs, ProofPromoteArgs, ProofRunArgs};
use super::bundle_view::BundleView;
use super::output::{Line, Output, Tone};
use super::problem::Problem;
use super::signer::{gated, moment, signer, stage};
use super::{Exit, audited, run};
use crate::approval::Role;
use crate::audit::Act;
use crate::home::Home;
use crate::proof::{Asking, GateRecord, Grounds, ProofFolder, StageRule, earned, promotion, sign};
use crate::run::{ContractInput, RunRequest};
use crate::vocab::{Digest, PrincipalName, Stage, Timestamp};

/// Seconds that an opened proof lasts, where nobody says: a year.
const LASTS: i64 = 365 * 24 * 60 * 60;
/// What each stage takes, where nobody says: the more, the further it reaches.
const STAGES: [(Stage, u32); 4] = [
    (Stage::CopiedFixture, 1),
    (Stage::SandboxRepo, 3),
    (Stage::OwnedNoncriticalRepo, 5),
    (Stage::CandidateDefault, 10),
];

/// Writes the record that comes first.
pub(super) fn open(args: &ProofOpenArgs, output: &mut Output) -> Result<Exit, Problem> {
    output.for_programs(args.json);
    let home = Home::open()?;
    let manifest = gated(&home, &args.engine)?;
    let who = signer(&home, &args.signer, Role::Operate)?;
    let opened_at = Timestamp::now();
    let expires_at = match &args.expires {
        Some(text) => moment(text)?,
        None => opened_at.plus_seconds(LASTS).unwrap_or(opened_at),
    };
    let promoters = args.promoter.iter().map(|name| {
        PrincipalName::parse(name)
            .map_err(|error| Problem::usage(error.to_string(), "see `cto principal list`"))
    });
    let record = GateRecord {
        engine: manifest.id.clone(),
        opened_at,
        stages: rules(&args.stage)?,
        promoters: promoters.collect::<Result<_, _>>()?,
        expires_at,
    };
    let signed = sign(record, &who.name, &who.key)?;
    let folder = ProofFolder::of(&home.proof_dir(), &manifest.id);
    audited::announce(
        &home,
        Act::KeepRecord,
        format!("proof gate record of {} by {}", manifest.id, who.name),
    )?;
    let digest = folder.keep(&signed)?;
    tell(output, "opened", &format!("the staged proof of {} until {expires_at}", manifest.id), digest);
    Ok(Exit::Pass)
}

fn rules(words: &[String]) -> Result<Vec<StageRule>, Problem> {
    if words.is_empty() {
        return Ok(STAGES.map(|(stage, bundles)| StageRule { stage, bundles }).to_vec());
    }
    let rule = |word: &String| {
        let wrong =
            || Problem::usage(format!("`{word}` is not STAGE=BUNDLES"), "write it like sandbox-repo=3");
        let (name, bundles) = word.split_once('=').ok_or_else(wrong)?;
        Ok(StageRule { stage: stage(name)?, bundles: bundles.parse().map_err(|_| wrong())? })
    };
    words.iter().map(rule).collect()
}

/// Goes through the gates, and seals what came of it.
pub(super) fn prove(args: &ProofRunArgs, output: &mut Output) -> Result<Exit, Problem> {
    output.for_programs(args.json);
    let engine = gated(&Home::open()?, &args.engine)?.id;
    if stage(&args.stage)? != Stage::DefaultDeny {
        let remedy = format!("its evidence is ordinary runs: `cto run FIXTURE --engine {engine}`");
        return Err(Problem::usage(format!("stage `{}` has no proof of its own", args.stage), remedy));
    }
    let cwd = std::env::current_dir().map_err(|source| Problem::Read {
        path: ".".into(),
        source,
        remedy: "change to a folder that exists",
    })?;
    let request = RunRequest {
        input: ContractInput::Proof(engine.clone()),
        cwd,
        engine: Some(engine),
        out: args.out.clone(),
        wait: false,
        learn: false,
    };
    run::carry(&request, args.json, output)
}

/// Signs that the next stage is earned, where it is.
pub(super) fn promote(args: &ProofPromoteArgs, output: &mut Output) -> Result<Exit, Problem> {
    output.for_programs(args.json);
    let home = Home::open()?;
    let manifest = gated(&home, &args.engine)?;
    let who = signer(&home, &args.signer, Role::Approve)?;
    let to = stage(&args.to)?;
    let bundles = args.evidence.iter().map(|name| Ok(BundleView::find(name)?.dir));
    let bundles = bundles.collect::<Result<Vec<_>, Problem>>()?;
    let grounds = Grounds::read(&home).map_err(|why| Problem::usage(why, "see `cto principal list`"))?;
    let against = grounds.at(Timestamp::now());
    let folder = ProofFolder::of(&home.proof_dir(), &manifest.id);
    let found = earned(&folder, manifest.digest, &against);
    let asking = Asking { to, bundles: &bundles, adapter: manifest.digest, by: &who.name, key: &who.key };
    audited::announce(
        &home,
        Act::KeepRecord,
        format!("promotion of {} to {to} by {}", manifest.id, who.name),
    )?;
    let signed = promotion(&folder, &found, &asking, &against)?;
    let digest = folder.keep(&signed)?;
    tell(output, "promoted", &format!("{} to stage {to}", manifest.id), digest);
    Ok(Exit::Pass)
}

/// What was kept.
pub(super) fn tell(output: &mut Output, word: &str, what: &str, digest: Digest) {
    if output.is_for_programs() {
        output.json(&json!({"done": word, "what": what, "record": digest}));
        return;
    }
    output.say(&Line::new().add(Tone::Good, word).plain(format!(" {what}")));
    output.say(&Line::new().add(Tone::Quiet, format!("record {digest}")));
}
