//! Why a contract was not accepted, shown so that the reader can mend it without asking.
//!
//! Every error carries the place in the source (where there is one), the field's name and a remedy. Text from
//! the source is made visible before it is shown; file contents other than the offending line never are.

use std::fmt;
use std::ops::Range;

use crate::vocab::shown;

/// Why the file beside a contract could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileProblem {
    /// There is no folder to look in: the contract came from standard input or over HTTP.
    #[error("files beside the contract can only be used by a contract that is itself a file")]
    NoFolder,
    /// Nothing has this name.
    #[error("there is no such file beside the contract")]
    NotFound,
    /// The path leads out of the folder or through a link.
    #[error("the path leaves the contract's folder or goes through a link")]
    Escapes,
    /// It is a folder, link, FIFO, socket or device.
    #[error("it is not a regular file")]
    NotRegular,
    /// It is larger than allowed.
    #[error("it is larger than {max} bytes")]
    TooLarge {
        /// The bound, in bytes.
        max: u64,
    },
    /// The operating system's word.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
}

/// What went wrong, where, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// Name of the source: a path, or `<stdin>`.
    pub source: String,
    /// Line and column, both from 1; columns count characters.
    pub position: Option<(usize, usize)>,
    /// The source line and the caret line, made visible; empty without a position.
    pub excerpt: Option<(String, String)>,
    /// The field, like `verification_commands[0].run`.
    pub field: Option<String>,
    /// One sentence.
    pub sentence: String,
    /// What to do.
    pub remedy: String,
}

/// Why a contract was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContractError {
    /// The text is not JSON or TOML, or a key stands there twice.
    #[error("{0}")]
    Syntax(Box<Complaint>),
    /// A field is unknown, missing or of the wrong type.
    #[error("{0}")]
    Shape(Box<Complaint>),
    /// A field's value breaks its rule.
    #[error("{0}")]
    Value(Box<Complaint>),
    /// A file that the contract names could not be had.
    #[error("{complaint}")]
    File {
        /// Where it is named.
        complaint: Box<Complaint>,
        /// Why.
        source: FileProblem,
    },
    /// A sealed contract is not the document that this program writes.
    #[error("{0}")]
    NotSealed(Box<Complaint>),
}

impl ContractError {
    /// The field it is about, like `limits.wall_seconds`; `None` for broken syntax.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        self.complaint().field.as_deref()
    }

    /// Everything that is known about it, for programs.
    #[must_use]
    pub fn complaint(&self) -> &Complaint {
        match self {
            Self::Syntax(c) | Self::Shape(c) | Self::Value(c) | Self::NotSealed(c) => c,
            Self::File { complaint, .. } => complaint,
        }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", shown(&self.source))?;
        if let Some((line, column)) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": ")?;
        if let Some(field) = &self.field {
            write!(f, "`{}`: ", shown(field))?;
        }
        write!(f, "{}", shown(&self.sentence))?;
        if let (Some((line, _)), Some((text, caret))) = (self.position, &self.excerpt) {
            let number = line.to_string();
            let margin = " ".repeat(number.len());
            write!(f, "\n{margin} |\n{number} | {text}\n{margin} | {caret}")?;
        }
        if !self.remedy.is_empty() {
            write!(f, "\nremedy: {}", shown(&self.remedy))?;
        }
        Ok(())
    }
}

/// The widest excerpt, in characters; a longer line is cut around the caret.
const EXCERPT_CHARS: usize = 96;

/// Line and column (from 1, in characters) of a byte offset, and the excerpt with its caret.
pub(super) fn locate(text: &str, span: &Range<usize>) -> ((usize, usize), (String, String)) {
    let start = floor(text, span.start);
    let before = text.get(..start).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line_end = text.get(start..).and_then(|rest| rest.find('\n')).map_or(text.len(), |at| start + at);
    let line = text.get(line_start..line_end).unwrap_or("").trim_end_matches('\r');
    let column = text.get(line_start..start).map_or(0, |head| head.chars().count());
    let end = floor(text, span.end.clamp(start, line_end));
    let width = text.get(start..end).map_or(1, |part| part.trim_end().chars().count()).max(1);
    let number = before.matches('\n').count() + 1;
    ((number, column + 1), excerpt(line, column, width))
}

