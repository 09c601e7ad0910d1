//! `cto proof show|check`: every record of a gated engine as it counts now, and what it lacks.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::Exit;
use super::args_proof::{ProofCheckArgs, ProofShowArgs};
use super::output::{Line, Output, Tone};
use super::problem::Problem;
use super::signer::gated;
use super::table::Table;
use crate::eligibility::Observed;
use crate::engine::{Catalog, EngineManifest};
use crate::home::Home;
use crate::proof::{AdmissionRecord, Earned, Grounds, Kept, ProofFolder, Record, difference, earned, look};
use crate::store::ConformanceRecords;
use crate::vocab::{Stage, Timestamp};

/// How one thing on record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Holds,
    Missing,
    Wrong,
    NotLookedAt,
}

impl Standing {
    const fn word(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Missing => "missing",
            Self::Wrong => "does not hold",
            Self::NotLookedAt => "not looked at",
        }
    }

    const fn tone(self) -> Tone {
        match self {
            Self::Holds => Tone::Good,
            Self::Missing => Tone::Warn,
            Self::Wrong => Tone::Bad,
            Self::NotLookedAt => Tone::Quiet,
        }
    }
}

struct Row {
    what: String,
    standing: Standing,
    detail: String,
}

/// What is on record of one engine.
pub(super) struct View {
    manifest: EngineManifest,
    pub(super) stage: Stage,
    held: Option<String>,
    /// Where the admitted program lies.
    pub(super) program: Option<PathBuf>,
    rows: Vec<Row>,
}

/// Everything on record of `manifest` in the folder `root`.
pub(super) fn view(home: &Home, root: &Path, manifest: &EngineManifest) -> Result<View, Problem> {
    let grounds = Grounds::read(home).map_err(|why| Problem::usage(why, "see `cto principal list`"))?;
    let folder = ProofFolder::of(root, &manifest.id);
    let found = earned(&folder, manifest.digest, &grounds.at(Timestamp::now()));
    let mut rows = vec![
        gate(&found),
        row("admission", &folder, &found.admission, |one| {
            format!("{} at {}, {} objects", one.origin, one.commit, one.files.len())
        }),
        installation(home, manifest, &found)?,
        row("licence", &folder, &found.licence, |note| {
            let end = note.expires_at.map_or_else(String::new, |end| format!(", until {end}"));
            format!("{}, up to mode `{}`{end}", note.spdx, note.widest_mode)
        }),
        enabling(&folder, &found),
        conformance(home, manifest, &found),
    ];
    rows.extend(promotions(&folder, &found));
    let program = place_of(home, manifest, &found)?.map(|(place, admitted)| place.join(&admitted.program));
    Ok(View { manifest: manifest.clone(), stage: found.stage, held: found.held, program, rows })
}

fn row<T: Record>(
    what: &str,
    folder: &ProofFolder,
    kept: &Observed<Kept<T>>,
    told: impl Fn(&T) -> String,
) -> Row {
    let (standing, detail) = match kept {
        Observed::Seen(kept) => {
            (Standing::Holds, format!("{}; by {}", told(&kept.signed.record), kept.signed.by))
        }
        // What lies there and still counts for nothing is no absence.
        Observed::Absent(why) if folder.path().join(format!("{what}.json")).exists() => {
            (Standing::Wrong, why.clone())
        }
        Observed::Absent(why) => (Standing::Missing, why.clone()),
        Observed::Error(why) => (Standing::Wrong, why.clone()),
    };
    Row { what: what.to_owned(), standing, detail }
}

fn gate(found: &Earned) -> Row {
    let (standing, detail) = match &found.gate {
        Observed::Seen(kept) => {
            let record = &kept.signed.record;
            let stages: Vec<String> =
                record.stages.iter().map(|rule| format!("{}={}", rule.stage, rule.bundles)).collect();
            let detail = format!("{}, until {}; by {}", stages.join(" "), record.expires_at, kept.signed.by);
            let ended = found.stage == Stage::Unproven;
            (if ended { Standing::Wrong } else { Standing::Holds }, detail)
        }
        Observed::Absent(why) => (Standing::Missing, why.clone()),
        Observed::Error(why) => (Standing::Wrong, why.clone()),
    };
    Row { what: "gate".to_owned(), standing, detail }
}

/// Where the admitted installation lies here, with its record.
fn place_of<'a>(
    home: &Home,
    manifest: &EngineManifest,
    found: &'a Earned,
) -> Result<Option<(PathBuf, &'a AdmissionRecord)>, Problem> {
    let Observed::Seen(kept) = &found.admission else { return Ok(None) };
    let admitted = &kept.signed.record;
    let own = home.load_config()?.engine(&manifest.id).installation;
    Ok(Some((own.unwrap_or_else(|| admitted.installation.clone().into()), admitted)))
}

fn installation(home: &Home, manifest: &EngineManifest, found: &Earned) -> Result<Row, Problem> {
    let what = "installation".to_owned();
    let Some((place, admitted)) = place_of(home, manifest, found)? else {
        let detail = "nothing is admitted".to_owned();
        return Ok(Row { what, standing: Standing::Missing, detail });
    };
    if !place.exists() {
        let detail = format!("{} is not on this machine", place.display());
        return Ok(Row { what, standing: Standing::NotLookedAt, detail });
    }
    let (standing, detail) = match look(&place).map(|now| difference(&admitted.files, &now)) {
        Ok(None) => (Standing::Holds, format!("{}: every file is the admitted one", place.display())),
        Ok(Some(other)) => (Standing::Wrong, format!("{}: {other}", place.display())),
        Err(error) => (Standing::Wrong, error.to_string()),
    };
    Ok(Row { what, standing, detail })
}

