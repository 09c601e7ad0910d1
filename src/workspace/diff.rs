//! The difference of two trees as git's patch text, and as changes.
//!
//! libgit2 finds the differences and writes hunks; the headers are written here, in git's own order and
//! quoting (libgit2's are out of order for a rename with a change of mode). What was written is then proven by
//! [`super::proof`]: a patch that does not give the recorded tree is never called one.

use std::collections::BTreeMap;

use git2::{
    Delta, DiffDelta, DiffFile, DiffFindOptions, DiffFormat, DiffLine, DiffOptions, Oid, Repository, Tree,
};

use super::git::git_id;
use super::patch::{AddedLine, Change, LineCounts};
use super::tree;
use crate::evidence::ChangeKind;

/// Beyond so many changed files, renames are not looked for: the search is quadratic.
const RENAME_SEARCH_FILES: usize = 2_000;
/// Git calls a file binary when a NUL is among its first bytes.
const BINARY_PROBE: usize = 8_000;

/// Text and changes.
#[derive(Default)]
pub(super) struct Written {
    pub(super) text: Vec<u8>,
    pub(super) changes: Vec<Change>,
    pub(super) lines: LineCounts,
    /// Whether applying the text in memory gave the result tree.
    pub(super) proven: bool,
}

/// The patch from `base` to `result`, proven where possible; renames are given up first.
pub(super) fn write(
    repo: &Repository,
    base: &Tree<'_>,
    result: &Tree<'_>,
    contents: &BTreeMap<Oid, Vec<u8>>,
) -> Result<Written, git2::Error> {
    let mut written = Written { proven: true, ..Written::default() };
    if base.id() == result.id() {
        return Ok(written);
    }
    // libgit2 walks whole trees; trees of just what differs have the same differences.
    let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
    for (path, (was, is)) in tree::differences(repo, Some(base), Some(result))? {
        before.insert(path.clone(), was);
        after.insert(path, is);
    }
    let before = repo.find_tree(tree::edited(repo, None, &before)?)?;
    let after = repo.find_tree(tree::edited(repo, None, &after)?)?;
    for renames in [true, false] {
        written = write_once(repo, &before, &after, contents, renames)?;
        let proof = super::proof::holds(repo, base, result, &written.text);
        written.proven = matches!(proof, Ok(true));
        if written.proven {
            break;
        }
    }
    written.changes = merge_type_changes(written.changes);
    Ok(written)
}

fn write_once(
    repo: &Repository,
    base: &Tree<'_>,
    result: &Tree<'_>,
    contents: &BTreeMap<Oid, Vec<u8>>,
    renames: bool,
) -> Result<Written, git2::Error> {
    let mut options = DiffOptions::new();
    options.show_binary(true).id_abbrev(40).context_lines(3);
    let mut diff = repo.diff_tree_to_tree(Some(base), Some(result), Some(&mut options))?;
    if renames && diff.deltas().len() <= RENAME_SEARCH_FILES {
        diff.find_similar(Some(DiffFindOptions::new().renames(true).rename_limit(RENAME_SEARCH_FILES)))?;
    }
    let mut writer =
        Writer { contents, sections: Vec::new(), lines: LineCounts::default(), in_body: false, failed: None };
    diff.print(DiffFormat::Patch, |delta, _, line| {
        writer.line(&delta, &line).map_err(|error| writer.failed = Some(error)).is_ok()
    })
    .or_else(|error| writer.failed.take().map_or(Err(error), Err))?;
    Ok(writer.finish())
}

struct Writer<'a> {
    contents: &'a BTreeMap<Oid, Vec<u8>>,
    sections: Vec<(Change, Vec<u8>)>,
    lines: LineCounts,
    /// Whether the current file's `---` and `+++` lines are written.
    in_body: bool,
    failed: Option<git2::Error>,
}

