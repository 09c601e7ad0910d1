//! Text from strangers, made safe to show.
//!
//! Terminal escapes, other controls and bidi controls become visible; nothing is dropped, so what is shown
//! still tells what was there. Newline and tab stay.

/// `text` with every control except newline and tab, and every bidi or zero-width control, written as `\u{…}`.
#[must_use]
pub fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if hidden(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// Like [`shown`], for bytes that may not be UTF-8: invalid bytes become `\xNN`.
#[must_use]
pub fn shown_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(&shown(chunk.valid()));
        out.extend(chunk.invalid().escape_ascii().map(char::from));
    }
    out
}

/// `1 file`, `2 files`.
#[must_use]
pub fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

fn hidden(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        // Bidi controls, zero-width characters, separators and tags (Unicode TR36, "Trojan Source").
        '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{061c}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}' => true,
        _ => c.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_many() {
        assert_eq!([0, 1, 2].map(|count| counted(count, "gate")), ["0 gates", "1 gate", "2 gates"]);
    }

    #[test]
    fn escapes_and_bidi_are_visible() {
        assert_eq!(shown("a\u{1b}[2Jb\u{202e}c\n"), "a\\u{1b}[2Jb\\u{202e}c\n");
        assert_eq!(shown_bytes(b"x\xff\x07"), "x\\xff\\u{7}");
    }
}
