//! Gitignore-style globs, meaning exactly what git means by them.
//!
//! Globs are case-sensitive, name things from the repository's top, and a match of a folder covers everything
//! beneath it. What git and the matcher underneath would read differently is either rewritten or refused; a
//! test asks git itself.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use ignore::gitignore::{Gitignore, GitignoreBuilder};

/// Why a text is not a glob of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the glob `{glob}` {why}")]
pub struct GlobError {
    /// Its place in the list, from 0.
    pub index: usize,
    /// As it was written, cut to 200 characters.
    pub glob: String,
    /// What is wrong.
    pub why: String,
    /// What to write instead.
    pub remedy: &'static str,
}

/// A set of globs. Empty: matches nothing.
#[derive(Debug, Clone)]
pub struct PathGlobs {
    matcher: Gitignore,
    /// As the matcher knows them, and as they were written.
    lines: Vec<(String, String)>,
}

impl PathGlobs {
    /// Parses every glob, or tells the first that is not one.
    pub fn new<T: AsRef<str>>(globs: &[T]) -> Result<Self, GlobError> {
        let mut builder = GitignoreBuilder::new("");
        builder.allow_unclosed_class(false);
        let mut lines = Vec::with_capacity(globs.len());
        for (index, glob) in globs.iter().enumerate() {
            let glob = glob.as_ref();
            let refuse = |(why, remedy): (String, &'static str)| GlobError {
                index,
                glob: glob.chars().take(200).collect(),
                why,
                remedy,
            };
            let line = plain(glob).map_err(refuse)?;
            builder
                .add_line(None, &line)
                .map_err(|error| refuse((format!("cannot be parsed: {error}"), "correct the glob")))?;
            lines.push((line, glob.to_owned()));
        }
        let matcher = builder.build().map_err(|error| GlobError {
            index: 0,
            glob: String::new(),
            why: format!("set cannot be built: {error}"),
            remedy: "write fewer or simpler globs",
        })?;
        Ok(Self { matcher, lines })
    }

    /// Whether `path` (relative, from the repository's top) or a folder above it matches.
    #[must_use]
    pub fn matches(&self, path: &str, is_dir: bool) -> bool {
        self.matches_bytes(path.as_bytes(), is_dir)
    }

    /// As [`Self::matches`], for a path that may not be UTF-8.
    #[must_use]
    pub fn matches_bytes(&self, path: &[u8], is_dir: bool) -> bool {
        self.matching_bytes(path, is_dir).is_some()
    }

    /// The last of the globs, as written, that matches `path` or a folder above it.
    #[must_use]
    pub fn matching_bytes(&self, path: &[u8], is_dir: bool) -> Option<&str> {
        let path = path.strip_prefix(b"./").unwrap_or(path);
        let folders = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| (at, true));
        for (end, is_dir) in folders.chain([(path.len(), is_dir)]) {
            let part = path.get(..end).filter(|part| !part.is_empty());
            let Some(part) = part else { continue };
            if let ignore::Match::Ignore(glob) = self.matcher.matched(OsStr::from_bytes(part), is_dir) {
                // INVARIANT: the matcher keeps each line as it was added, so there is always one.
                let written = self.lines.iter().find(|(line, _)| line == glob.original());
                return Some(written.map_or("", |(_, written)| written));
            }
        }
        None
    }

    /// Whether there is no glob at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

