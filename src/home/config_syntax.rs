//! What is wrong with a text of `config.toml`, without repeating a key that somebody wrote into it.
//!
//! The parser's own answer holds the source line, which is what a person wants to see, unless it holds a key. So the
//! line is shown only where no key is looked for: in `[limits]`, `[network]`, `[sandbox]`, `[spend]` and `[toolchains.*]`.

use std::path::Path;

use super::HomeError;

/// What to write for an engine, whatever was wrong.
const REMEDY: &str = "an engine has program, installation, endpoint, model, provider, unpriced and key = { env = \"NAME\" }, { file = \"/path\" } or \
                      { command = [\"argv\", …] }; never the key itself";
/// Longest name that is taken for one.
const NAME: usize = 32;

/// The error for a text that does not parse.
pub(super) fn refused(path: &Path, text: &str, error: &toml::de::Error) -> HomeError {
    let at = error.span().map_or(0, |span| span.start).min(text.len());
    let before = text.get(..at).unwrap_or("");
    let line = before.matches('\n').count() + 1;
    let table = header_above(text, line);
    let keyless = ["[limits]", "[network]", "[sandbox]", "[spend]", "[toolchains."];
    if keyless.iter().any(|name| table.starts_with(name)) {
        return HomeError::Syntax { path: path.to_owned(), problem: error.to_string() };
    }
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    let name = text.lines().nth(line - 1).and_then(|line| line.split_once('=')).map(|(name, _)| name.trim());
    let table = table.trim_start_matches('[').split(']').next().unwrap_or("");
    let field: Vec<&str> = [Some(table), name].into_iter().flatten().filter(|part| is_a_name(part)).collect();
    HomeError::Value {
        path: path.to_owned(),
        field: format!("line {line}, column {column}: {}", field.join(".")),
        problem: sentence(error.message()).to_owned(),
        remedy: REMEDY.to_owned(),
    }
}

/// The parser's words can repeat a value; these cannot.
fn sentence(message: &str) -> &'static str {
    match message {
        known if known.starts_with("unknown field") => "is not a known field",
        known if known.starts_with("invalid type") => "has another form than is expected here",
        known if known.starts_with("duplicate") => "stands here twice",
        _ => "cannot be read (the line is not repeated: a key could stand in it)",
    }
}

/// The last table header at or above a line.
fn header_above(text: &str, line: usize) -> &str {
    text.lines().take(line).map(str::trim).filter(|line| line.starts_with('[')).last().unwrap_or("")
}

/// Whether it is a name as fields and tables have it, and nothing that a key could be.
fn is_a_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || matches!(b, b'_' | b'.');
    !text.is_empty() && text.len() <= NAME && text.bytes().all(plain)
}

/// Whether it is a provider's name as a price table may have it, and nothing that a key could be.
pub(super) fn is_a_provider(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
    !name.is_empty() && name.len() <= NAME && name.bytes().all(plain) && !looks_like_a_token(name)
}

/// Whether a text is the name of an environment variable, and not a key that stands in its place.
pub(super) fn is_a_variable(name: &str) -> bool {
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    starts && plain && !looks_like_a_token(name)
}

/// Long, and mixed as no variable is: digits with small letters, or digits and no word break.
fn looks_like_a_token(name: &str) -> bool {
    const LONG: usize = 16;
    let has = |what: fn(&u8) -> bool| name.as_bytes().iter().any(what);
    let mixed = has(u8::is_ascii_lowercase) || !name.contains('_');
    name.len() >= LONG && has(u8::is_ascii_digit) && mixed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::Config;

    /// Made of parts, so that no file of this project holds what looks like a key.
    fn keys() -> [String; 4] {
        [
            ["sk-pro", "j-AbCdEf0123456789"].concat(),
            ["ghp", "_0123456789abcdefABCDEF"].concat(),
            ["AKIA", "0123456789ABCDEF"].concat(),
            ["c2VjcmV0LXRoYXQ", "tbm9ib2R5LXNlZXM="].concat(),
        ]
    }

    #[test]
    fn a_key_in_the_configuration_is_never_repeated() {
        for key in keys() {
            for text in [
                "key = 'KEY'",
                "api_key = 'KEY'",
                "key = { value = 'KEY' }",
                "key = { env = 'KEY' }",
                "key = { file = 'KEY' }",
                "key = { command = ['KEY'] }",
                "key = 'KEY",
                "key = KEY",
                "key = '''\nKEY\n''' x",
                "key = { env = 'A', file = 'KEY' }",
                "KEY = 1",
                "unpriced = 'KEY'",
                "provider = 'KEY'",
                "program = 'KEY'",
                "endpoint = 'KEY'",
                "endpoint = 'http://u:KEY@127.0.0.1/'",
                "endpoint = 'http://127.0.0.1/?api_key=KEY'",
            ] {
                let text = text.replace("KEY", &key);
                for whole in [format!("[engines.codex]\n{text}\n"), format!("[limits]\n[engines]\n{text}\n")]
                {
                    let error = Config::parse(Path::new("/c/config.toml"), &whole).unwrap_err();
                    let said = format!("{error} {error:?}");
                    assert!(!said.contains(&key), "{whole}: {said}");
                    assert!(said.contains("remedy:") && said.contains("/c/config.toml"), "{said}");
                }
            }
            let inline = format!("engines.codex.key = '{key}'\n");
            let error = Config::parse(Path::new("/c"), &inline).unwrap_err().to_string();
            assert!(!error.contains(&key) && error.contains("line 1"), "{error}");
        }
    }

    #[test]
    fn elsewhere_the_line_is_shown() {
        let error = Config::parse(Path::new("/c"), "[limits]\nwall_seconds = 'ten'\n").unwrap_err();
        assert!(error.to_string().contains("wall_seconds = 'ten'"), "{error}");
        let error = Config::parse(Path::new("/c"), "[network]\nallow = 'a.example:443'\n").unwrap_err();
        assert!(error.to_string().contains("allow = 'a.example:443'"), "{error}");
    }

    #[test]
    fn names_of_variables_are_known_from_keys() {
        for name in ["CODEX_KEY", "_X", "OPENAI_API_KEY_2_FOR_TESTS", "key", "Key2"] {
            assert!(is_a_variable(name), "{name}");
        }
        for name in keys().iter().map(String::as_str).chain(["", "2A", "A-B", "A B", "A=B", "Ä"]) {
            assert!(!is_a_variable(name), "{name}");
        }
    }
}
