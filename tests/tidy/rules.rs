//! The rules, each a pure function from files to complaints, so that each is tested on bad samples.

use regex::Regex;

use super::source::{File, code, shipped};

/// Longest file, lines.
pub const FILE_LINES: usize = 400;
/// Longest function, lines of code in its body.
pub const FUNCTION_LINES: usize = 70;

/// The import order: a module names only itself and modules before it.
pub const ORDER: [&str; 22] = [
    "vocab",
    "contract",
    "event",
    "beneath",
    "evidence",
    "home",
    "eligibility",
    "approval",
    "workspace",
    "process",
    "sandbox",
    "broker",
    "engine",
    "verification",
    "inspection",
    "learning",
    "verify",
    "proof",
    "store",
    "audit",
    "run",
    "cli",
];

/// Which folders of `src/` may name a crate. Crates that are not listed may be named anywhere.
pub const DOORS: &[(&str, &[&str])] = &[
    ("clap", &["cli"]),
    ("ed25519_dalek", &["vocab"]),
    ("getrandom", &["vocab"]),
    ("git2", &["workspace"]),
    ("http_body_util", &["broker"]),
    ("hyper", &["broker"]),
    ("hyper_util", &["broker"]),
    ("ignore", &["contract"]),
    ("jiff", &["vocab"]),
    ("landlock", &["sandbox"]),
    ("nix", &["sandbox", "process"]),
    ("regex", &["inspection"]),
    // In `broker` it is the part of rustls that has the name.
    ("ring", &["vocab", "broker"]),
    ("rustix", &["sandbox", "process", "beneath"]),
    ("sha2", &["vocab"]),
    ("ssh_key", &["vocab"]),
    ("similar", &["cli", "inspection"]),
    ("terminal_size", &["cli"]),
    ("tokio", &["process", "sandbox", "broker", "engine", "verification", "run", "cli"]),
    ("toml", &["contract", "home", "engine", "approval", "broker"]),
    ("unicode_normalization", &["workspace"]),
    ("uuid", &["vocab"]),
    ("wasmtime", &["engine"]),
];

fn complaint(file: &File, line: usize, what: &str) -> String {
    format!("{}:{line}: {what}", file.path)
}

/// Line number, from 1, of a byte offset.
fn line_of(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}

/// The part of the flow that a file belongs to.
pub fn module_of(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("src/")?;
    let first = rest.split('/').next()?;
    let name = first.strip_suffix(".rs").unwrap_or(first);
    ORDER.contains(&name).then_some(name)
}

/// Every file says first why it exists.
pub fn opens_with_doc(file: &File) -> Vec<String> {
    if file.text.starts_with("//! ") {
        Vec::new()
    } else {
        vec![complaint(file, 1, "does not open with `//! `")]
    }
}

/// No file is longer than one sitting.
pub fn file_length(file: &File) -> Vec<String> {
    let lines = file.text.lines().count();
    if lines <= FILE_LINES { Vec::new() } else { vec![complaint(file, lines, "is longer than 400 lines")] }
}

/// No function is longer than one screen.
pub fn function_length(file: &File) -> Vec<String> {
    let code = code(&file.text);
    let head = Regex::new(r"\bfn\s+([A-Za-z_0-9]+)").unwrap();
    let mut complaints = Vec::new();
    for found in head.captures_iter(&code) {
        let whole = found.get(0).unwrap();
        let Some(lines) = body_lines(&code[whole.end()..]) else { continue };
        if lines >= FUNCTION_LINES {
            let what = format!("`{}` has {lines} lines, 70 are too many", &found[1]);
            complaints.push(complaint(file, line_of(&code, whole.start()), &what));
        }
    }
    complaints
}

/// Lines with code between the first `{` and its `}`; `None` for a declaration without body.
fn body_lines(rest: &str) -> Option<usize> {
    let open = rest.find(['{', ';'])?;
    if rest[open..].starts_with(';') {
        return None;
    }
    let mut depth = 0_usize;
    for (at, c) in rest[open..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            let body = &rest[open + 1..open + at];
            return Some(body.lines().filter(|line| !line.trim().is_empty()).count());
        }
    }
    None
}

/// A module names only modules before it.
pub fn import_order(file: &File) -> Vec<String> {
    let Some(module) = module_of(&file.path) else { return Vec::new() };
    let rank = |name: &str| ORDER.iter().position(|known| *known == name);
    let code = shipped(file);
    let mut complaints = Vec::new();
    for (offset, name) in crate_paths(&code) {
        if rank(&name).is_some_and(|other| Some(other) > rank(module)) {
            let what = format!("`{module}` names `{name}`, which comes later");
            complaints.push(complaint(file, line_of(&code, offset), &what));
        }
    }
    complaints
}