type Refusal = (String, &'static str);

fn no(why: &str, remedy: &'static str) -> Refusal {
    (why.to_owned(), remedy)
}

/// The glob in the part of the language that git and the matcher read alike.
fn plain(glob: &str) -> Result<String, Refusal> {
    const FROM_TOP: &str = "write a path from the repository's top, like src/**";
    if glob.trim().is_empty() || glob.trim_matches('/').is_empty() {
        return Err(no("is empty", FROM_TOP));
    }
    if glob.starts_with('!') {
        return Err(no(
            "starts with `!`",
            "list what is meant; negation is not allowed (a literal `!` is `\\!`)",
        ));
    }
    if glob.starts_with('#') {
        return Err(no("starts with `#`, which git reads as a comment", "write `\\#` for a literal `#`"));
    }
    if glob.starts_with('~') {
        return Err(no("starts with `~`", FROM_TOP));
    }
    if glob.ends_with(' ') || glob.chars().any(char::is_control) {
        return Err(no("ends with a blank or holds a control character", "remove it"));
    }
    if glob.len() > 4096 {
        return Err(no("is longer than 4096 bytes", "write a shorter one"));
    }
    if glob.split('/').any(|part| part == ".." || part == "." || part == "\\.." || part == ".\\.") {
        return Err(no("leaves the repository or holds `.` as a step", FROM_TOP));
    }
    if glob.contains("//") {
        return Err(no("holds an empty step `//`", FROM_TOP));
    }
    rewrite(glob)
}

fn rewrite(glob: &str) -> Result<String, Refusal> {
    let mut out = String::with_capacity(glob.len() + 8);
    let mut rest = glob.chars().peekable();
    let mut negated = false;
    while let Some(c) = rest.next() {
        match c {
            '\\' => match rest.next() {
                None => return Err(no("ends with `\\`", "write `\\\\` for a literal backslash")),
                Some('/') => return Err(no("holds `\\/`", "write `/`")),
                // A leading `\#` or `\!` is unescaped by the matcher itself.
                Some(next) => out.extend(['\\', next]),
            },
            '{' | '}' => out.extend(['\\', c]),
            '[' => negated |= class(&mut rest, &mut out)?,
            '*' if rest.peek() == Some(&'*') => {
                rest.next();
                // Git strips a literal prefix before it looks, so that its `d**/a` means more than it says.
                if !(out.is_empty() || out.ends_with('/')) || rest.peek().is_some_and(|next| *next != '/') {
                    return Err(no(
                        "holds `**` that is not a whole step",
                        "write it between slashes, like src/**/*.rs",
                    ));
                }
                out.push_str("**");
            }
            _ => out.push(c),
        }
    }
    // The slash that `class` puts into a negated class must not look like one that ties the glob to the top.
    let floating = !glob.trim_end_matches('/').contains('/');
    Ok(if negated && floating { format!("**/{out}") } else { out })
}

/// One bracket class, and whether it is negated. Only what both sides read alike: ASCII, no escapes, no named
/// classes, no slash.
fn class(rest: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) -> Result<bool, Refusal> {
    const SIMPLE: &str = "write a class of plain ASCII characters and ranges, like [a-z0-9_]";
    let negated = rest.next_if(|c| matches!(c, '!' | '^')).is_some();
    out.push_str(if negated { "[!" } else { "[" });
    let mut members = String::new();
    loop {
        let Some(c) = rest.next() else {
            return Err(no("has an unclosed `[`", "close it with `]`, or write `\\[`"));
        };
        match c {
            ']' if !members.is_empty() => break,
            '\\' | '/' | '[' => return Err(no("holds `\\`, `/` or `[` in a class", SIMPLE)),
            c if !c.is_ascii() => return Err(no("holds a character beyond ASCII in a class", SIMPLE)),
            c => members.push(c),
        }
    }
    let dash_inside = members
        .char_indices()
        .any(|(at, c)| c == '-' && at > 0 && at + 1 < members.len() && members.get(at - 1..at) == Some("-"));
    if dash_inside || (members.len() > 1 && members.starts_with('-') && members.get(1..2) == Some("-")) {
        return Err(no("holds an unclear `-` in a class", SIMPLE));
    }
    // A negated class must not match the separator; git never lets it.
    if negated {
        if let Some(body) = members.strip_suffix('-') {
            members = format!("-{body}");
        }
        members.push('/');
    }
    out.push_str(&members);
    out.push(']');
    Ok(negated)
}