impl Writer<'_> {
    fn line(&mut self, delta: &DiffDelta<'_>, line: &DiffLine<'_>) -> Result<(), git2::Error> {
        if line.origin() == 'F' {
            self.in_body = false;
            let mut text = Vec::new();
            header(&mut text, delta, line.content())?;
            self.sections.push((change(delta, self.contents)?, text));
            return Ok(());
        }
        let Some((change, text)) = self.sections.last_mut() else {
            return Err(git2::Error::from_str("a hunk stands before any file"));
        };
        match line.origin() {
            'H' if !self.in_body => {
                self.in_body = true;
                file_lines(text, delta)?;
            }
            origin @ ('+' | '-' | ' ') => text.extend_from_slice(origin.to_string().as_bytes()),
            'B' => change.binary = true,
            // More hunks, and `\ No newline at end of file` in its three forms.
            _ => {}
        }
        text.extend_from_slice(line.content());
        match (line.origin(), line.new_lineno()) {
            ('+', Some(number)) => {
                self.lines.added += 1;
                let added = line.content();
                let added = added.strip_suffix(b"\n").unwrap_or(added).to_vec();
                change.added.push(AddedLine { number: u64::from(number), text: added });
            }
            ('-', _) => self.lines.removed += 1,
            _ => {}
        }
        Ok(())
    }

    /// By path; what deletes a path stands before what makes it anew, or git refuses the patch.
    fn finish(mut self) -> Written {
        let deletes = |change: &Change| change.kind != ChangeKind::Deleted;
        self.sections.sort_by(|(a, _), (b, _)| (&a.path, deletes(a)).cmp(&(&b.path, deletes(b))));
        let (changes, texts): (Vec<_>, Vec<_>) = self.sections.into_iter().unzip();
        Written { text: texts.concat(), changes, lines: self.lines, proven: false }
    }
}

fn path_of<'a>(file: &DiffFile<'a>) -> Result<&'a [u8], git2::Error> {
    file.path_bytes().ok_or_else(|| git2::Error::from_str("a changed file has no path"))
}

fn mode_of(file: &DiffFile<'_>) -> i32 {
    i32::try_from(u32::from(file.mode())).unwrap_or(0)
}

