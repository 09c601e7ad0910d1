//! Rules for texts of a contract: what a path, a ref and a name may look like.
//!
//! Each returns the sentence that says what is wrong; the caller knows the field.

/// A relative path beneath some folder, of plain steps.
pub(super) fn relative_path(path: &str) -> Result<(), &'static str> {
    if path.is_empty() || path.len() > 4096 || path.chars().any(char::is_control) {
        return Err("is empty, longer than 4096 bytes, or holds a control character");
    }
    if path.starts_with('/') || path.starts_with('~') {
        return Err("is not relative");
    }
    if path.split('/').any(|step| step == "..") {
        return Err("leaves its folder by `..`");
    }
    if path.split('/').any(|step| step.is_empty() || step == ".") {
        return Err("holds an empty or `.` step");
    }
    Ok(())
}

/// A relative path in a work tree: also never into git's own folder.
pub(super) fn tree_path(path: &str) -> Result<(), &'static str> {
    relative_path(path)?;
    if path.split('/').any(|step| step.eq_ignore_ascii_case(".git")) {
        return Err("goes into `.git`");
    }
    Ok(())
}

/// A file's name in a bundle: `[A-Za-z0-9_][A-Za-z0-9._-]*`, at most four levels.
pub(super) fn artifact_name(name: &str) -> Result<(), &'static str> {
    let step = |step: &str| {
        let mut bytes = step.bytes();
        bytes.next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
            && bytes.all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    if name.len() <= 512 && name.split('/').count() <= 4 && name.split('/').all(step) {
        Ok(())
    } else {
        Err("is not a name that a bundle's file can have")
    }
}

/// A ref or revision, as git's own rules allow at least (`git-check-ref-format`).
pub(super) fn base_ref(name: &str) -> Result<(), &'static str> {
    let odd = |c: char| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c);
    if name.is_empty() || name.len() > 1024 || name.starts_with('-') || name.chars().any(odd) {
        return Err("is empty, starts with `-`, or holds a blank or one of ~ ^ : ? * [ \\");
    }
    if name.contains("..") || name.contains("@{") || name.ends_with('/') || name.contains("//") {
        return Err("is not a ref name");
    }
    Ok(())
}

/// A toolchain's name.
pub(super) fn toolchain(name: &str) -> Result<(), &'static str> {
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let all = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b));
    if first && all && name.len() <= 64 { Ok(()) } else { Err("is not a toolchain's name (a-z 0-9 . _ -)") }
}

/// One line for people, in characters.
pub(super) fn one_line(text: &str, max: usize) -> Result<(), &'static str> {
    if text.trim().is_empty() {
        return Err("is empty");
    }
    if text.chars().any(char::is_control) {
        return Err("holds a line break or another control character");
    }
    if text.chars().count() > max { Err("is too long") } else { Ok(()) }
}

/// Whether a target is a URL (`scheme://…` or `user@host:path`) and not a path.
pub(super) fn is_url(target: &str) -> bool {
    let scheme =
        |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"+.-".contains(&b));
    if target.split_once("://").is_some_and(|(before, _)| scheme(before)) {
        return true;
    }
    target.split_once(':').is_some_and(|(before, _)| before.contains('@') && !before.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_beneath() {
        assert_eq!(tree_path("a/b.c"), Ok(()));
        for bad in
            ["", "/a", "a//b", "a/../b", "..", "./a", "a/", "~/x", "a\nb", ".git/config", "x/.GIT/hooks"]
        {
            assert!(tree_path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn urls_and_paths_are_told_apart() {
        for url in ["https://h/x", "ssh://git@h/x", "git@h:x/y", "file:///x"] {
            assert!(is_url(url), "{url}");
        }
        for path in ["/x", "x", "../x", "a:b", "./git@h:x"] {
            assert!(!is_url(path), "{path}");
        }
    }

    #[test]
    fn refs_and_names() {
        assert!(base_ref("refs/heads/main").is_ok() && base_ref("HEAD").is_ok());
        assert!(base_ref("-x").is_err() && base_ref("a..b").is_err() && base_ref("HEAD~1").is_err());
        assert!(artifact_name("backend/a.jsonl").is_ok() && artifact_name("../x").is_err());
    }
}
