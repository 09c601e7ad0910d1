//! All attacks, by both users, and the table of them.

use super::planting;
use super::registry::CLASSES;
use super::spoofs;
use super::survivors;
use super::table::{MARK, Row, complaints, print};
use crate::ordinary;
use crate::rig::is_root;

/// Set for the copy of this program that an ordinary user runs: to print rows, not the table.
const ROWS_ONLY: &str = "ESCAPE_ROWS";

async fn rows() -> Vec<Row> {
    let only = std::env::var("ESCAPE_CLASS").unwrap_or_default();
    let mut rows = Vec::new();
    for class in CLASSES.iter().filter(|class| only.is_empty() || only.contains(class.letter)) {
        rows.extend(class.rows().await);
    }
    if only.is_empty() || only.contains('G') {
        rows.extend(planting::rows());
    }
    if only.is_empty() || only.contains('S') {
        rows.extend(survivors::rows().await);
    }
    if only.is_empty() || only.contains('H') {
        rows.extend(spoofs::rows());
    }
    rows
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
    println!("\n{}", print(&own, &ordinary, is_root()));
    let mut wrong = complaints(&own, "the caller");
    wrong.extend(complaints(&ordinary, "an ordinary user"));
    if is_root() {
        wrong.extend((own.len() != ordinary.len()).then(|| "the users did not try the same".to_owned()));
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}