fn change(delta: &DiffDelta<'_>, contents: &BTreeMap<Oid, Vec<u8>>) -> Result<Change, git2::Error> {
    let (old, new) = (delta.old_file(), delta.new_file());
    let (old_mode, new_mode) = (mode_of(&old), mode_of(&new));
    let kind = match delta.status() {
        Delta::Added => ChangeKind::Added,
        Delta::Deleted => ChangeKind::Deleted,
        Delta::Renamed => ChangeKind::Renamed,
        Delta::Modified if old.id() == new.id() => ChangeKind::ModeChanged,
        Delta::Modified => ChangeKind::Modified,
        other => return Err(git2::Error::from_str(&format!("unexpected kind of change {other:?}"))),
    };
    let (was, is) = (kind != ChangeKind::Added, kind != ChangeKind::Deleted);
    let content = contents.get(&new.id()).filter(|_| is);
    Ok(Change {
        path: path_of(if is { &new } else { &old })?.to_vec(),
        from: if kind == ChangeKind::Renamed { Some(path_of(&old)?.to_vec()) } else { None },
        kind,
        old_mode: was.then_some(old_mode),
        new_mode: is.then_some(new_mode),
        new_id: if is { Some(git_id(new.id())?) } else { None },
        binary: content.is_some_and(|bytes| bytes.iter().take(BINARY_PROBE).any(|byte| *byte == 0)),
        size: content
            .map_or(if is { new.size() } else { 0 }, |bytes| u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
        added: Vec::new(),
    })
}

/// The lines that say what happened to the file, in git's order.
fn header(text: &mut Vec<u8>, delta: &DiffDelta<'_>, theirs: &[u8]) -> Result<(), git2::Error> {
    let (old, new) = (delta.old_file(), delta.new_file());
    let (from, to) = (path_of(&old)?, path_of(&new)?);
    let (old_mode, new_mode) = (mode_of(&old), mode_of(&new));
    let mut line = |parts: &[&[u8]]| {
        text.extend_from_slice(&parts.concat());
        text.push(b'\n');
    };
    line(&[b"diff --git ", &quoted(b"a/", from), b" ", &quoted(b"b/", to)]);
    match delta.status() {
        Delta::Added => line(&[format!("new file mode {new_mode:06o}").as_bytes()]),
        Delta::Deleted => line(&[format!("deleted file mode {old_mode:06o}").as_bytes()]),
        _ if old_mode != new_mode => {
            line(&[format!("old mode {old_mode:06o}").as_bytes()]);
            line(&[format!("new mode {new_mode:06o}").as_bytes()]);
        }
        _ => {}
    }
    if delta.status() == Delta::Renamed {
        let similar = theirs.split(|byte| *byte == b'\n').find(|line| line.starts_with(b"similarity index "));
        if let Some(similar) = similar {
            line(&[similar]);
        }
        line(&[b"rename from ", &quoted(b"", from)]);
        line(&[b"rename to ", &quoted(b"", to)]);
    }
    if old.id() != new.id() {
        let kept = if delta.status() == Delta::Modified || delta.status() == Delta::Renamed {
            if old_mode == new_mode { format!(" {new_mode:06o}") } else { String::new() }
        } else {
            String::new()
        };
        line(&[format!("index {}..{}{kept}", old.id(), new.id()).as_bytes()]);
    }
    Ok(())
}

fn file_lines(text: &mut Vec<u8>, delta: &DiffDelta<'_>) -> Result<(), git2::Error> {
    let side = |file: &DiffFile<'_>, prefix: &[u8], absent: bool| -> Result<Vec<u8>, git2::Error> {
        if absent {
            return Ok(b"/dev/null".to_vec());
        }
        let mut name = quoted(prefix, path_of(file)?);
        // Git ends an unquoted name that holds a blank with a tab, as GNU patch wants it.
        if name.first() != Some(&b'"') && name.contains(&b' ') {
            name.push(b'\t');
        }
        Ok(name)
    };
    for (mark, name) in [
        ("--- ", side(&delta.old_file(), b"a/", delta.status() == Delta::Added)?),
        ("+++ ", side(&delta.new_file(), b"b/", delta.status() == Delta::Deleted)?),
    ] {
        text.extend_from_slice(mark.as_bytes());
        text.extend_from_slice(&name);
        text.push(b'\n');
    }
    Ok(())
}

/// A path as git's `quote_c_style` writes it: in quotes, with escapes, if any byte needs it.
fn quoted(prefix: &[u8], path: &[u8]) -> Vec<u8> {
    let plain = |byte: &u8| matches!(byte, 0x20..=0x7e) && !matches!(byte, b'"' | b'\\');
    let mut out = Vec::with_capacity(path.len() + 4);
    if path.iter().all(plain) {
        out.extend_from_slice(prefix);
        out.extend_from_slice(path);
        return out;
    }
    out.push(b'"');
    out.extend_from_slice(prefix);
    for byte in path {
        match byte {
            0x07 => out.extend_from_slice(b"\\a"),
            0x08 => out.extend_from_slice(b"\\b"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            0x0b => out.extend_from_slice(b"\\v"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            byte if plain(byte) => out.push(*byte),
            byte => out.extend_from_slice(format!("\\{byte:03o}").as_bytes()),
        }
    }
    out.push(b'"');
    out
}

/// A file that became a link (or back) is deleted and added in the text, as git wants it, but is one change.
fn merge_type_changes(changes: Vec<Change>) -> Vec<Change> {
    let mut merged: Vec<Change> = Vec::with_capacity(changes.len());
    for change in changes {
        match merged.last_mut() {
            Some(last)
                if last.path == change.path
                    && last.kind == ChangeKind::Deleted
                    && change.kind == ChangeKind::Added =>
            {
                let old_mode = last.old_mode;
                *last = Change { kind: ChangeKind::TypeChanged, old_mode, ..change };
            }
            _ => merged.push(change),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_as_git_does() {
        assert_eq!(quoted(b"a/", b"x y"), b"a/x y");
        assert_eq!(quoted(b"a/", b"t\tn\nq\"b\\\xff\x01"), b"\"a/t\\tn\\nq\\\"b\\\\\\377\\001\"");
    }
}