fn enabling(folder: &ProofFolder, found: &Earned) -> Row {
    match &found.enabling {
        Observed::Seen(kept) if !kept.signed.record.enabled => Row {
            what: "enabling".to_owned(),
            standing: Standing::Missing,
            detail: format!("disabled by {}", kept.signed.by),
        },
        kept => row("enabling", folder, kept, |one| format!("since {}", one.said_at)),
    }
}

/// Of exactly the admitted program and the adapter as it is now.
fn conformance(home: &Home, manifest: &EngineManifest, found: &Earned) -> Row {
    let what = "conformance".to_owned();
    let program = match &found.admission {
        Observed::Seen(kept) => kept.signed.record.program_digest(),
        Observed::Absent(_) | Observed::Error(_) => None,
    };
    let Some(program) = program else {
        return Row { what, standing: Standing::Missing, detail: "nothing is admitted".to_owned() };
    };
    let key = || home.sealing_key().map_err(|error| error.to_string());
    let found = ConformanceRecords::of(home.state()).find(&manifest.id, program, manifest.digest, key);
    let (standing, detail) = match found {
        Ok(Some(one)) if one.record.passed => (Standing::Holds, format!("record {}", one.digest)),
        Ok(Some(one)) => (Standing::Wrong, format!("record {}: the check failed", one.digest)),
        Ok(None) => (Standing::Missing, format!("`cto engine check {}`", manifest.id)),
        Err(error) => (Standing::Wrong, error.to_string()),
    };
    Row { what, standing, detail }
}

/// One row for each stage of the gate record that has a promotion on record.
fn promotions(folder: &ProofFolder, found: &Earned) -> Vec<Row> {
    let there = |stage: &Stage| folder.path().join(format!("promotion-{stage}.json")).exists();
    let told = Stage::ALL.iter().filter(|stage| there(stage)).map(|stage| {
        let what = format!("promotion-{stage}");
        if let Some((_, digest)) = found.promotions.iter().find(|(to, _)| to == stage) {
            Row { what, standing: Standing::Holds, detail: format!("record {digest}") }
        } else {
            let why = found.held.clone().unwrap_or_else(|| "the gate record does not name it".to_owned());
            Row { what, standing: Standing::Wrong, detail: why }
        }
    });
    told.collect()
}

impl View {
    /// What is missing or does not hold, by name.
    pub(super) fn lacks(&self) -> Vec<String> {
        let lacking = self.rows.iter().filter(|row| row.standing != Standing::Holds);
        lacking.map(|row| row.what.clone()).collect()
    }

    fn json(&self) -> Value {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| json!({"record": row.what, "standing": row.standing.word(), "detail": row.detail}))
            .collect();
        json!({"engine": self.manifest.id, "adapter": self.manifest.digest, "stage": self.stage,
            "held": self.held, "records": rows, "lacks": self.lacks()})
    }

    fn say(&self, output: &mut Output) {
        let head = Line::new().add(Tone::Strong, self.manifest.id.as_str()).plain("  stage ");
        output.say(&head.add(Tone::Accent, self.stage.as_str()));
        let mut table = Table::new(&["", "record", "what it says, or what is wrong"]);
        for row in &self.rows {
            table.row([
                (row.standing.tone(), row.standing.word().to_owned()),
                (Tone::Plain, row.what.clone()),
                (Tone::Plain, row.detail.clone()),
            ]);
        }
        for line in table.lines() {
            output.say(&line);
        }
        if let Some(why) = &self.held {
            output.say(&Line::new().add(Tone::Accent, "→ ").plain(why));
        }
    }
}

/// What one engine has earned.
pub(super) fn show(args: &ProofShowArgs, output: &mut Output) -> Result<Exit, Problem> {
    output.for_programs(args.json);
    let home = Home::open()?;
    let manifest = gated(&home, &args.engine)?;
    let root = args.records.clone().unwrap_or_else(|| home.proof_dir());
    let view = view(&home, &root, &manifest)?;
    if args.json {
        output.json(&view.json());
    } else {
        view.say(output);
    }
    Ok(Exit::Pass)
}

/// Every record and its evidence. One that does not hold is exit 1; a proof that nobody opened is exit 3.
pub(super) fn check(args: &ProofCheckArgs, output: &mut Output) -> Result<Exit, Problem> {
    output.for_programs(args.json);
    let home = Home::open()?;
    let root = args.records.clone().unwrap_or_else(|| home.proof_dir());
    let manifests = if args.engines.is_empty() {
        let catalog = Catalog::load(Some(&home.engines_dir()))?;
        catalog.iter().filter(|one| one.gated && root.join(one.id.as_str()).exists()).cloned().collect()
    } else {
        args.engines.iter().map(|name| gated(&home, name)).collect::<Result<Vec<_>, _>>()?
    };
    let mut worst = if manifests.is_empty() { Exit::Blocked } else { Exit::Pass };
    for manifest in &manifests {
        let view = view(&home, &root, manifest)?;
        let wrong = view.rows.iter().any(|row| row.standing == Standing::Wrong);
        let opened = view.stage > Stage::Unproven;
        let exit = match (wrong, opened) {
            (true, _) => Exit::Fail,
            (false, false) => Exit::Blocked,
            (false, true) => Exit::Pass,
        };
        if worst == Exit::Pass || exit == Exit::Fail {
            worst = exit;
        }
        if args.json {
            output.json(&json!({"result": view.json(), "exit_code": exit.code()}));
        } else {
            view.say(output);
        }
    }
    if manifests.is_empty() {
        output.say(&Line::of(format!("no record of a gated engine is in {}", root.display())));
    }
    Ok(worst)
}
