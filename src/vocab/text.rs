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

/// A path as it is shown, on one line and so that [`path_of`] gives it back: besides what [`shown_bytes`] makes
/// visible, a newline is `\\n`, a tab `\\t` and a backslash `\\\\`.
#[must_use]
pub fn shown_path(path: &[u8]) -> String {
    let mut out = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' | '\n' | '\t' => out.extend(c.escape_default()),
                c if hidden(c) => out.extend(c.escape_unicode()),
                c => out.push(c),
            }
        }
        out.extend(chunk.invalid().escape_ascii().map(char::from));
    }
    out
}

/// The bytes of a path that [`shown_path`] wrote.
#[must_use]
pub fn path_of(shown: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(shown.len());
    let mut rest = shown;
    while let Some((plain, escape)) = rest.split_once('\\') {
        out.extend_from_slice(plain.as_bytes());
        let (bytes, after) = unescaped(escape).unwrap_or((vec![b'\\'], escape));
        out.extend(bytes);
        rest = after;
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

/// What stands behind a backslash, and what follows it.
fn unescaped(text: &str) -> Option<(Vec<u8>, &str)> {
    let (kind, after) = text.split_at_checked(1)?;
    match kind {
        "\\" => Some((vec![b'\\'], after)),
        "n" => Some((vec![b'\n'], after)),
        "t" => Some((vec![b'\t'], after)),
        "x" => {
            let (digits, after) = after.split_at_checked(2)?;
            Some((vec![u8::from_str_radix(digits, 16).ok()?], after))
        }
        "u" => {
            let (digits, after) = after.strip_prefix('{')?.split_once('}')?;
            let c = char::from_u32(u32::from_str_radix(digits, 16).ok()?)?;
            Some((c.to_string().into_bytes(), after))
        }
        _ => None,
    }
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
    #[test]
    fn a_shown_path_is_one_line_and_gives_its_bytes_back() {
        assert_eq!(shown_path(b"a\\xff\xff\n\t\x1b"), "a\\\\xff\\xff\\n\\t\\u{1b}");
        let mut path = Vec::new();
        // Every pair of bytes, so that escapes stand beside everything that could be taken for one.
        for (a, b) in (0..=255).flat_map(|a| (0..=255).map(move |b| (a, b))) {
            path.extend_from_slice(&[a, b, b'\\', b'x']);
        }
        path.extend_from_slice("\u{202e}ä\u{10ffff}".as_bytes());
        let shown = shown_path(&path);
        assert!(!shown.contains('\n'));
        assert_eq!(path_of(&shown), path);
        for odd in ["a\\", "\\q", "\\x1", "\\u{", "\\u{110000}", "\\xä"] {
            assert_eq!(path_of(odd), odd.as_bytes(), "what is no escape stands for itself");
        }
    }
}
