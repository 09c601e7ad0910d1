//! A key in use, known to the scanner in its common encodings, too.

use super::scan::Scanner;
use crate::vocab::encodings;

impl Scanner {
    /// Remembers a key in use: plainly, and in every encoding that is known here.
    pub fn learn_key(&self, key: &[u8]) {
        self.learn(key);
        let texts = encodings(key);
        self.learn_all(texts.iter().map(Vec::as_slice));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Redact as _;

    #[test]
    fn a_key_is_found_in_each_encoding_wherever_it_stands() {
        let key = ["sk-x", "/Zq8?Lm2", "+Xv7~Rt4", "Bn9"].concat();
        let scanner = Scanner::embedded();
        scanner.learn_key(key.as_bytes());
        // As RFC 4648 writes the bytes `a`, `ab`, `abc` before the key; made by another program.
        for (before, text) in [
            ("", "c2steC9acTg/TG0yK1h2N35SdDRCbjk="),
            ("a", "YXNrLXgvWnE4P0xtMitYdjd+UnQ0Qm45"),
            ("ab", "YWJzay14L1pxOD9MbTIrWHY3flJ0NEJuOQ=="),
        ] {
            for text in [text.to_owned(), text.replace('+', "-").replace('/', "_")] {
                assert_eq!(scanner.scan(text.as_bytes()).len(), 1, "{before:?} {text}");
            }
        }
        let hex = key.bytes().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
        for text in [hex.clone(), hex.to_uppercase(), "sk-x%2FZq8%3FLm2%2BXv7~Rt4Bn9".to_owned(), key.clone()]
        {
            let line = format!("x{text}y");
            let (clean, _) = scanner.redact(line.as_bytes()).unwrap();
            assert!(!String::from_utf8(clean).unwrap().contains(&text), "{text}");
        }
        assert!(Scanner::embedded().scan(hex.as_bytes()).is_empty(), "nothing else would have found it");
    }
}
