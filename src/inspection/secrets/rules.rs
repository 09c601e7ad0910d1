//! The rules: a name, a pattern, and a check on what the pattern found.
//!
//! Patterns follow the issuers' published formats. The first group, where there is one, is the secret itself.
//! A rule's name is part of the evidence and does not change its meaning.

use super::checksum::{entropy_millibits, looks_random, token_checksum_holds};
use crate::vocab::{Digest, Hasher};

/// One rule.
pub(super) struct Rule {
    /// Stable name, in findings and in redacted text.
    pub(super) id: &'static str,
    /// Byte pattern (no Unicode classes).
    pub(super) pattern: &'static str,
    /// Literals of which a match holds at least one, in any case: they decide whether patterns are tried at all.
    pub(super) hints: &'static [&'static str],
    /// Whether a match is believed.
    pub(super) believe: fn(&[u8]) -> bool,
}

/// The name under which a private key is reported; also used for keys that come line by line.
pub(super) const PRIVATE_KEY: &str = "private-key";

/// The rule set, in the order in which rules win over one another.
pub(super) const RULES: &[Rule] = &[
    Rule {
        id: PRIVATE_KEY,
        // A whole block, with no other marker between its two; else as much of a key as follows its marker.
        pattern: r#"(?x)-----BEGIN\x20(?:[A-Z0-9]+\x20){0,3}PRIVATE\x20KEY(?:\x20BLOCK)?-----
            (?: (?:-{0,4}[^-]){0,300}? [A-Za-z0-9+/]{40} (?:-{0,4}[^-])*?
                -----END\x20(?:[A-Z0-9]+\x20){0,3}PRIVATE\x20KEY(?:\x20BLOCK)?-----
            |   (?:[\s"',+|!] | \\[nrt"]){1,40}
                (?:[A-Za-z-]{1,20}:\x20[^\r\n\\]{0,200} (?:[\s"',+|!] | \\[nrt"]){1,40}){0,6}
                [A-Za-z0-9+/]{40,}={0,2} (?:(?:[\s"',+|!] | \\[nrt"]){1,40} [A-Za-z0-9+/]{16,}={0,2})*
            )"#,
        hints: &["PRIVATE KEY"],
        believe: always,
    },
    Rule {
        id: "aws-access-key-id",
        pattern: r"\b((?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16})\b",
        hints: &["AKIA", "ASIA", "ABIA", "ACCA"],
        believe: not_a_placeholder,
    },
    Rule {
        id: "aws-secret-access-key",
        pattern: r#"(?i:aws_?secret_?(?:access_?)?key)["']?[ \t]{0,4}[=:][ \t]{0,4}["']?([A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+=]|\z)"#,
        hints: &["aws"],
        believe: random_or_mixed,
    },
    Rule {
        id: "github-token",
        pattern: r"\b(gh[pousr]_[A-Za-z0-9]{36,})\b",
        hints: &["ghp_", "gho_", "ghu_", "ghs_", "ghr_"],
        believe: checksummed_token,
    },
    Rule {
        id: "github-fine-grained-token",
        pattern: r"\b(github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59})\b",
        hints: &["github_pat_"],
        believe: not_a_placeholder,
    },
    Rule {
        id: "npm-token",
        pattern: r"\b(npm_[A-Za-z0-9]{36})\b",
        hints: &["npm_"],
        believe: checksummed_token,
    },
    Rule {
        id: "gitlab-token",
        pattern: r"\b(glpat-[A-Za-z0-9_-]{20,})",
        hints: &["glpat-"],
        believe: not_a_placeholder,
    },
    Rule {
        id: "anthropic-key",
        pattern: r"\b(sk-ant-[a-z0-9]{3,12}-[A-Za-z0-9_-]{24,})",
        hints: &["sk-ant-"],
        believe: not_a_placeholder,
    },
    Rule {
        id: "openai-key",
        pattern: r"\b(sk-(?:(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{24,}|[A-Za-z0-9]{32,}))",
        hints: &["sk-"],
        believe: random_or_mixed,
    },
    Rule {
        id: "slack-token",
        pattern: r"\b((?:xox[abeoprs]|xapp)-[0-9A-Za-z-]{16,})",
        hints: &["xox", "xapp-"],
        believe: has_digits,
    },
    Rule {
        id: "slack-webhook",
        pattern: r"(hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9+/]{24,})",
        hints: &["hooks.slack.com"],
        believe: has_digits,
    },
    Rule {
        id: "stripe-key",
        pattern: r"\b((?:sk|rk)_(?:live|test)_[A-Za-z0-9]{16,})",
        hints: &["sk_", "rk_"],
        believe: not_a_placeholder,
    },
    Rule {
        id: "google-api-key",
        pattern: r"\b(AIza[0-9A-Za-z_-]{35})(?:[^0-9A-Za-z_-]|\z)",
        hints: &["AIza"],
        believe: not_a_placeholder,
    },
    Rule {
        id: "jwt",
        pattern: r"\b(eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,})",
        hints: &["eyJ"],
        believe: always,
    },
    Rule {
        id: "assigned-secret",
        pattern: r#"(?i:secret|token|passwd|password|api[_-]?key|access[_-]?key|private[_-]?key|credential)[A-Za-z0-9_.-]{0,32}\\?["']?[ \t]{0,4}(?:=|:|:=|=>)[ \t]{0,4}(?:\\?["'])?([A-Za-z0-9+/_=~-]{20,200})(?:\\?["']|[\s,;]|\z)"#,
        hints: &["secret", "token", "passw", "key", "credential"],
        believe: random_or_mixed,
    },
];

fn always(_: &[u8]) -> bool {
    true
}

/// Words and patterns of documentation: nobody's key.
fn not_a_placeholder(found: &[u8]) -> bool {
    let lower = found.to_ascii_lowercase();
    let holds = |word: &str| lower.windows(word.len()).any(|window| window == word.as_bytes());
    let words =
        ["example", "placeholder", "changeme", "dummy", "redacted", "xxxxx", "00000000", "abcdefghij"];
    !words.iter().any(|word| holds(word)) && entropy_millibits(found) >= 2500
}

fn has_digits(found: &[u8]) -> bool {
    not_a_placeholder(found) && found.iter().filter(|byte| byte.is_ascii_digit()).count() >= 2
}

fn random_or_mixed(found: &[u8]) -> bool {
    not_a_placeholder(found) && looks_random(found)
}

/// A token whose checksum holds is one. One whose checksum does not hold may be of a format not published yet,
/// so it is believed as well when it looks drawn by chance.
fn checksummed_token(found: &[u8]) -> bool {
    let body =
        found.iter().position(|byte| *byte == b'_').and_then(|at| found.get(at + 1..)).unwrap_or(found);
    token_checksum_holds(body) || random_or_mixed(body)
}

/// Digest of the rule set, for the policy digest: ids and patterns, in order.
#[must_use]
pub fn rules_digest() -> Digest {
    let mut hasher = Hasher::new();
    for rule in RULES {
        for text in [rule.id, rule.pattern] {
            hasher.update(&(text.len() as u64).to_be_bytes());
            hasher.update(text.as_bytes());
        }
    }
    hasher.finish()
}
