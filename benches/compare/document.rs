//! `docs/benchmarks.md`: the table, the machine it was measured on, and how. What people wrote below it stays.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use cto_harness::vocab::Timestamp;

use super::place::{Place, version};
use super::rows::{Goal, Measured, Row, millis};

/// From this line on the document belongs to people.
const BY_PEOPLE: &str = "## Where the time goes\n";

/// How many tasks wanted a processor lately: the first three numbers of the kernel's load average.
pub(crate) fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

/// The rows as a Markdown table.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| What | Ours, ms (range) | Peer, ms (range) | Ratio | Goal | |\n|---|--:|--:|--:|--:|---|\n",
    );
    for row in rows {
        match &row.measured {
            Ok(measured) => line(&mut text, row, measured),
            Err(why) => writeln!(text, "| {} | {why} | | | {} | |", row.what, goal(row.goal)).unwrap(),
        }
    }
    text
}

fn line(text: &mut String, row: &Row, measured: &Measured) {
    let times = |(median, low, high): (f64, f64, f64)| {
        // A tenth says too little of what takes less than two milliseconds.
        let digits = match median {
            tiny if tiny < 0.1 => 4,
            small if small < 2.0 => 2,
            _ => 1,
        };
        format!("**{median:.digits$}** ({low:.digits$}–{high:.digits$})")
    };
    let met = match row.goal {
        Goal::Ratio(_, most) => measured.ratio() <= most,
        Goal::Millis(most) => millis(&measured.ours).0 <= f64::from(most),
        Goal::Micros(most) => millis(&measured.ours).0 * 1_000.0 <= f64::from(most),
    };
    let verdict = if met { "met" } else { "missed" };
    writeln!(
        text,
        "| {}, {} rounds | {} | {}: {} | {} | {} | {verdict} |",
        row.what,
        row.rounds,
        times(millis(&measured.ours)),
        measured.peer,
        times(measured.peer_millis),
        ratio(measured.ratio()),
        goal(row.goal),
    )
    .unwrap();
}

fn goal(goal: Goal) -> String {
    match goal {
        Goal::Ratio(text, _) => format!("≤ {text}"),
        Goal::Millis(most) => format!("≤ {most} ms"),
        Goal::Micros(most) => format!("≤ {most} µs"),
    }
}

/// As people say it: `1/12` below a half, else `1.05`.
fn ratio(ratio: f64) -> String {
    if ratio < 0.5 { format!("1/{:.1}", 1.0 / ratio) } else { format!("{ratio:.2}") }
}

/// Writes the document; the part by people is kept.
pub(crate) fn write(path: &Path, rows: &[Row], place: &Place, load_before: &str) {
    let before = std::fs::read_to_string(path).unwrap_or_default();
    let kept = before.find(BY_PEOPLE).map_or("", |at| &before[at..]);
    let text = format!(
        "# Benchmarks\n\n\
         Written by `cargo bench --bench compare`. Medians in milliseconds, shortest and longest in brackets. The \
         contenders of\na row take turns round after round on one file system with warm caches, after one round \
         that is not counted and\nafter `sync`; compare ratios, not milliseconds, with other machines. Peers: the \
         shell script that people write\ninstead (`git worktree add`, `bwrap … /bin/true`, `git diff HEAD`, `git \
         worktree remove`), bubblewrap asked for the\nsame view of the system (without Landlock and system call \
         filter, which it does not bring), `sha256sum` of the\nbundle's files, two writes with \
         `fdatasync` (and the millisecond that the ledger may take beyond them). `cto run` seals a whole bundle \
         each time; the engine is `fixture` without a script.\n\n\
         {}\n{}\n{kept}",
        table(rows),
        circumstances(place, load_before),
    );
    std::fs::write(path, text.trim_end().to_owned() + "\n").unwrap();
}

fn circumstances(place: &Place, load_before: &str) -> String {
    let cores = std::thread::available_parallelism().unwrap();
    let said = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let versions = ["cto", "bwrap", "git", "sha256sum"].map(|program| match program {
        "cto" => said(env!("CARGO_BIN_EXE_cto"), &["--version"]),
        other => version(other).unwrap_or_else(|| format!("no {other}")),
    });
    // What a distribution or a host appends to the release says nothing about speed.
    let kernel = said("uname", &["-sr"]).split('-').next().unwrap().to_owned();
    let home = place.path("");
    format!(
        "- Date: {}\n- Machine: {cores} cores, {}, {}, file system {}\n- Load average before: {load_before}; after: {}\n\
         - Versions: {}\n- Built with `[profile.release]`, as people run it\n",
        Timestamp::now().to_string().split('T').next().unwrap(),
        said("uname", &["-m"]),
        kernel,
        said("stat", &["-f", "-c", "%T", &home.display().to_string()]),
        load(),
        versions.join(", "),
    )
}
