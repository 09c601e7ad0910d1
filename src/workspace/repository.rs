//! What git takes for a repository: a folder of such parts obeys its own configuration wherever git is run in it.
//!
//! Git asks for `HEAD`, and for objects and refs where `commondir` says they are (gitrepository-layout). Judged is
//! the weaker "`HEAD` and any other part", so that parts scattered over several folders are seen as well.

/// What makes a folder with `HEAD` a repository.
const PARTS: [&str; 6] = ["objects", "refs", "commondir", "gitdir", "config", "config.worktree"];
/// What decides where a repository's parts lie and what git runs for it.
const STEERING: [&str; 6] = ["HEAD", "commondir", "gitdir", "config", "config.worktree", "hooks"];

/// Whether a folder became a repository, or one that the base holds was pointed elsewhere or configured anew.
///
/// `in_base` and `in_dir` say whether the base's folder and the run's layer have an entry of a name; `whole` says
/// that the layer holds the whole folder, so what only the base has is gone.
pub(super) fn is_new(in_base: &dyn Fn(&str) -> bool, in_dir: &dyn Fn(&str) -> bool, whole: bool) -> bool {
    let has = |name: &str| in_dir(name) || (!whole && in_base(name));
    let made = has("HEAD") && PARTS.iter().any(|name| has(name));
    let was = in_base("HEAD") && PARTS.iter().any(|name| in_base(name));
    let steered = STEERING.iter().any(|name| in_dir(name));
    made && (!was || (steered && !whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(base: &[&str], dir: &[&str]) -> bool {
        is_new(&|name| base.contains(&name), &|name| dir.contains(&name), false)
    }

    #[test]
    fn head_with_any_part_is_a_repository_and_neither_alone_is() {
        for part in PARTS {
            assert!(judge(&[], &["HEAD", part]), "{part}");
            assert!(judge(&["HEAD"], &[part]), "{part}");
            assert!(judge(&[part], &["HEAD"]), "{part}");
            assert!(!judge(&[], &[part]), "{part}");
        }
        assert!(!judge(&[], &["HEAD", "README.md"]));
    }

    #[test]
    fn one_that_the_base_holds_may_get_objects_but_no_other_configuration() {
        let base = ["HEAD", "objects", "refs", "config"];
        assert!(!judge(&base, &["objects"]));
        for part in STEERING {
            assert!(judge(&base, &[part]), "{part}");
        }
    }
}
