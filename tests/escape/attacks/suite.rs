//! All attacks, by both users, and the table of them.

use std::collections::BTreeSet;
use std::sync::Mutex;

use super::planting;
use super::registry::{CLASSES, LIMITS};
use super::survivors;
use super::table::{MARK, Row, complaints, elsewhere, print};
use super::{spoofs, streams};
use crate::ordinary;
use crate::rig::is_root;

/// Set for the copy of this program that an ordinary user runs: to print rows, not the table.
const ROWS_ONLY: &str = "ESCAPE_ROWS";

/// How many whole runs go on at once, for each user: most of the time, each waits.
const AT_ONCE: usize = 3;

async fn rows() -> Vec<Row> {
    let only = std::env::var("ESCAPE_CLASS").unwrap_or_default();
    let asked = |letter: char| only.is_empty() || only.contains(letter);
    let mut runs: Vec<Box<dyn Fn() -> Row + Send>> = Vec::new();
    if asked('G') {
        runs.extend(planting::all());
    }
    if asked('H') {
        runs.extend(spoofs::all());
    }
    let runs = std::thread::spawn(move || side_by_side(runs));
    let mut rows = Vec::new();
    for class in CLASSES.iter().filter(|class| asked(class.letter)) {
        rows.extend(class.rows().await);
    }
    if asked('S') {
        rows.extend(survivors::rows().await);
    }
    rows.extend(runs.join().unwrap());
    if asked('L') {
        rows.extend(LIMITS.rows().await);
    }
    if asked('O') {
        rows.extend(streams::rows());
    }
    rows
}

/// Does all of them, some at once, and gives their rows in order.
fn side_by_side(runs: Vec<Box<dyn Fn() -> Row + Send>>) -> Vec<Row> {
    let waiting = Mutex::new(runs.into_iter().enumerate());
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some((at, run)) = waiting.lock().unwrap().next() else { return };
                    let row = run();
                    done.lock().unwrap().push((at, row));
                }
            });
        }
    });
    planting::clean();
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, row)| row).collect()
}

/// The rows of an ordinary user, by a copy of this program.
fn rows_of_another() -> Vec<Row> {
    let mut copy = ordinary::copy();
    copy.args(["--exact", "attacks::suite::every_attack_is_held", "--nocapture"]).env(ROWS_ONLY, "1");
    if let Ok(class) = std::env::var("ESCAPE_CLASS") {
        copy.env("ESCAPE_CLASS", class);
    }
    let output = copy.output();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "as an ordinary user:\n{text}\n{errors}");
    text.lines()
        .filter_map(|line| line.split_once(MARK))
        .map(|(_, row)| serde_json::from_str(row).unwrap())
        .collect()
}

#[tokio::test]
async fn every_attack_is_held() {
    // At the same time: each waits for processes most of the time.
    let another = is_root().then(|| std::thread::spawn(rows_of_another));
    let own = rows().await;
    if std::env::var_os(ROWS_ONLY).is_some() {
        for row in &own {
            println!("{MARK}{}", serde_json::to_string(row).unwrap());
        }
        return;
    }
    let ordinary = another.map(|thread| thread.join().unwrap()).unwrap_or_default();
    println!("\n{}\n{}", print(&own, &ordinary, is_root()), elsewhere());
    let mut wrong = complaints(&own, "the caller");
    wrong.extend(complaints(&ordinary, "an ordinary user"));
    let ids: BTreeSet<&str> = own.iter().map(|row| row.id.as_str()).collect();
    wrong.extend((ids.len() != own.len()).then(|| "two attacks have one id".to_owned()));
    if is_root() {
        wrong.extend((own.len() != ordinary.len()).then(|| "the users did not try the same".to_owned()));
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}
