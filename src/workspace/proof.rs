//! Shows that a patch text gives the result tree: reads the text again, applies it in memory, compares trees.
//!
//! Headers are read by a parser of our own, which shares nothing with the writer; hunks and binary parts are
//! applied by libgit2, one file at a time. libgit2 alone will not do: it refuses patches with empty files and
//! some renames that git takes.

use std::collections::BTreeMap;

use git2::{Diff, Oid, Repository, Tree};

use super::tree::{self, Edit, PLAIN};

/// Whether `text`, applied to `base`, gives `result`.
pub(super) fn holds(
    repo: &Repository,
    base: &Tree<'_>,
    result: &Tree<'_>,
    text: &[u8],
) -> Result<bool, git2::Error> {
    let Some(edits) = apply(repo, base, text)? else { return Ok(false) };
    Ok(tree::edited(repo, Some(base), &edits)? == result.id())
}

fn entry_at(tree: &Tree<'_>, path: &[u8]) -> Result<Edit, git2::Error> {
    let path = std::path::Path::new(super::names::os_name(path));
    match tree.get_path(path) {
        Ok(entry) if entry.filemode_raw() == tree::FOLDER => Ok(None),
        Ok(entry) => Ok(Some((entry.filemode_raw(), entry.id()))),
        Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// One file's part of the text.
#[derive(Debug, Default, PartialEq, Eq)]
struct Section<'a> {
    old: Option<Vec<u8>>,
    new: Option<Vec<u8>>,
    old_mode: Option<i32>,
    new_mode: Option<i32>,
    ids: Option<(&'a [u8], &'a [u8])>,
    /// Hunks, or a binary part; empty when only names and modes change.
    body: &'a [u8],
}

/// What the text makes of every path that it names; `None` when it is not a patch for `before`.
pub(super) fn apply(
    repo: &Repository,
    before: &Tree<'_>,
    text: &[u8],
) -> Result<Option<BTreeMap<Vec<u8>, Edit>>, git2::Error> {
    let mut edits: BTreeMap<Vec<u8>, Edit> = BTreeMap::new();
    let mut rest = text;
    while !rest.is_empty() {
        let Some((section, after)) = read(rest) else { return Ok(None) };
        rest = after;
        let was = match &section.old {
            Some(path) => match entry_at(before, path)? {
                Some(was) => Some(was),
                None => return Ok(None),
            },
            None => None,
        };
        // Git refuses a section whose old mode or id is not what is there.
        let stale_mode = section.old_mode.zip(was).is_some_and(|(told, (mode, _))| told != mode);
        if stale_mode || (section.old.is_some() && section.new.is_none() && section.old_mode.is_none()) {
            return Ok(None);
        }
        let Some(content) = content(repo, &section, was.map(|(_, id)| id))? else { return Ok(None) };
        let mode = section.new_mode.or(was.map(|(mode, _)| mode));
        if let Some(old) = section.old {
            // Git looks at what an earlier section made of the path, and this one was not written for that.
            if edits.contains_key(&old) {
                return Ok(None);
            }
            edits.insert(old, None);
        }
        if let (Some(new), Some(mode)) = (section.new, mode) {
            edits.insert(new, Some((mode, content)));
        }
    }
    Ok(Some(edits))
}

/// The content after the section; of a deletion the empty one.
fn content(repo: &Repository, section: &Section<'_>, was: Option<Oid>) -> Result<Option<Oid>, git2::Error> {
    let empty = repo.blob(b"")?;
    let parse = |hex: &[u8]| std::str::from_utf8(hex).ok().and_then(|hex| Oid::from_str(hex).ok());
    let (told_old, told_new) = match section.ids {
        Some((old, new)) => (parse(old), parse(new)),
        None => (None, None),
    };
    if let (Some(was), Some(told)) = (was, told_old)
        && was != told
    {
        return Ok(None);
    }
    let now = if section.body.is_empty() {
        if section.new.is_some() { was.unwrap_or(empty) } else { empty }
    } else {
        match applied(repo, section, was)? {
            Some(now) => now,
            None => return Ok(None),
        }
    };
    let wrong = section.new.is_some() && told_new.is_some_and(|told| told != now);
    Ok(if wrong || (section.new.is_none() && now != empty) { None } else { Some(now) })
}

/// Hunks or binary part applied by libgit2 to a file called `f`.
fn applied(repo: &Repository, section: &Section<'_>, was: Option<Oid>) -> Result<Option<Oid>, git2::Error> {
    let zero = "0".repeat(40);
    let (old, new) = section.ids.unwrap_or((zero.as_bytes(), zero.as_bytes()));
    let mut text = b"diff --git a/f b/f\n".to_vec();
    let (from, to) = match (&section.old, &section.new) {
        (None, _) => {
            text.extend_from_slice(b"new file mode 100644\n");
            ("/dev/null", "b/f")
        }
        (_, None) => {
            text.extend_from_slice(b"deleted file mode 100644\n");
            ("a/f", "/dev/null")
        }
        _ => ("a/f", "b/f"),
    };
    text.extend_from_slice(b"index ");
    text.extend_from_slice(old);
    text.extend_from_slice(b"..");
    text.extend_from_slice(new);
    text.extend_from_slice(if from == to.replacen('b', "a", 1) { b" 100644\n" } else { b"\n" });
    if section.body.starts_with(b"@@") {
        text.extend_from_slice(format!("--- {from}\n+++ {to}\n").as_bytes());
    }
    text.extend_from_slice(section.body);
    let mut builder = repo.treebuilder(None)?;
    if let Some(was) = was {
        builder.insert("f", was, PLAIN)?;
    }
    let tree = repo.find_tree(builder.write()?)?;
    let index = repo.apply_to_tree(&tree, &Diff::from_buffer(&text)?, None)?;
    Ok(match index.get_path(std::path::Path::new("f"), 0) {
        Some(entry) => Some(entry.id),
        None if section.new.is_none() => Some(repo.blob(b"")?),
        None => None,
    })
}

/// The first section of `text`, and what follows it.
fn read(text: &[u8]) -> Option<(Section<'_>, &[u8])> {
    let (first, mut rest) = line(text)?;
    let names = first.strip_prefix(b"diff --git ")?;
    let mut section = Section::default();
    let (mut added, mut deleted) = (false, false);
    while let Some((header, after)) = line(rest) {
        if let Some(mode) = header.strip_prefix(b"new file mode ") {
            added = true;
            section.new_mode = Some(octal(mode)?);
        } else if let Some(mode) = header.strip_prefix(b"deleted file mode ") {
            deleted = true;
            section.old_mode = Some(octal(mode)?);
        } else if let Some(mode) = header.strip_prefix(b"old mode ") {
            section.old_mode = Some(octal(mode)?);
        } else if let Some(mode) = header.strip_prefix(b"new mode ") {
            section.new_mode = Some(octal(mode)?);
        } else if let Some(name) = header.strip_prefix(b"rename from ") {
            section.old = Some(unquoted(name)?);
        } else if let Some(name) = header.strip_prefix(b"rename to ") {
            section.new = Some(unquoted(name)?);
        } else if let Some(ids) = header.strip_prefix(b"index ") {
            let ids = ids.split(|byte| *byte == b' ').next()?;
            section.ids = Some((ids.get(..40)?, ids.get(42..82)?));
        } else if !header.starts_with(b"similarity index ") {
            break;
        }
        rest = after;
    }
    if section.old.is_none() && section.new.is_none() {
        let name = common_name(names)?;
        section.old = (!added).then(|| name.clone());
        section.new = (!deleted).then_some(name);
    }
    rest = file_line(rest, b"--- ", b"a/", section.old.as_deref())?;
    rest = file_line(rest, b"+++ ", b"b/", section.new.as_deref())?;
    let end = body_length(rest);
    let (body, after) = rest.split_at_checked(end)?;
    section.body = body;
    Some((section, after))
}

/// Skips a `---` or `+++` line, which must name the section's file.
fn file_line<'a>(text: &'a [u8], mark: &[u8], prefix: &[u8], path: Option<&[u8]>) -> Option<&'a [u8]> {
    let Some((line, rest)) = line(text) else { return Some(text) };
    let Some(name) = line.strip_prefix(mark) else { return Some(text) };
    let name = unquoted(name.strip_suffix(b"\t").unwrap_or(name))?;
    let wanted = path.map_or(b"/dev/null".to_vec(), |path| [prefix, path].concat());
    (name == wanted).then_some(rest)
}

