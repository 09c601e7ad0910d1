//! Command lines as people write them, cut the way a shell would. Nothing is expanded: what a variable or a
//! substitution stands for is not known here.

/// Levels of shells within shells that are looked into.
const LEVELS: usize = 4;
/// Simple commands of one line.
const COMMANDS: usize = 1_000;
/// Shells, and the options after which they are given a whole command line.
const SHELLS: [&str; 5] = ["ash", "bash", "dash", "sh", "zsh"];
/// What ends a simple command.
const ENDS: &[char] = &[';', '&', '|', '(', ')', '\n'];
/// Words that may stand before a simple command.
const BEFORE: [&str; 14] = [
    "!", "builtin", "command", "do", "elif", "else", "env", "exec", "if", "then", "time", "until", "while",
    "{",
];

/// The words of a command line; expansions stay as they are written.
#[must_use]
pub fn words(line: &str) -> Vec<String> {
    cut(line, &[]).pop().unwrap_or_default()
}

/// The simple commands of a command line, also of what it hands to another shell (`sh -c "…"`).
#[must_use]
pub fn simple_commands(line: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    gather(line, LEVELS, &mut found);
    found
}

/// The line that a shell is handed by these arguments.
#[must_use]
pub fn handed_line<T: AsRef<str>>(argv: &[T]) -> Option<&str> {
    let [shell, option, line, ..] = argv else { return None };
    let name = shell.as_ref().rsplit('/').next().unwrap_or("");
    let hands = option.as_ref().starts_with('-') && option.as_ref().ends_with('c');
    (SHELLS.contains(&name) && hands).then_some(line.as_ref())
}

fn gather(line: &str, levels: usize, found: &mut Vec<Vec<String>>) {
    for words in cut(line, ENDS) {
        let assigned = |word: &String| word.split_once('=').is_some_and(|(name, _)| is_name(name));
        let before =
            words.iter().take_while(|word| assigned(word) || BEFORE.contains(&word.as_str())).count();
        let command: Vec<String> = words.into_iter().skip(before).collect();
        if command.is_empty() || found.len() >= COMMANDS {
            continue;
        }
        let handed = handed_line(&command).filter(|_| levels > 0).map(str::to_owned);
        found.push(command);
        if let Some(line) = handed {
            gather(&line, levels - 1, found);
        }
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

/// The words between unquoted `ends`.
fn cut(line: &str, ends: &[char]) -> Vec<Vec<String>> {
    let (mut all, mut words, mut word) = (Vec::new(), Vec::new(), None::<String>);
    let mut quote = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            ('\'' | '"', None) => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (end, Some(open)) if end == open => quote = None,
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(letters.next()),
            (end, None) if ends.contains(&end) => {
                words.extend(word.take());
                all.push(std::mem::take(&mut words));
            }
            (space, None) if space.is_whitespace() => words.extend(word.take()),
            (letter, _) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    all.push(words);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_as_a_shell_does() {
        assert_eq!(words("a 'b c' \"d\\\" e\"f\\ g ''"), ["a", "b c", "d\" ef g", ""]);
        assert_eq!(words("a;b | c"), ["a;b", "|", "c"]);
    }

    #[test]
    fn simple_commands_are_found_wherever_a_shell_would_run_them() {
        for (line, expected) in [
            ("git push", vec!["git push"]),
            ("cd x && git push; ls | wc", vec!["cd x", "git push", "ls", "wc"]),
            ("A=b GIT_DIR=x git push", vec!["git push"]),
            ("if true; then git push; fi", vec!["true", "git push", "fi"]),
            ("(git push)", vec!["git push"]),
            ("echo 'git push; x'", vec!["echo git push; x"]),
            ("/bin/bash -lc 'cd a\ngit push'", vec!["/bin/bash -lc cd a\ngit push", "cd a", "git push"]),
            ("sh -c \"sh -c 'git push'\"", vec!["sh -c sh -c 'git push'", "sh -c git push", "git push"]),
            ("", vec![]),
        ] {
            let found: Vec<String> = simple_commands(line).iter().map(|words| words.join(" ")).collect();
            assert_eq!(found, expected, "{line}");
        }
        let nested = (0..10).fold("x".to_owned(), |line, _| format!("sh -c {line:?}"));
        assert!(simple_commands(&nested).len() <= LEVELS + 1);
        assert!(simple_commands(&"a;".repeat(100_000)).len() <= COMMANDS);
    }
}
