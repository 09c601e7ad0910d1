//! Columns of text, as wide as their widest cell.

use super::output::{Line, Tone};

/// Rows under a head. The last column is never padded.
pub(super) struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<(Tone, String)>>,
}

impl Table {
    pub(super) fn new(head: &[&'static str]) -> Self {
        Self { head: head.to_vec(), rows: Vec::new() }
    }

    /// One row; cells beyond the head are left out.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = (Tone, String)>) {
        self.rows.push(cells.into_iter().take(self.head.len()).collect());
    }

    /// The lines, head first.
    pub(super) fn lines(&self) -> Vec<Line> {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            let widest = cells.map(|(_, text)| Line::of(text).width()).max().unwrap_or(0);
            widest.max(self.head.get(column).map_or(0, |text| text.len()))
        };
        let starts: Vec<usize> = (0..self.head.len())
            .scan(0, |at, column| {
                let start = *at;
                *at += width(column) + 2;
                Some(start)
            })
            .collect();
        let lay = |cells: &mut dyn Iterator<Item = (Tone, String)>| {
            cells.zip(&starts).fold(Line::new(), |line, ((tone, text), start)| {
                let line = if *start == 0 { line } else { line.pad_to(*start) };
                line.add(tone, text)
            })
        };
        let head = lay(&mut self.head.iter().map(|text| (Tone::Quiet, (*text).to_owned())));
        std::iter::once(head).chain(self.rows.iter().map(|row| lay(&mut row.iter().cloned()))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::tests::port;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["id", "state"]);
        table.row([(Tone::Plain, "a-long-name".into()), (Tone::Good, "pass".into())]);
        table.row([(Tone::Plain, "b".into()), (Tone::Bad, "fail".into())]);
        let (mut port, text) = port(false);
        for line in table.lines() {
            port.line(&line);
        }
        assert_eq!(text.text(), "id           state\na-long-name  pass\nb            fail\n");
    }
}
