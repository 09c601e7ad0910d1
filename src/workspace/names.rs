//! Names that mean something else somewhere else: what git refuses as `.git`, and what collides on other disks.
//!
//! Rules of git's `is_hfs_dotgit` and `is_ntfs_dotgit` (protectHFS, protectNTFS), on every platform.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use unicode_normalization::UnicodeNormalization as _;

/// Bytes of a tree's name as the file system takes them.
pub(super) fn os_name(name: &[u8]) -> &OsStr {
    OsStr::from_bytes(name)
}

/// Whether some file system takes this one component for `.git`.
pub(super) fn is_git_like(name: &[u8]) -> bool {
    // NTFS treats a backslash as a separator and cuts an alternate stream off at a colon.
    name.split(|byte| matches!(byte, b'\\' | b'/')).any(|part| is_ntfs_git(part) || is_hfs_git(part))
}

fn is_ntfs_git(name: &[u8]) -> bool {
    let stream = name.split(|byte| *byte == b':').next().unwrap_or(name);
    let end = stream.iter().rposition(|byte| !matches!(byte, b' ' | b'.')).map_or(0, |last| last + 1);
    let bare = stream.get(..end).unwrap_or(stream);
    bare.eq_ignore_ascii_case(b".git") || bare.eq_ignore_ascii_case(b"git~1")
}

/// HFS+ ignores these code points when it compares names (git's `next_hfs_char`).
fn is_hfs_git(name: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(name) else { return false };
    let seen: String = text
        .chars()
        .filter(|c| !matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}'))
        .collect();
    seen.eq_ignore_ascii_case(".git")
}

/// Two names with the same key are one name on a disk that folds case or normalizes Unicode. Upper case in
/// between brings together what has one capital (`ς` and `σ`, `ß` and `ss`), the compatibility form what only looks
/// otherwise (`ſ`, `ﬁ`).
pub(super) fn collision_key(name: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(name) {
        Ok(text) => {
            let lower = text.nfkd().flat_map(char::to_lowercase);
            let upper = lower.flat_map(char::to_uppercase).collect::<String>();
            let folded = upper.nfkd().flat_map(char::to_lowercase).collect::<String>();
            folded.nfkc().collect::<String>().into_bytes()
        }
        Err(_) => name.to_ascii_lowercase(),
    }
}

/// Whether a base tree's name can be one component of a checkout.
pub(super) fn is_safe_component(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..")
        && !name.iter().any(|byte| matches!(byte, b'/' | 0))
        && !is_git_like(name)
}

/// Where a link at `path` (from the top) with this text leads, by its text alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LinkReach {
    /// To a place in the tree.
    Inside,
    /// Out of the tree, or to an absolute path.
    Outside,
    /// Into something that is, or passes for, `.git`.
    Git,
}

/// See [`LinkReach`].
pub(super) fn link_reach(path: &[u8], text: &[u8]) -> LinkReach {
    if text.first() == Some(&b'/') || text.is_empty() {
        return LinkReach::Outside;
    }
    if text.split(|byte| *byte == b'/').any(is_git_like) {
        return LinkReach::Git;
    }
    let mut depth = path.split(|byte| *byte == b'/').count() - 1;
    // Going up is understood only from the link's own folders, which are real: a name may itself be a link.
    let mut down = false;
    for part in text.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if down => return LinkReach::Outside,
            b".." => match depth.checked_sub(1) {
                Some(up) => depth = up,
                None => return LinkReach::Outside,
            },
            _ => down = true,
        }
    }
    LinkReach::Inside
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_dot_git_is_seen() {
        for name in [
            ".git",
            ".GIT",
            ".Git",
            "git~1",
            "GIT~1",
            ".git ",
            ".git.",
            ".git. .",
            ".git::$INDEX_ALLOCATION",
            ".g\u{200c}it",
            "\u{feff}.git",
            ".gi\u{202e}t",
            "a\\.git",
            ".git\\config",
        ] {
            assert!(is_git_like(name.as_bytes()), "{name:?}");
        }
        for name in [".gitignore", ".gitmodules", "git", "git~2", "x.git", ".git-keep", "", ".gi", "..git"] {
            assert!(!is_git_like(name.as_bytes()), "{name:?}");
        }
    }

    #[test]
    fn names_that_fold_together_have_one_key() {
        assert_eq!(collision_key("Ä".as_bytes()), collision_key("a\u{308}".as_bytes()));
        assert_eq!(collision_key(b"README"), collision_key(b"readme"));
        for (one, other) in [
            ("ς", "σ"),
            ("Σ", "ς"),
            ("ſ", "s"),
            ("ß", "SS"),
            ("ẞ", "ss"),
            ("ﬁ", "Fi"),
            ("ΰ", "ΰ"),
            ("K", "k"),
            ("Å", "å"),
        ] {
            assert_eq!(collision_key(one.as_bytes()), collision_key(other.as_bytes()), "{one} {other}");
        }
        assert_ne!(collision_key("ä".as_bytes()), collision_key(b"a"));
        assert_ne!(collision_key(b"a"), collision_key(b"b"));
        assert_eq!(collision_key(b"A\xff"), collision_key(b"a\xff"));
    }

    #[test]
    fn links_are_judged_by_their_text() {
        for (path, text, reach) in [
            ("a", "b", LinkReach::Inside),
            ("a/b", "../c", LinkReach::Inside),
            ("a", "../c", LinkReach::Outside),
            ("a/b", "x/../../../c", LinkReach::Outside),
            ("a", "/etc/passwd", LinkReach::Outside),
            ("a", ".git/config", LinkReach::Git),
            ("a", "b/./c", LinkReach::Inside),
        ] {
            assert_eq!(link_reach(path.as_bytes(), text.as_bytes()), reach, "{path} {text}");
        }
    }
}
