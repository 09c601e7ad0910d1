//! Canaries are made here at run time from parts, so that no file of this repository holds one.

use super::Scanner;
use super::checksum::crc32;
use crate::event::{OpenBlock, Redact as _};

fn scanner() -> Scanner {
    Scanner::embedded()
}

/// `length` characters that look drawn by chance, the same every time.
fn random(length: usize, alphabet: &str) -> String {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let alphabet: Vec<char> = alphabet.chars().collect();
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            alphabet[(state >> 33) as usize % alphabet.len()]
        })
        .collect()
}

const WORD: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const CAPS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

fn with_checksum(prefix: &str) -> String {
    let body = random(30, WORD);
    let mut sum = crc32(body.as_bytes()) as usize;
    let mut tail = String::new();
    for _ in 0..6 {
        tail.insert(0, char::from(WORD.as_bytes()[sum % 62]));
        sum /= 62;
    }
    format!("{prefix}{body}{tail}")
}

fn pem() -> String {
    let dashes = "-".repeat(5);
    let body: Vec<String> = (0..4).map(|_| random(64, WORD)).collect();
    format!(
        "{dashes}BEGIN PRIVATE {}{dashes}\n{}\n{dashes}END PRIVATE {}{dashes}",
        "KEY",
        body.join("\n"),
        "KEY"
    )
}

fn canaries() -> Vec<(&'static str, String)> {
    vec![
        ("aws-access-key-id", format!("{}{}", "AK\u{49}A", random(16, CAPS))),
        ("github-token", with_checksum(&["gh", "p_"].concat())),
        ("npm-token", with_checksum(&["np", "m_"].concat())),
        (
            "github-fine-grained-token",
            format!("{}{}_{}", ["github", "_pat_"].concat(), random(22, WORD), random(59, WORD)),
        ),
        ("gitlab-token", format!("{}{}", ["glp", "at-"].concat(), random(20, WORD))),
        ("anthropic-key", format!("{}-api03-{}", ["sk", "-ant"].concat(), random(80, WORD))),
        ("openai-key", format!("{}-proj-{}", "sk", random(60, WORD))),
        ("openai-key", format!("{}-{}", "sk", random(48, WORD))),
        ("slack-token", format!("{}b-{}-{}", "xox", random(12, "0123456789"), random(24, WORD))),
        ("stripe-key", format!("{}_live_{}", "sk", random(24, WORD))),
        ("google-api-key", format!("{}{}", ["AI", "za"].concat(), random(35, WORD))),
        ("jwt", format!("{0}{1}.{0}{1}.{1}", ["ey", "J"].concat(), random(30, WORD))),
        ("private-key", pem()),
    ]
}

#[test]
fn a_secret_behind_an_escaped_line_break_is_seen() {
    let token = ["AKIA", "QR7T2M4N6P8S3V5X"].concat();
    let line = format!("{{\"output\":\"hello\\n{token}\\n\"}}");
    assert!(line.contains("\\n"), "{line}");
    let found = Scanner::embedded().scan(line.as_bytes());
    assert_eq!(found.len(), 1, "{line}");
    assert_eq!(line.get(found[0].start..found[0].end), Some(token.as_str()));
}

#[test]
fn each_kind_is_found_by_its_rule_and_gone_after_redaction() {
    let scanner = scanner();
    for (rule, secret) in canaries() {
        for text in [secret.clone(), format!("let x = \"{secret}\";\n"), format!("+{secret}")] {
            let found = scanner.scan(text.as_bytes());
            assert_eq!(found.iter().map(|s| s.rule).collect::<Vec<_>>(), [rule], "{rule}");
            let (redacted, rules) = scanner.redact(text.as_bytes()).unwrap();
            let redacted = String::from_utf8(redacted).unwrap();
            assert_eq!(rules, [rule]);
            assert!(redacted.contains(&format!("[redacted:{rule} sha256:")), "{redacted}");
            for line in secret.lines().filter(|line| !line.starts_with("-----")) {
                assert!(!redacted.contains(line), "{rule} is still there");
            }
        }
    }
}

#[test]
fn assignments_of_random_values_are_found() {
    let scanner = scanner();
    let value = random(32, WORD);
    for text in [
        format!("password = \"{value}\""),
        format!("export API_TOKEN={value}\n"),
        format!("{{\"client_secret\":\"{value}\"}}"),
        format!("{{\\\"api-key\\\": \\\"{value}\\\"}}"),
    ] {
        assert_eq!(scanner.scan(text.as_bytes()).len(), 1, "{text}");
    }
}

#[test]
fn ordinary_text_is_left_alone() {
    let scanner = scanner();
    let words = [
        "let token = parser.next_token_from_stream_buffer();",
        "password: \"correct horse battery staple\"",
        "api_key = os.environ[\"SERVICE_API_KEY_FOR_PRODUCTION\"]",
        "secret_id: 3f2504e0-4f89-11d3-9a0c-0305e82c3301",
        "key = \"example-key-of-the-documentation-2024\"",
        "checksum = \"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"",
        "tokens: Vec<TokenKind>, // 2 tokens = 1 pair",
        "use the -----BEGIN PRIVATE KEY----- header",
    ];
    for text in words {
        assert_eq!(scanner.scan(text.as_bytes()), [], "{text}");
        assert_eq!(scanner.redact(text.as_bytes()), None, "{text}");
    }
    let documented = ["AK\u{49}A", "IOSFODNN7", "EXAMPLE"].concat();
    assert_eq!(scanner.scan(documented.as_bytes()), []);
    let empty_token = format!("{}{}", ["gh", "p_"].concat(), "x".repeat(36));
    assert_eq!(scanner.scan(empty_token.as_bytes()), []);
}

