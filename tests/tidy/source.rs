//! Reading the tree, and Rust text with comments and literals blanked so that rules look at code alone.

use std::fs;
use std::path::{Path, PathBuf};

/// One file: path relative to the repository's top, with `/`, and its text.
pub struct File {
    pub path: String,
    pub text: String,
}

impl File {
    pub fn new(path: &str, text: &str) -> Self {
        Self { path: path.into(), text: text.into() }
    }
}

/// The repository's top.
pub fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every text file below `folders` whose name ends in one of `ends`, sorted. Missing folders hold nothing.
pub fn files(folders: &[&str], ends: &[&str]) -> Vec<File> {
    let mut found = Vec::new();
    for folder in folders {
        walk(&top().join(folder), ends, &mut found);
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn walk(dir: &Path, ends: &[&str], found: &mut Vec<File>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(top()).unwrap().to_string_lossy().replace('\\', "/");
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            walk(&path, ends, found);
        } else if ends.iter().any(|end| name.ends_with(end)) {
            let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
            found.push(File { path: name, text });
        }
    }
}

/// `text` with comments, strings and character literals replaced by spaces; lines and columns stay.
pub fn code(text: &str) -> String {
    let bytes: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let len = literal_or_comment(&bytes[at..], at.checked_sub(1).map(|before| bytes[before]));
        let blank = len > 0;
        for c in &bytes[at..at + len.max(1)] {
            out.push(if blank && *c != '\n' { ' ' } else { *c });
        }
        at += len.max(1);
    }
    out
}

/// Characters of the comment or literal that begins here; 0 when none does.
fn literal_or_comment(rest: &[char], before: Option<char>) -> usize {
    let word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    match rest {
        ['/', '/', ..] => rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
        ['/', '*', ..] => block_comment(rest),
        ['"', ..] => 1 + string_body(&rest[1..]),
        ['b' | 'c', '"', ..] if !word => 2 + string_body(&rest[2..]),
        ['r', '"' | '#', ..] if !word => raw_string(rest, 1),
        ['b' | 'c', 'r', '"' | '#', ..] if !word => raw_string(rest, 2),
        ['\'', '\\', _, tail @ ..] => 3 + tail.iter().position(|c| *c == '\'').map_or(0, |end| end + 1),
        ['\'', _, '\'', ..] => 3,
        _ => 0,
    }
}

fn block_comment(rest: &[char]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        match &rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => {
                (depth, at) = (depth - 1, at + 2);
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    at
}

/// Up to and with the closing quote.
fn string_body(rest: &[char]) -> usize {
    let mut at = 0;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn raw_string(rest: &[char], prefix: usize) -> usize {
    let hashes = rest[prefix..].iter().take_while(|c| **c == '#').count();
    if rest.get(prefix + hashes) != Some(&'"') {
        return 0; // a raw identifier
    }
    let body = prefix + hashes + 1;
    let mut at = body;
    while at < rest.len() {
        if rest[at] == '"' && rest[at + 1..].iter().take_while(|c| **c == '#').take(hashes).count() == hashes
        {
            return at + 1 + hashes;
        }
        at += 1;
    }
    rest.len()
}

/// The code before the file's own test module; nothing for files that hold only tests.
pub fn shipped(file: &File) -> String {
    let name = file.path.rsplit('/').next().unwrap_or("");
    let only_tests = ["_tests.rs", "_oracle.rs"].iter().any(|end| name.ends_with(end));
    if name == "tests.rs" || name.starts_with("tests_") || only_tests {
        return String::new();
    }
    let code = code(&file.text);
    match code.find("#[cfg(test)]\nmod tests").or_else(|| code.find("#[cfg(test)]\npub(super) mod tests")) {
        Some(end) => code[..end].to_owned(),
        None => code,
    }
}
