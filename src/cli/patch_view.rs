//! A patch as a person reads it: added and removed lines in colour, and inside of a replaced line the words
//! that differ. What is shown comes from a stranger, so every control in it is visible.

use similar::{ChangeTag, TextDiff};

use super::output::{Line, Tone};
use crate::vocab::shown_bytes;

/// Longest line for which the differing words are looked for, characters.
const MAX_WORDS_LINE: usize = 400;

/// The lines of a unified diff, at most `max`; the last one tells how many more there are.
pub(super) fn lines(patch: &[u8], max: usize) -> Vec<Line> {
    let text = shown_bytes(patch);
    let all: Vec<&str> = text.lines().collect();
    let mut out = Vec::new();
    let mut removed: Vec<&str> = Vec::new();
    let mut added: Vec<&str> = Vec::new();
    let mut in_hunk = false;
    for line in &all {
        if line.starts_with("diff --git ") {
            in_hunk = false;
        }
        match line.chars().next() {
            Some('-') if in_hunk && added.is_empty() => removed.push(line),
            Some('+') if in_hunk => added.push(line),
            _ => {
                flush(&mut removed, &mut added, &mut out);
                if in_hunk && line.starts_with('-') {
                    removed.push(line);
                    continue;
                }
                in_hunk |= line.starts_with("@@ ");
                out.push(head_or_context(line, in_hunk));
            }
        }
    }
    flush(&mut removed, &mut added, &mut out);
    if out.len() > max {
        let more = out.len() - max;
        out.truncate(max);
        out.push(Line::new().add(Tone::Quiet, format!("… {more} more lines: cto diff")));
    }
    out
}

fn head_or_context(line: &str, in_hunk: bool) -> Line {
    let tone = if line.starts_with("@@ ") {
        Tone::Accent
    } else if line.starts_with("diff --git ") {
        Tone::Strong
    } else if in_hunk {
        Tone::Plain
    } else {
        Tone::Quiet
    };
    Line::new().add(tone, line)
}

/// A block of removed lines and the block of added ones after it. Blocks of one height are paired line by line.
fn flush(removed: &mut Vec<&str>, added: &mut Vec<&str>, out: &mut Vec<Line>) {
    if removed.len() == added.len() {
        let pairs: Vec<(Line, Line)> =
            removed.iter().zip(added.iter()).map(|(old, new)| words(old, new)).collect();
        let (old, new): (Vec<Line>, Vec<Line>) = pairs.into_iter().unzip();
        out.extend(old);
        out.extend(new);
    } else {
        out.extend(removed.iter().map(|line| Line::new().add(Tone::Bad, line)));
        out.extend(added.iter().map(|line| Line::new().add(Tone::Good, line)));
    }
    removed.clear();
    added.clear();
}

fn words(old: &str, new: &str) -> (Line, Line) {
    let plain = || (Line::new().add(Tone::Bad, old), Line::new().add(Tone::Good, new));
    if old.len().max(new.len()) > MAX_WORDS_LINE {
        return plain();
    }
    let (Some(old_text), Some(new_text)) = (old.strip_prefix('-'), new.strip_prefix('+')) else {
        return plain();
    };
    let (mut left, mut right) = (Line::new().add(Tone::Bad, "-"), Line::new().add(Tone::Good, "+"));
    for change in TextDiff::from_words(old_text, new_text).iter_all_changes() {
        let text = change.value();
        match change.tag() {
            ChangeTag::Equal => {
                left = left.add(Tone::Bad, text);
                right = right.add(Tone::Good, text);
            }
            ChangeTag::Delete => left = left.add(Tone::BadWord, text),
            ChangeTag::Insert => right = right.add(Tone::GoodWord, text),
        }
    }
    (left, right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::tests::port;

    const PATCH: &[u8] = b"diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n keep\n-a - b\n+a + b\n";

    fn text(patch: &[u8], max: usize, colour: bool) -> String {
        let (mut port, text) = port(colour);
        for line in lines(patch, max) {
            port.line(&line);
        }
        text.text()
    }

    #[test]
    fn without_colour_it_is_the_patch_itself() {
        assert_eq!(text(PATCH, 100, false).as_bytes(), PATCH);
    }

    #[test]
    fn the_words_that_differ_stand_out() {
        let shown = text(PATCH, 100, true);
        assert!(shown.contains("\u{1b}[7;31m-\u{1b}[0m"), "{shown:?}");
        assert!(shown.contains("\u{1b}[7;32m+\u{1b}[0m"), "{shown:?}");
    }

    #[test]
    fn long_patches_are_cut_and_say_so() {
        let shown = text(PATCH, 3, false);
        assert!(shown.ends_with("… 4 more lines: cto diff\n"), "{shown}");
    }

    #[test]
    fn a_removed_line_after_added_ones_keeps_its_place() {
        let patch = b"@@ -1,2 +1,1 @@\n-one\n+two\n-three\n";
        assert_eq!(text(patch, 100, false).as_bytes(), patch);
    }

    #[test]
    fn escapes_in_a_patch_are_visible() {
        let shown = text(b"@@ -0,0 +1 @@\n+\x1b[2J\xff\n", 100, true);
        assert!(!shown.contains("\u{1b}[2J"), "{shown:?}");
        assert!(shown.contains("\\u{1b}[2J\\xff"), "{shown:?}");
    }
}