#[test]
fn this_repository_holds_no_secret() {
    fn walk(dir: &std::path::Path, scanner: &Scanner, seen: &mut usize) {
        for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                walk(&path, scanner, seen);
            } else if entry.file_type().unwrap().is_file() {
                let bytes = std::fs::read(&path).unwrap();
                *seen += 1;
                let found: Vec<_> =
                    scanner.scan(&bytes).iter().map(|secret| (secret.rule, secret.start)).collect();
                assert_eq!(found, [], "{} seems to hold a secret", path.display());
            }
        }
    }
    let top = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let (scanner, mut seen) = (scanner(), 0);
    for folder in ["src", "tests", "fixtures", "engines", "docs"].map(|name| top.join(name)) {
        if folder.is_dir() {
            walk(&folder, &scanner, &mut seen);
        }
    }
    assert!(seen > 20, "only {seen} files were looked at");
}

/// `text` as a stream, each line redacted by itself.
fn line_by_line(scanner: &Scanner, text: &str) -> String {
    let mut open = OpenBlock::default();
    let lines =
        text.split_inclusive('\n').map(|line| match scanner.redact_line(line.as_bytes(), &mut open) {
            Some((bytes, _)) => String::from_utf8(bytes).unwrap(),
            None => line.to_owned(),
        });
    lines.collect()
}

#[test]
fn a_key_that_comes_line_by_line_is_redacted_and_the_text_after_it_is_not() {
    let scanner = scanner();
    let text =
        format!("before1\n{}\nafter01\nabcd\n", pem().replacen('\n', "\nProc-Type: 4,ENCRYPTED\n\n", 1));
    let out = line_by_line(&scanner, &text);
    for line in pem().lines().filter(|line| !line.starts_with("-----")) {
        assert!(!out.contains(line), "{out}");
    }
    assert!(out.starts_with("before1\n") && out.ends_with("after01\nabcd\n"), "{out}");
}

#[test]
fn a_marker_alone_redacts_nothing_after_it() {
    let (scanner, marker) = (scanner(), format!("{0}BEGIN PRIVATE {1}{0}", "-".repeat(5), "KEY"));
    let text = format!("{marker}\nPASS\ntest\ncode\nsections\n");
    assert_eq!(line_by_line(&scanner, &text), text);
    // Whole values know nothing of one another.
    assert_eq!(scanner.redact(marker.as_bytes()), None);
    for word in ["code", "sections", "observed", &random(64, WORD)] {
        assert_eq!(scanner.redact(word.as_bytes()), None, "{word}");
    }
}

#[test]
fn a_block_ends_at_its_own_marker_and_a_cut_one_with_its_lines() {
    let (scanner, block) = (scanner(), pem());
    let (dashes, long) = ("-".repeat(5), "diff/of/the/next/file/with/a/long/path/and/more");
    let documented =
        format!("{dashes}BEGIN PRIVATE {0}{dashes}\n...\n{dashes}END PRIVATE {0}{dashes}\n", "KEY");
    assert_eq!(scanner.scan(format!("{documented}{long}\n").as_bytes()), []);
    let cut = block.get(..block.rfind('\n').unwrap()).unwrap();
    for (text, rest) in [(format!("{block}\n{long}\n"), long), (format!("{cut}\n--- {long}\n"), "---")] {
        let (out, _) = scanner.redact(text.as_bytes()).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(out.contains(rest) && !out.contains(block.lines().nth(1).unwrap()), "{out}");
    }
    let quoted = cut.replace('\n', "\\n\" +\n    \"");
    assert_eq!(scanner.scan(quoted.as_bytes()).first().map(|found| found.end), Some(quoted.len()));
}

#[test]
fn of_secrets_that_overlap_nothing_stays() {
    let scanner = scanner();
    let (first, second) = (random(24, WORD), random(40, CAPS));
    scanner.learn(format!("{first}{}", &second[..10]).as_bytes());
    scanner.learn(second.as_bytes());
    let (out, _) = scanner.redact(format!("a {first}{second} b").as_bytes()).unwrap();
    let out = String::from_utf8(out).unwrap();
    assert!(!out.contains(&second[30..]), "{out}");
}

#[test]
fn what_was_met_in_passing_is_learnt_and_the_runs_own_names_are_not() {
    let scanner = scanner();
    let (value, name) = (random(32, WORD), random(40, "0123456789abcdef"));
    scanner.spare([format!("sha1:{name}")]);
    for secret in [&value, &name] {
        assert!(scanner.redact(format!("password = \"{secret}\"").as_bytes()).is_some());
    }
    assert_eq!(scanner.learned(), 1);
    assert!(scanner.redact(value.as_bytes()).is_some());
    assert_eq!(scanner.redact(name.as_bytes()), None);
}

#[test]
fn what_was_learnt_is_found_without_its_surroundings() {
    let scanner = scanner();
    let value = random(20, "abcdefghijklmnop");
    assert_eq!(scanner.scan(value.as_bytes()), []);
    scanner.learn(value.as_bytes());
    scanner.learn(b"short");
    let text = format!("{value}, short, {value}");
    let found = scanner.scan(text.as_bytes());
    assert_eq!(
        found.iter().map(|s| (s.rule, s.start)).collect::<Vec<_>>(),
        [("known-secret", 0), ("known-secret", 29)]
    );
}