/// Up to the next section: inside hunks every line starts with one of ` +-\@`, and binary parts hold no blank.
fn body_length(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some((line, _)) = text.get(at..).and_then(line) {
        if line.starts_with(b"diff --git ") {
            return at;
        }
        at += line.len() + 1;
    }
    text.len()
}

fn line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|byte| *byte == b'\n')?;
    Some((text.get(..end)?, text.get(end + 1..)?))
}

fn octal(text: &[u8]) -> Option<i32> {
    i32::from_str_radix(std::str::from_utf8(text).ok()?, 8).ok()
}

/// The name in `a/NAME b/NAME`, which is the same on both sides where there is no rename.
fn common_name(names: &[u8]) -> Option<Vec<u8>> {
    let middle = names.len() / 2;
    let (first, second) = (names.get(..middle)?, names.get(middle + 1..)?);
    let (first, second) = (unquoted(first)?, unquoted(second)?);
    let (first, second) = (first.strip_prefix(b"a/")?, second.strip_prefix(b"b/")?);
    (names.get(middle) == Some(&b' ') && first == second).then(|| first.to_vec())
}

fn unquoted(text: &[u8]) -> Option<Vec<u8>> {
    let Some(inner) = text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")) else {
        return Some(text.to_vec());
    };
    let mut out = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(byte) = bytes.next() {
        if *byte != b'\\' {
            out.push(*byte);
            continue;
        }
        out.push(match *bytes.next()? {
            b'a' => 0x07,
            b'b' => 0x08,
            b't' => b'\t',
            b'n' => b'\n',
            b'v' => 0x0b,
            b'f' => 0x0c,
            b'r' => b'\r',
            same @ (b'"' | b'\\') => same,
            high @ b'0'..=b'3' => {
                let (mid, low) = (bytes.next()?, bytes.next()?);
                (high - b'0') << 6 | (mid.checked_sub(b'0')? & 7) << 3 | (low.checked_sub(b'0')? & 7)
            }
            _ => return None,
        });
    }
    Some(out)
}
