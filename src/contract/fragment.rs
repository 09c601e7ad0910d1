//! A part of a contract as TOML with comments, for a person to review and to put behind the fields that it lacks.
//!
//! Guarantees: every value is written by the TOML library, nothing in a comment or a key can end its line, and what a
//! terminal would hide is visible. It decides nothing about what stands in it.

use std::fmt::Write as _;

use crate::vocab::{LimitName, shown};

/// Longest line of a comment, characters; what has no blank is not cut.
const WIDTH: usize = 116;

/// Text in the making. What belongs to a table comes last.
#[derive(Debug, Default)]
pub struct Fragment(String);

impl Fragment {
    /// A paragraph of comment.
    pub fn comment(&mut self, text: &str) {
        let mut line = String::from("#");
        for word in one_line(text).split(' ') {
            if line.len() > 1 && line.chars().count() + word.chars().count() >= WIDTH {
                self.line(&line);
                line = String::from("#");
            }
            line.push(' ');
            line.push_str(word);
        }
        self.line(&line);
    }

    /// One line of a list in a comment, however long.
    pub fn row(&mut self, text: &str) {
        self.line(&format!("#   {}", one_line(text)));
    }

    /// An empty line.
    pub fn gap(&mut self) {
        self.0.push('\n');
    }

    /// A field that is a text.
    pub fn text(&mut self, key: &'static str, value: &str) {
        let value = toml::Value::String(value.to_owned());
        self.line(&format!("{key} = {value}"));
    }

    /// A field that is a list of texts, one a line where there are several.
    pub fn list(&mut self, key: &'static str, items: &[String]) {
        let value = |item: &String| toml::Value::String(item.clone()).to_string();
        match items {
            [] => self.line(&format!("{key} = []")),
            [one] => self.line(&format!("{key} = [{}]", value(one))),
            several => {
                self.line(&format!("{key} = ["));
                for item in several {
                    self.line(&format!("    {},", value(item)));
                }
                self.line("]");
            }
        }
    }

    /// The limits, each with what it rests on.
    pub fn limits(&mut self, limits: &[(LimitName, u64, String)]) {
        self.line("[limits]");
        for (name, value, why) in limits {
            self.line(&format!("{} = {value} # {}", name.as_str(), one_line(why)));
        }
    }

    /// The whole text.
    #[must_use]
    pub fn into_text(self) -> String {
        self.0
    }

    fn line(&mut self, line: &str) {
        // Writing to a text does not fail.
        writeln!(self.0, "{}", line.trim_end()).ok();
    }
}

/// Nothing in it ends a line or is hidden.
fn one_line(text: &str) -> String {
    shown(text).replace('\n', "\\n").replace('\t', "\\t")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_its_comment_or_its_text() {
        let odd = "a\n]\nmutation_mode = \"candidate-default\"\u{1b}[2J\u{202e}\"\\'''";
        let mut fragment = Fragment::default();
        fragment.comment(odd);
        fragment.row(odd);
        fragment.text("title", odd);
        fragment.list("allowed_paths", &[odd.to_owned(), "b".to_owned()]);
        fragment.limits(&[(LimitName::WallSeconds, 60, odd.to_owned())]);
        let text = fragment.into_text();
        let table: toml::Table = toml::from_str(&text).unwrap();
        assert_eq!(table.keys().collect::<Vec<_>>(), ["allowed_paths", "limits", "title"]);
        assert_eq!(table["title"].as_str(), Some(odd));
        assert_eq!(table["allowed_paths"][0].as_str(), Some(odd));
        assert_eq!(table["limits"].as_table().unwrap().len(), 1);
    }

    #[test]
    fn long_comments_are_wrapped() {
        let mut fragment = Fragment::default();
        fragment.comment(&"word ".repeat(100));
        assert!(fragment.into_text().lines().all(|line| line.len() <= WIDTH && line.starts_with('#')));
    }
}
