//! Whose processes and files a run's are: the uid that the payload has inside and on the host.
//!
//! As root, every concurrent run gets a host uid of its own from a reserved range, held by a lock for as long
//! as the lease lives, so that root gains nothing inside and process limits bind. Everybody else runs the
//! payload as himself under a non-zero inside uid, and the evidence says which. `newuidmap` is never used.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The payload's uid and gid inside every sandbox.
pub const INSIDE_UID: u32 = 1000;
/// First host uid of the range reserved for payloads.
pub const FIRST_SLOT: u32 = 2_000_000_000;
/// First of those that are no run's; runs have those below, and what they leave to be gone on with is safe from others.
const FIRST_BY_HAND: u32 = 2_000_032_768;
/// Last host uid of that range: the probe's.
pub const LAST_SLOT: u32 = 2_000_065_535;

/// Where root's locks lie: one place for every installation that shares `/run`.
const HOST_WIDE: &str = "/run/cto/uids";

/// The identity of a payload: plain data, part of the evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunUid {
    /// Uid and gid inside the sandbox; never 0.
    pub inside: u32,
    /// Uid on the host that the inside uid maps to.
    pub host_uid: u32,
    /// Gid on the host that the inside gid maps to.
    pub host_gid: u32,
    /// Whether the host uid belongs to this run alone (so that limits on processes bind).
    pub own: bool,
}

/// A [`RunUid`] that no other run has while this value lives.
#[derive(Debug)]
pub struct RunUidLease {
    uid: RunUid,
    /// Locked; dropping it gives the slot back. `None` for the caller's own uid, which is not exclusive.
    _lock: Option<File>,
}