/// First segments of `crate::x` and `crate::{x, y::{…}}`, with their offsets.
pub fn crate_paths(code: &str) -> Vec<(usize, String)> {
    let path = Regex::new(r"\bcrate::(?:([a-z_]+)|\{)").unwrap();
    let first = Regex::new(r"^\s*([a-z_]+)").unwrap();
    let mut found = Vec::new();
    for hit in path.captures_iter(code) {
        let whole = hit.get(0).unwrap();
        if let Some(name) = hit.get(1) {
            found.push((whole.start(), name.as_str().to_owned()));
            continue;
        }
        let mut depth = 1;
        let mut start = true;
        for (at, c) in code[whole.end()..].char_indices() {
            if start && depth == 1 {
                let name = first.captures(&code[whole.end() + at..]);
                found.extend(name.map(|name| (whole.start(), name[1].to_owned())));
                start = false;
            }
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => start = true,
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    found
}

/// A crate is named behind its own door only.
pub fn one_door(file: &File) -> Vec<String> {
    let Some(module) = module_of(&file.path) else { return Vec::new() };
    let code = shipped(file);
    let mut complaints = Vec::new();
    for (name, doors) in DOORS {
        if doors.contains(&module) {
            continue;
        }
        let path = Regex::new(&format!(r"(?:^|[^A-Za-z0-9_:])(?:::)?{name}::|\buse {name}\b")).unwrap();
        for hit in path.find_iter(&code) {
            let what = format!("`{name}` is named outside of {doors:?}");
            complaints.push(complaint(file, line_of(&code, hit.start()), &what));
        }
    }
    complaints
}

/// Every use of a word in shipped code, outside of the paths that may.
pub fn only_in(file: &File, pattern: &str, allowed: &[&str], what: &str) -> Vec<String> {
    if allowed.iter().any(|path| file.path.starts_with(path)) {
        return Vec::new();
    }
    let code = shipped(file);
    let hits = Regex::new(pattern).unwrap();
    hits.find_iter(&code).map(|hit| complaint(file, line_of(&code, hit.start()), what)).collect()
}

/// `mod.rs` is a table of contents.
pub fn mod_is_contents(file: &File) -> Vec<String> {
    if !file.path.ends_with("/mod.rs") {
        return Vec::new();
    }
    let item = Regex::new(r"^(#!?\[.*\]\s*)*(pub(\([a-z]+\))? )?(mod [a-z_0-9]+;|use [^;]*;)").unwrap();
    let code = code(&file.text);
    let mut rest = code.trim_start();
    while !rest.is_empty() {
        let Some(hit) = item.find(rest) else {
            let what = "holds more than docs, `mod` and `use`";
            return vec![complaint(file, line_of(&code, code.len() - rest.len()), what)];
        };
        rest = rest[hit.end()..].trim_start();
    }
    Vec::new()
}

/// Every dependency says why it is here.
pub fn dependency_reasons(manifest: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut inside = false;
    for (n, line) in manifest.lines().enumerate() {
        if line.starts_with('[') {
            inside = line.ends_with("dependencies]");
        } else if inside && line.contains(" = ") && !line.starts_with('#') {
            let reason = line.rsplit_once(" # ").map_or("", |(_, reason)| reason.trim());
            if reason.len() < 8 {
                complaints.push(format!("Cargo.toml:{}: a dependency without its reason: {line}", n + 1));
            }
        }
    }
    complaints
}

/// Nothing names the machine or the account that it was written on.
pub fn no_home_paths(file: &File) -> Vec<String> {
    let users = Regex::new(r"(/home/|/Users/|/root/)[a-z][A-Za-z0-9_.-]*/|C:\\\\?Users").unwrap();
    // `ada` and `USER` are the examples' own.
    let hits = users.find_iter(&file.text).filter(|hit| !hit.as_str().starts_with("/home/ada/"));
    hits.map(|hit| complaint(file, line_of(&file.text, hit.start()), "names a home folder of some machine"))
        .collect()
}

/// Tests that a document names as `test_name` after `test:` exist.
pub fn named_tests_exist(file: &File, tests: &str) -> Vec<String> {
    let named = Regex::new(r"\(tests?: ([^)]*)\)").unwrap();
    let name = Regex::new(r"`([a-z0-9_:]+)`").unwrap();
    let mut complaints = Vec::new();
    for claim in named.captures_iter(&file.text) {
        let whole = claim.get(0).unwrap();
        for test in name.captures_iter(&claim[1]) {
            let last = test[1].rsplit("::").next().unwrap_or("").to_owned();
            if !tests.contains(&format!("fn {last}(")) {
                let what = format!("there is no test `{}`", &test[1]);
                complaints.push(complaint(file, line_of(&file.text, whole.start()), &what));
            }
        }
    }
    complaints
}