fn excerpt(line: &str, column: usize, width: usize) -> (String, String) {
    let skip = if column > EXCERPT_CHARS / 2 && line.chars().count() > EXCERPT_CHARS {
        column - EXCERPT_CHARS / 2
    } else {
        0
    };
    let visible = |part: String| shown(&part.replace('\t', " "));
    let take = |from: usize, count: usize| visible(line.chars().skip(from).take(count).collect());
    let mut text = take(skip, EXCERPT_CHARS);
    let mut lead = take(skip, column - skip).chars().count();
    let shown_width = take(column, width.min(EXCERPT_CHARS)).chars().count().max(1);
    if skip > 0 {
        text.insert(0, '…');
        lead += 1;
    }
    if line.chars().count() > skip + EXCERPT_CHARS {
        text.push('…');
    }
    let width = shown_width.min(text.chars().count().saturating_sub(lead).max(1));
    (text, format!("{}{}", " ".repeat(lead), "^".repeat(width)))
}

fn floor(text: &str, mut at: usize) -> usize {
    at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The one of `known` that `given` was probably meant to be.
pub(super) fn did_you_mean<'k>(given: &str, known: &[&'k str]) -> Option<&'k str> {
    let given = given.to_lowercase().replace('-', "_");
    let near = |name: &str| {
        let name = name.to_lowercase().replace('-', "_");
        let far = distance(&given, &name);
        let contained = given.len() >= 3 && (name.starts_with(&given) || given.starts_with(&name));
        (contained || far <= 1 + name.len() / 5).then_some(far)
    };
    known.iter().filter_map(|name| near(name).map(|far| (far, *name))).min().map(|(_, name)| name)
}

/// Levenshtein distance in bytes, over texts cut to 64 bytes.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes().iter().take(64), b.as_bytes().iter().take(64));
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (y, above) in b.clone().zip(row.iter().skip(1)) {
            let cost = (diagonal + usize::from(x != y)).min(left + 1).min(above + 1);
            diagonal = *above;
            left = cost;
            next.push(cost);
        }
        row = next;
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_counted_in_characters_and_the_caret_stands_under_it() {
        let text = "a = 1\nä = \"\u{202e}x\" # é\nb = 2\n";
        let at = text.find("\"\u{202e}").unwrap();
        let (position, (line, caret)) = locate(text, &(at..at + 6));
        assert_eq!(position, (2, 5));
        assert_eq!(line, "ä = \"\\u{202e}x\" # é");
        assert_eq!(caret, "    ^^^^^^^^^^^");
    }

    #[test]
    fn odd_offsets_and_long_lines_are_no_problem() {
        let text = format!("{}é{}", "x".repeat(200), "y".repeat(200));
        let (position, (line, caret)) = locate(&text, &(201..203));
        assert_eq!(position, (1, 201));
        assert!(line.starts_with('…') && line.ends_with('…'));
        assert_eq!(line.chars().position(|c| c == 'é'), caret.chars().position(|c| c == '^'));
        assert_eq!(locate("", &(7..9)).0, (1, 1));
    }

    #[test]
    fn near_names_are_offered_and_far_ones_are_not() {
        let known = ["allowed_paths", "title", "timeout"];
        assert_eq!(did_you_mean("alowed_paths", &known), Some("allowed_paths"));
        assert_eq!(did_you_mean("allowed-paths", &known), Some("allowed_paths"));
        assert_eq!(did_you_mean("timeout_seconds", &known), Some("timeout"));
        assert_eq!(did_you_mean("zzz", &known), None);
    }
}
