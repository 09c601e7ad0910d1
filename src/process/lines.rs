//! Lines out of a byte stream, with a bound on memory: a line longer than [`LINE_MAX`] comes out cut, once.

/// Longest line that is kept, bytes without the newline; what follows up to the newline is dropped and the
/// line marked as truncated.
pub const LINE_MAX: usize = 1024 * 1024;

/// A line without its newline, and whether bytes of it were dropped.
pub(super) type Line = (Vec<u8>, bool);

/// Bytes that are waiting for their newline.
#[derive(Debug, Default)]
pub(super) struct LineBuffer {
    pending: Vec<u8>,
    dropped: bool,
}

impl LineBuffer {
    /// Takes bytes, gives the lines that they complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = piece.strip_suffix(b"\n").map_or((piece, false), |text| (text, true));
            let room = LINE_MAX.saturating_sub(self.pending.len());
            self.dropped |= text.len() > room;
            self.pending.extend(text.iter().take(room));
            if ends {
                lines.push((std::mem::take(&mut self.pending), std::mem::take(&mut self.dropped)));
            }
        }
        lines
    }

    /// The last line, if the stream ended without a newline.
    pub(super) fn finish(&mut self) -> Option<Line> {
        let empty = self.pending.is_empty() && !self.dropped;
        (!empty).then(|| (std::mem::take(&mut self.pending), std::mem::take(&mut self.dropped)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_survive_any_cut() {
        let mut buffer = LineBuffer::default();
        let mut lines = Vec::new();
        for byte in b"one\n\ntwo\r\nthree" {
            lines.extend(buffer.push(&[*byte]));
        }
        lines.extend(buffer.finish());
        let texts: Vec<_> = lines.iter().map(|(text, _)| text.as_slice()).collect();
        assert_eq!(texts, [b"one".as_slice(), b"", b"two\r", b"three"]);
        assert!(buffer.finish().is_none());
    }

    #[test]
    fn a_long_line_is_cut_once_and_the_next_is_whole() {
        let mut buffer = LineBuffer::default();
        let mut bytes = vec![b'x'; LINE_MAX + 10];
        bytes.extend_from_slice(b"\nnext\n");
        let lines = buffer.push(&bytes);
        assert_eq!(lines.len(), 2);
        assert_eq!((lines[0].0.len(), lines[0].1), (LINE_MAX, true));
        assert_eq!(lines[1], (b"next".to_vec(), false));
    }
}
