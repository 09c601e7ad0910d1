//! The sample engine: replaces words in the text files of its work tree, and says so line by line.
//!
//! On standard input it gets one line each: `replace OLD NEW`, `claim TEXT`, then `go`; `stop` ends it. It answers with
//! `hello`, `say TEXT`, `changed PATH`, `ran CODE COMMAND` and `bye`. `WORDY_BOAST` makes it claim a check it never ran.

use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};

fn main() -> std::io::Result<()> {
    let root = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| ".".to_owned()));
    let mut out = std::io::stdout();
    writeln!(out, "hello wordy 1")?;
    let mut pairs = Vec::new();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let mut words = line.splitn(3, ' ');
        match (words.next(), words.next(), words.next()) {
            (Some("replace"), Some(old), Some(new)) => pairs.push((old.to_owned(), new.to_owned())),
            (Some("stop"), ..) => return Ok(()),
            (Some("go"), ..) => break,
            _ => writeln!(out, "say I do not know `{line}`")?,
        }
    }
    let mut changed = 0_usize;
    for path in texts(&root)? {
        let text = std::fs::read_to_string(&path)?;
        let new = pairs.iter().fold(text.clone(), |text, (old, new)| text.replace(old, new));
        if new != text {
            std::fs::write(&path, new)?;
            changed += 1;
            writeln!(out, "changed {}", path.strip_prefix(&root).unwrap_or(&path).display())?;
        }
    }
    if let Ok(boast) = std::env::var("WORDY_BOAST") {
        writeln!(out, "ran 0 {boast}")?;
    }
    writeln!(out, "say replaced words in {changed} files")?;
    writeln!(out, "bye")?;
    out.flush()
}

/// The text files below `root`, sorted, without links and hidden folders.
fn texts(root: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            if kind.is_dir() && !hidden {
                open.push(path);
            } else if kind.is_file() && path.extension().is_some_and(|end| end == "txt") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
