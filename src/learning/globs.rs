//! The globs that allow exactly the paths that changed.
//!
//! Each is anchored at the top, and what a glob would read as a wildcard is escaped. A character that must not stand in a
//! glob, or that a reader would not see, is `?` for each of its bytes. Where more than [`FILES_MAX`] paths of one folder
//! changed, the folder is named instead.

use std::collections::{BTreeMap, BTreeSet};

use crate::contract::PathGlobs;
use crate::vocab::{shown, shown_path};

/// Most paths of one folder that are named one by one.
pub(super) const FILES_MAX: usize = 8;

/// Globs for a set of paths.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    /// In order.
    pub(super) globs: Vec<String>,
    /// Paths whose glob does not show them as they are, made visible, with the glob.
    pub(super) disguised: Vec<(String, String)>,
    /// Paths that no glob names, made visible.
    pub(super) nameless: Vec<String>,
}

/// Names every one of `paths` (relative to the top, byte-exact).
pub(super) fn name(paths: &BTreeSet<Vec<u8>>) -> Named {
    let mut folders: BTreeMap<&[u8], usize> = BTreeMap::new();
    for path in paths {
        *folders.entry(parent(path)).or_default() += 1;
    }
    let full: Vec<&[u8]> = folders
        .into_iter()
        .filter(|(folder, count)| *count > FILES_MAX && !folder.is_empty())
        .map(|(folder, _)| folder)
        .collect();
    let mut named = Named::default();
    let mut globs = BTreeSet::new();
    for path in paths {
        let above = |folder: &&&[u8]| path.strip_prefix(**folder).is_some_and(|rest| rest.starts_with(b"/"));
        let folder = full.iter().find(above);
        let glob = match folder {
            Some(folder) => format!("/{}/**", escaped(folder)),
            None => format!("/{}", escaped(path)),
        };
        // What does not read back as what it was made of is not proposed.
        if PathGlobs::new(&[&glob]).is_ok_and(|globs| globs.matches_bytes(path, false)) {
            let seen = shown_path(path);
            if folder.is_none() && is_disguised(path) {
                named.disguised.push((seen, glob.clone()));
            }
            globs.insert(glob);
        } else {
            named.nameless.push(shown_path(path));
        }
    }
    named.globs = globs.into_iter().collect();
    named
}

fn parent(path: &[u8]) -> &[u8] {
    let slash = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    path.get(..slash).unwrap_or(&[])
}

/// The text of a glob that means `path`.
fn escaped(path: &[u8]) -> String {
    let mut out = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' | '*' | '?' | '[' => out.extend(['\\', c]),
                c if is_hidden(c) => out.extend(std::iter::repeat_n('?', c.len_utf8())),
                c => out.push(c),
            }
        }
        out.extend(std::iter::repeat_n('?', chunk.invalid().len()));
    }
    // A glob may not end with a blank.
    if out.ends_with(' ') {
        out.pop();
        out.push('?');
    }
    out
}

fn is_hidden(c: char) -> bool {
    c.is_control() || shown(c.encode_utf8(&mut [0; 4])).len() != c.len_utf8()
}

fn is_disguised(path: &[u8]) -> bool {
    path.ends_with(b" ") || std::str::from_utf8(path).map_or(true, |path| path.chars().any(is_hidden))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(paths: &[&[u8]]) -> Named {
        name(&paths.iter().map(|path| path.to_vec()).collect())
    }

    #[test]
    fn each_path_is_named_and_no_other() {
        for (path, glob) in [
            (&b"src/a.rs"[..], "/src/a.rs"),
            (b"a*b?[c]/{d}\\e", "/a\\*b\\?\\[c]/{d}\\\\e"),
            (b"!x", "/!x"),
            (b"#x/~y", "/#x/~y"),
            (b"end ", "/end?"),
            (b"a\nb", "/a?b"),
            (b"bad\xff\xfe", "/bad??"),
            ("tro\u{202e}jan".as_bytes(), "/tro???jan"),
        ] {
            assert_eq!(of(&[path]).globs, [glob], "{path:?}");
        }
        let globs = PathGlobs::new(&of(&[b"a*/[b]"]).globs).unwrap();
        assert!(globs.matches("a*/[b]", false));
        for other in ["ax/[b]", "a*/b", "x/a*/[b]"] {
            assert!(!globs.matches(other, false), "{other}");
        }
    }

    #[test]
    fn what_cannot_be_seen_is_told() {
        let named = of(&["tro\u{202e}jan".as_bytes(), b"end "]);
        let [end, trojan] = named.disguised.as_slice() else { panic!("{named:?}") };
        assert_eq!(end.0, "end ");
        assert_eq!((trojan.0.as_str(), trojan.1.as_str()), ("tro\\u{202e}jan", "/tro???jan"));
    }

    #[test]
    fn many_files_of_one_folder_are_the_folder_and_the_top_is_never_one() {
        let many = |folder: &str, count: usize| -> Vec<Vec<u8>> {
            (0..count).map(|n| format!("{folder}{n}").into_bytes()).collect()
        };
        let named = |paths: Vec<Vec<u8>>| name(&paths.into_iter().collect()).globs;
        assert_eq!(named(many("out/", FILES_MAX)).len(), FILES_MAX);
        let more = [many("out/", FILES_MAX + 1), many("out/deep/", 2), many("outer/", 1)].concat();
        assert_eq!(named(more), ["/out/**", "/outer/0"]);
        assert_eq!(named(many("", 40)).len(), 40);
    }
}
