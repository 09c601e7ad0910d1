//! Landlock: which rights over files are restricted, by which ABI, and that all that were asked for are.
//!
//! Everything that the kernel can restrict is, unless the configuration lowers what is used: a host with an older kernel
//! is then what this one is like. It never raises anything. Each right has a row, so that evidence says which ones an ABI
//! does not have.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
};

use super::layers::row;
use super::order::Refusal;
use super::policy::SandboxPolicy;
use super::sys;
use crate::evidence::LayerRow;
use crate::workspace::TreeForm;

/// Every ABI known here, by number from 1 (landlock(7), "VERSIONS").
const ABIS: [ABI; 9] = [ABI::V1, ABI::V2, ABI::V3, ABI::V4, ABI::V5, ABI::V6, ABI::V7, ABI::V8, ABI::V9];
/// First ABI with scopes for abstract unix sockets and signals.
const SCOPES_SINCE: u32 = 6;
/// First ABI in which moving between folders can be allowed; before, it is refused altogether.
const REFER_SINCE: u32 = 2;

/// The ABI that is used: the kernel's, or a lower one where the configuration says so.
pub(super) fn usable_abi(at_most: Option<u32>) -> u32 {
    sys::landlock_abi().min(at_most.unwrap_or(u32::MAX))
}

/// The newest one known here that is not above `number`.
fn abi(number: u32) -> Option<ABI> {
    let index = usize::try_from(number).ok()?.min(ABIS.len()).checked_sub(1)?;
    ABIS.get(index).copied()
}

/// Restricts the file system once more, by Landlock: everything that this ABI can restrict is, and anything
/// short of full enforcement is an error.
pub(super) fn landlock(policy: &SandboxPolicy) -> Result<Vec<LayerRow>, Refusal> {
    let number = usable_abi(policy.landlock_at_most);
    let floor = policy.landlock_floor.max(1);
    let Some(abi) = abi(number).filter(|_| number >= floor) else {
        return Err(Refusal::new("landlock", format!("ABI {number} where at least {floor} is demanded")));
    };
    let status = restrict(policy, abi, number >= SCOPES_SINCE)
        .map_err(|error| Refusal::new("landlock", format!("restrict: {error}")))?;
    if status != RulesetStatus::FullyEnforced {
        return Err(Refusal::new("landlock", "full enforcement"));
    }
    let most = policy.landlock_at_most.map(|most| format!(", at most {most}")).unwrap_or_default();
    let kernel = sys::landlock_abi();
    let lowered = if number < kernel { format!(" (the kernel has {kernel})") } else { String::new() };
    let whole = row(
        "landlock",
        format!("ABI {floor} or newer{most}, hard"),
        format!("ABI {number}, fully{lowered}"),
        true,
    );
    Ok(std::iter::once(whole).chain(rows(number)).collect())
}

/// One row a right. With full enforcement, those that the ABI has are restricted, and the others are not.
fn rows(number: u32) -> Vec<LayerRow> {
    let newest = ABI::V9;
    let right = |right: AccessFs| {
        let since = since(|abi| AccessFs::from_all(abi).contains(right));
        right_row(&snake_case(&format!("{right:?}")), since, number)
    };
    let scope = |scope: Scope| {
        let since = since(|abi| Scope::from_all(abi).contains(scope));
        right_row(&format!("scope.{}", snake_case(&format!("{scope:?}"))), since, number)
    };
    AccessFs::from_all(newest).iter().map(right).chain(Scope::from_all(newest).iter().map(scope)).collect()
}

/// Number of the first ABI that has it.
fn since(has: impl Fn(ABI) -> bool) -> u32 {
    let before = ABIS.iter().take_while(|abi| !has(**abi)).count();
    u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1)
}

fn right_row(name: &str, since: u32, number: u32) -> LayerRow {
    let requested = format!("restricted, with ABI {since} or newer");
    let enforced = if number >= since {
        "restricted".to_owned()
    } else if since == REFER_SINCE {
        format!("refused altogether by ABI {number}")
    } else {
        format!("not restricted: ABI {number} has no such right")
    };
    row(&format!("landlock.{name}"), requested, enforced, true)
}

/// `WriteFile` → `write_file`, as the kernel's documentation writes it.
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for (index, letter) in name.char_indices() {
        if letter.is_ascii_uppercase() && index > 0 {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

fn restrict(policy: &SandboxPolicy, abi: ABI, scopes: bool) -> Result<RulesetStatus, RulesetError> {
    let everything = AccessFs::from_all(abi);
    let mut rules =
        Ruleset::default().set_compatibility(CompatLevel::HardRequirement).handle_access(everything)?;
    if scopes {
        rules = rules.scope(Scope::from_all(abi))?;
    }
    let device = AccessFs::from_file(abi) & !BitFlags::from(AccessFs::Execute) | AccessFs::ReadDir;
    let mut rules = rules.create()?;
    let mut allow = |path: &Path, rights: BitFlags<AccessFs>| -> Result<(), RulesetError> {
        // A path that is not there gets no rule, which is the stricter side.
        let Ok(place) = PathFd::new(path) else { return Ok(()) };
        let rights = if path.is_dir() { rights } else { rights & AccessFs::from_file(abi) };
        (&mut rules).add_rule(PathBeneath::new(place, rights)).map(|_| ())
    };
    allow(Path::new("/"), AccessFs::from_read(abi))?;
    allow(Path::new("/dev"), device)?;
    for path in writable(policy) {
        allow(&path, everything)?;
    }
    Ok(rules.restrict_self()?.ruleset)
}

/// Places inside that may be written to.
pub(super) fn writable(policy: &SandboxPolicy) -> Vec<PathBuf> {
    let own = ["/tmp", "/dev/shm"].map(PathBuf::from);
    let tree = policy.tree.iter().filter(|tree| !matches!(tree.form, TreeForm::ReadOnly { .. }));
    own.into_iter()
        .chain(tree.map(|tree| tree.at.clone()))
        .chain(policy.writable.iter().map(|bind| bind.to.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_right_has_a_row_and_only_those_of_the_abi_are_restricted() {
        // Names and versions as landlock(7) has them.
        let newer = [
            ("landlock.refer", 2),
            ("landlock.truncate", 3),
            ("landlock.ioctl_dev", 5),
            ("landlock.scope.abstract_unix_socket", 6),
            ("landlock.scope.signal", 6),
            ("landlock.resolve_unix", 9),
        ];
        for number in 1..=9 {
            let rows = rows(number);
            let restricted = |name: &str| {
                let row = rows.iter().find(|row| row.layer == name).unwrap();
                assert!(row.requested.starts_with("restricted"), "{row:?}");
                row.enforced == "restricted"
            };
            assert_eq!(rows.len(), 13 + newer.len());
            assert!(restricted("landlock.write_file") && restricted("landlock.make_sym"));
            for (name, since) in newer {
                assert_eq!(restricted(name), number >= since, "{name} in ABI {number}");
            }
        }
    }

    #[test]
    fn an_abi_is_never_taken_for_a_newer_one() {
        assert_eq!((abi(0), abi(1), abi(3)), (None, Some(ABI::V1), Some(ABI::V3)));
        assert_eq!((abi(9), abi(1000)), (Some(ABI::V9), Some(ABI::V9)));
        assert_eq!(usable_abi(Some(0)), 0);
        assert_eq!(usable_abi(Some(u32::MAX)), usable_abi(None), "it lowers, and never raises");
    }
}