/// Why no uid could be had.
#[derive(Debug, thiserror::Error)]
pub enum UidError {
    /// `/proc/self` did not tell who runs the harness or what its user namespace maps.
    #[error("cannot read {path}: {source}")]
    ReadProc {
        /// The file.
        path: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The folder of slot locks could not be made.
    #[error("cannot make the folder of uid locks {path}: {source}")]
    MakeFolder {
        /// The folder.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A slot's lock file could not be opened or locked.
    #[error("cannot lock uid slot {path}: {source}")]
    Lock {
        /// The lock file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// 32,768 runs at once, or as many sandboxes by hand.
    #[error("all uids of their half of {FIRST_SLOT} to {LAST_SLOT} are in use")]
    Exhausted,
}

impl RunUid {
    /// Chooses the payload's identity and holds it, for a run: root gets the lowest free slot that this user namespace
    /// maps and that `fits` (those of runs that can be gone on with are theirs, and a later attempt needs the one of the
    /// earlier), everybody else (and a root without such a slot) his own uid with `own = false`.
    ///
    /// The locks lie in `/run/cto/uids`, so that installations of one host agree; where that cannot be had (a
    /// read-only `/run`), in `state_dir/uids`. Made 0700.
    pub fn claim_for_run(state_dir: &Path, fits: impl Fn(u32) -> bool) -> Result<RunUidLease, UidError> {
        claim(Some(state_dir), FIRST_SLOT..FIRST_BY_HAND, fits)
    }

    /// The same, for what is no run: of other slots, so that nobody else's work can be his.
    pub fn claim_by_hand(state_dir: &Path) -> Result<RunUidLease, UidError> {
        claim(Some(state_dir), FIRST_BY_HAND..LAST_SLOT, |_| true)
    }

    /// The same, before it is known where the installation keeps its state; `None` where that has to be known.
    #[must_use]
    pub fn claim_ahead() -> Option<RunUidLease> {
        claim(None, FIRST_BY_HAND..LAST_SLOT, |_| true).ok()
    }

    /// The only identity that a payload can have where the caller is not root. It is nobody's to claim.
    #[must_use]
    pub fn of_an_ordinary_caller() -> Option<RunUidLease> {
        let mine = Self::callers().ok().filter(|uid| uid.host_uid != 0)?;
        Some(RunUidLease { uid: mine, _lock: None })
    }

    fn callers() -> Result<Self, UidError> {
        let me = std::fs::metadata("/proc/self")
            .map_err(|source| UidError::ReadProc { path: "/proc/self", source })?;
        Ok(Self { inside: INSIDE_UID, host_uid: me.uid(), host_gid: me.gid(), own: false })
    }
}

impl UidError {
    /// Whether it is the place of the locks that will not do.
    fn is_of_the_place(&self) -> bool {
        match self {
            Self::MakeFolder { .. } => true,
            Self::Lock { source, .. } => source.kind() == io::ErrorKind::ReadOnlyFilesystem,
            Self::ReadProc { .. } | Self::Exhausted => false,
        }
    }
}

impl RunUidLease {
    /// The identity.
    #[must_use]
    pub const fn uid(&self) -> RunUid {
        self.uid
    }
}

/// Without `state_dir`, only the place that all installations share will do.
fn claim(
    state_dir: Option<&Path>,
    slots: Range<u32>,
    fits: impl Fn(u32) -> bool,
) -> Result<RunUidLease, UidError> {
    let mine = RunUid::callers()?;
    if mine.host_uid != 0 {
        return Ok(RunUidLease { uid: mine, _lock: None });
    }
    let maps = (id_map("/proc/self/uid_map")?, id_map("/proc/self/gid_map")?);
    let mapped = |id: u32| covers(&maps.0, id) && covers(&maps.1, id);
    if !slots.clone().any(mapped) {
        return Ok(RunUidLease { uid: mine, _lock: None });
    }
    let free = || slots.clone().filter(|slot| mapped(*slot) && fits(*slot));
    match (claim_slot(Path::new(HOST_WIDE), free()), state_dir) {
        (Err(error), Some(state_dir)) if error.is_of_the_place() => {
            claim_slot(&state_dir.join("uids"), free())
        }
        (claimed, _) => claimed,
    }
}

/// Makes the folder of locks; one that others own or may enter will not do.
fn lock_folder(folder: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let found = std::fs::symlink_metadata(folder)?;
    if !found.is_dir() || found.uid() != std::fs::metadata("/proc/self")?.uid() || found.mode() & 0o077 != 0 {
        return Err(io::Error::from(io::ErrorKind::PermissionDenied));
    }
    Ok(())
}

fn claim_slot(folder: &Path, slots: impl Iterator<Item = u32>) -> Result<RunUidLease, UidError> {
    lock_folder(folder)
        .map_err(|source| UidError::MakeFolder { path: folder.display().to_string(), source })?;
    for slot in slots {
        let path = folder.join(format!("{slot}.lock"));
        let fail = |source| UidError::Lock { path: path.display().to_string(), source };
        // Lock files are never removed: a lock on an unlinked file would let two runs hold one slot.
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(fail)?;
        match file.try_lock() {
            Ok(()) => {
                let uid = RunUid { inside: INSIDE_UID, host_uid: slot, host_gid: slot, own: true };
                return Ok(RunUidLease { uid, _lock: Some(file) });
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(source)) => return Err(fail(source)),
        }
    }
    Err(UidError::Exhausted)
}

/// Ranges `(first, length)` of ids that exist in this process's user namespace (`user_namespaces(7)`).
fn id_map(path: &'static str) -> Result<Vec<(u64, u64)>, UidError> {
    let text = std::fs::read_to_string(path).map_err(|source| UidError::ReadProc { path, source })?;
    let range = |line: &str| {
        let mut fields = line.split_whitespace().map(str::parse::<u64>);
        match (fields.next(), fields.next(), fields.next()) {
            (Some(Ok(first)), Some(Ok(_)), Some(Ok(length))) => Some((first, length)),
            _ => None,
        }
    };
    Ok(text.lines().filter_map(range).collect())
}

fn covers(ranges: &[(u64, u64)], id: u32) -> bool {
    let id = u64::from(id);
    ranges.iter().any(|(first, length)| id >= *first && id - first < *length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_leases_never_share_a_slot_and_a_freed_one_is_taken_again() {
        let folder = tempfile::tempdir().unwrap();
        let slots = || FIRST_SLOT..FIRST_SLOT + 2;
        let folder = folder.path().join("uids");
        let first = claim_slot(&folder, slots()).unwrap();
        let second = claim_slot(&folder, slots()).unwrap();
        assert_eq!((first.uid().host_uid, second.uid().host_uid), (FIRST_SLOT, FIRST_SLOT + 1));
        assert!(matches!(claim_slot(&folder, slots()), Err(UidError::Exhausted)));
        drop(first);
        assert_eq!(claim_slot(&folder, slots()).unwrap().uid().host_uid, FIRST_SLOT);
    }

    #[test]
    fn two_installations_of_one_host_never_share_a_uid() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let leases = [one.path(), other.path()].map(|state| RunUid::claim_by_hand(state).unwrap());
        let [one, other] = leases.each_ref().map(RunUidLease::uid);
        assert!(one.host_uid != other.host_uid || !(one.own && other.own), "{one:?} {other:?}");
    }

    #[test]
    fn a_run_and_a_sandbox_by_hand_never_share_a_uid_of_root() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunUid::claim_for_run(folder.path(), |slot| slot != FIRST_SLOT).unwrap();
        let by_hand = RunUid::claim_by_hand(folder.path()).unwrap();
        let ahead = RunUid::claim_ahead();
        assert!(!run.uid().own || (FIRST_SLOT + 1..FIRST_BY_HAND).contains(&run.uid().host_uid), "{run:?}");
        for lease in ahead.iter().chain([&by_hand]) {
            assert!(
                !lease.uid().own || (FIRST_BY_HAND..LAST_SLOT).contains(&lease.uid().host_uid),
                "{lease:?}"
            );
        }
        assert!(ahead.is_none_or(|ahead| !ahead.uid().own || ahead.uid() != by_hand.uid()));
        let ordinary = RunUid::of_an_ordinary_caller();
        let me = std::fs::metadata("/proc/self").unwrap().uid();
        assert_eq!(ordinary.map(|lease| lease.uid().host_uid), (me != 0).then_some(me));
    }

    #[test]
    fn a_folder_of_locks_that_others_may_enter_will_not_do() {
        let place = tempfile::tempdir().unwrap();
        lock_folder(&place.path().join("a/b")).unwrap();
        lock_folder(&place.path().join("a/b")).unwrap();
        std::os::unix::fs::symlink("a/b", place.path().join("link")).unwrap();
        assert!(lock_folder(&place.path().join("link")).is_err());
        std::fs::set_permissions(
            place.path().join("a/b"),
            std::os::unix::fs::PermissionsExt::from_mode(0o750),
        )
        .unwrap();
        assert!(lock_folder(&place.path().join("a/b")).is_err());
    }

    #[test]
    fn the_payload_is_never_root_inside_and_root_outside_only_without_a_map() {
        let folder = tempfile::tempdir().unwrap();
        let lease = RunUid::claim_by_hand(folder.path()).unwrap();
        let me = std::fs::metadata("/proc/self").unwrap().uid();
        assert_eq!(lease.uid().inside, INSIDE_UID);
        assert_eq!(lease.uid().own, me == 0 && covers(&id_map("/proc/self/uid_map").unwrap(), FIRST_SLOT));
        assert!(lease.uid().own || lease.uid().host_uid == me);
    }

    #[test]
    fn maps_are_ranges() {
        assert!(covers(&[(0, 4_294_967_295)], LAST_SLOT));
        assert!(!covers(&[(0, 1), (100_000, 65_536)], FIRST_SLOT));
        assert!(!covers(&[(u64::from(FIRST_SLOT), 5)], FIRST_SLOT + 5));
    }
}
