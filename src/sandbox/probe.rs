//! What this host can enforce, found out by doing it.
//!
//! A probe establishes a real sandbox, with an overlay where runs would have theirs, and looks at what stands. Where
//! that fails, smaller ones tell which layer is missing, and [`doctor`] says what a person can do about it.

use std::collections::BTreeSet;
use std::path::Path;

use super::establish::{Sandbox, SandboxError, StubProgram, hear};
use super::grouped::{WATCHDOG, counts_within_namespaces};
use super::order::{Answer, Order};
use super::policy::{Purpose, SandboxPolicy};
use super::rights::usable_abi;
use super::stub::NAMESPACES;
use crate::eligibility::{GROUPS_REMEDY, HostFacts, LANDLOCK_FLOOR, SandboxRefusal, landlock_remedy};
use crate::home::{Home, HomeError};
use crate::process::{Bounds, Group, Version, send};
use crate::vocab::Limits;
use crate::workspace::{INSIDE_UID, LAST_SLOT, OverlayTrial, RunUid, TreeMount, WORKSPACE};

/// Why the host could not be probed (as opposed to: it lacks something).
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The stub is missing or does not answer.
    #[error("cannot probe this host: {0}")]
    Stub(#[source] SandboxError),
    /// What the configuration says of it could not be read.
    #[error(transparent)]
    Configuration(#[from] HomeError),
    /// Who runs the harness could not be read.
    #[error("cannot read who runs this process: {0}")]
    Identity(#[source] std::io::Error),
}

/// One line of `cto doctor`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoctorRow {
    /// `namespaces`, `landlock`, `seccomp`, `overlay`, `identity`, …
    pub layer: String,
    /// Whether it can be enforced here.
    pub ok: bool,
    /// What was found.
    pub detail: String,
    /// What to do about it; empty when nothing is to be done.
    pub remedy: String,
}

/// What this host enforces for runs of the installation at `home`, with the stub beside the running executable.
pub fn probe(home: &Home) -> Result<HostFacts, ProbeError> {
    probe_with(home, &StubProgram::BesideMe)
}

/// The same with a stub from elsewhere.
pub fn probe_with(home: &Home, stub: &StubProgram) -> Result<HostFacts, ProbeError> {
    Ok(look(home, stub)?.facts)
}

/// Rows for every layer, with remedies.
#[must_use]
pub fn doctor(home: &Home) -> Vec<DoctorRow> {
    match look(home, &StubProgram::BesideMe) {
        Ok(seen) => rows(&seen),
        Err(error) => vec![DoctorRow {
            layer: "stub".to_owned(),
            ok: false,
            detail: error.to_string(),
            remedy: "install `cto-stub` beside `cto` (`cargo build --bins` makes both)".to_owned(),
        }],
    }
}

struct Seen {
    facts: HostFacts,
    own_uid: bool,
    /// What the full sandbox failed with.
    failure: Option<SandboxError>,
    /// Why there is no overlay where runs would have theirs.
    overlay_failure: Option<String>,
    /// The control groups that can be made.
    group: Option<Version>,
    /// Why none can.
    group_failure: Option<String>,
}

fn look(home: &Home, stub: &StubProgram) -> Result<Seen, ProbeError> {
    let uid = probing_uid()?;
    let landlock_abi_at_most = home.load_config()?.sandbox.landlock_abi_at_most;
    let trial = |overlay: Option<&OverlayTrial>| establish(stub, uid, landlock_abi_at_most, overlay);
    let mut facts = HostFacts {
        namespaces: BTreeSet::new(),
        seccomp: false,
        landlock_abi: usable_abi(landlock_abi_at_most),
        landlock_abi_at_most,
        overlay: false,
        refused: None,
        hard_memory: false,
        hard_processes: false,
    };
    let with_overlay = match OverlayTrial::lay(home.cache(), home.state(), uid) {
        Ok(overlay) => trial(Some(&overlay)).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let (failure, overlay_failure) = match with_overlay {
        Ok(()) => (None, None),
        Err(why) => (trial(None).err(), Some(why)),
    };
    facts.overlay = overlay_failure.is_none();
    let (group, group_failure) = match try_group(&trial_limits()) {
        Ok(version) => (Some(version), None),
        Err(why) => (None, Some(why)),
    };
    facts.hard_memory = group.is_some();
    if failure.is_none() {
        facts.namespaces = NAMESPACES.iter().map(|(name, _)| (*name).to_owned()).collect();
        facts.seccomp = true;
        facts.hard_processes = group.is_some() || uid.own || counts_within_namespaces();
    } else {
        facts.namespaces = try_namespaces(stub).map_err(ProbeError::Stub)?;
        // Asking for the mode fails only where the kernel has no seccomp at all.
        facts.seccomp = rustix::thread::secure_computing_mode().is_ok();
    }
    facts.refused = failure.as_ref().map(|error| SandboxRefusal {
        why: error.to_string(),
        remedy: if facts.namespaces.len() < NAMESPACES.len() {
            namespace_remedy()
        } else {
            failure_remedy(Some(error))
        }
        .to_owned(),
    });
    Ok(Seen { facts, own_uid: uid.own, failure, overlay_failure, group, group_failure })
}

/// The last uid of the range, which neither a run nor a sandbox by hand ever has; else the caller's.
fn probing_uid() -> Result<RunUid, ProbeError> {
    use std::os::unix::fs::MetadataExt as _;
    let me = std::fs::metadata("/proc/self").map_err(ProbeError::Identity)?;
    let maps = std::fs::read_to_string("/proc/self/uid_map").map_err(ProbeError::Identity)?;
    let wide = maps.lines().any(|line| {
        let fields: Vec<u64> = line.split_whitespace().filter_map(|field| field.parse().ok()).collect();
        matches!(fields.as_slice(), [first, _, length] if *first <= PROBE_UID.into() && u64::from(PROBE_UID) - first < *length)
    });
    let own = me.uid() == 0 && wide;
    if own {
        return Ok(RunUid { inside: INSIDE_UID, host_uid: PROBE_UID, host_gid: PROBE_UID, own });
    }
    Ok(RunUid { inside: INSIDE_UID, host_uid: me.uid(), host_gid: me.gid(), own })
}

const PROBE_UID: u32 = LAST_SLOT;

fn establish(
    stub: &StubProgram,
    uid: RunUid,
    landlock_at_most: Option<u32>,
    trial: Option<&OverlayTrial>,
) -> Result<(), SandboxError> {
    let mut policy = SandboxPolicy::new(Purpose::Probe, vec!["/nothing".to_owned()], uid, trial_limits());
    policy.landlock_at_most = landlock_at_most;
    if let Some(trial) = trial {
        policy =
            policy.in_tree(TreeMount { at: Path::new(WORKSPACE).to_owned(), form: trial.form().clone() });
    }
    Sandbox::establish_with(policy, stub).map(drop)
}

/// A control group that is made, bound, read back and removed; nothing is ever in it.
fn try_group(limits: &Limits) -> Result<Version, String> {
    let bounds = Bounds { memory_bytes: limits.memory_bytes, processes: limits.processes };
    let group = Group::make(bounds).map_err(|error| error.to_string())?;
    if group.stands() { Ok(group.version()) } else { Err("its limits do not read as written".to_owned()) }
}

const fn trial_limits() -> Limits {
    Limits {
        wall_seconds: 5,
        idle_seconds: 5,
        cpu_seconds: 5,
        output_bytes: 4096,
        processes: 16,
        open_files: 64,
        file_bytes: 4096,
        changed_files: 1,
        tmp_bytes: 1 << 20,
        shm_bytes: 1 << 20,
        tree_cpu_seconds: 5,
        memory_bytes: 64 << 20,
        disk_bytes: 1 << 20,
        inodes: 16,
        patch_bytes: 1,
        grace_seconds: 1,
        answer_seconds: 1,
    }
}

fn try_namespaces(stub: &StubProgram) -> Result<BTreeSet<String>, SandboxError> {
    let mut launched = stub.start()?;
    let told = send(&launched.control, &Order::TryNamespaces, &[]);
    let answer = told
        .map_err(|source| SandboxError::Control { act: "ask the stub", source })
        .and_then(|()| hear(&launched.control));
    launched.stub.wait().map_err(|source| SandboxError::Control { act: "wait for the stub", source })?;
    match answer? {
        (Answer::Namespaces(names), _) => Ok(names.into_iter().collect()),
        _ => Err(SandboxError::Protocol),
    }
}

fn rows(seen: &Seen) -> Vec<DoctorRow> {
    let facts = &seen.facts;
    let row = |layer: &str, ok: bool, detail: String, remedy: &str| DoctorRow {
        layer: layer.to_owned(),
        ok,
        detail,
        remedy: if ok { String::new() } else { remedy.to_owned() },
    };
    let missing: Vec<&str> =
        NAMESPACES.iter().map(|(name, _)| *name).filter(|name| !facts.namespaces.contains(*name)).collect();
    let namespaces =
        if missing.is_empty() { "all seven".to_owned() } else { format!("missing: {}", missing.join(", ")) };
    let failed = |failure: Option<String>| failure.unwrap_or_else(|| "works".to_owned());
    vec![
        row("namespaces", missing.is_empty(), namespaces, namespace_remedy()),
        row(
            "landlock",
            facts.landlock_abi >= LANDLOCK_FLOOR,
            match facts.landlock_abi_at_most {
                Some(most) => format!("ABI {}, at most {most} by `landlock_abi_at_most`", facts.landlock_abi),
                None => format!("ABI {}", facts.landlock_abi),
            },
            landlock_remedy(facts, LANDLOCK_FLOOR),
        ),
        row(
            "seccomp",
            facts.seccomp,
            if facts.seccomp { "filters" } else { "none" }.to_owned(),
            "use a kernel with CONFIG_SECCOMP_FILTER",
        ),
        row(
            "sandbox",
            seen.failure.is_none(),
            failed(seen.failure.as_ref().map(ToString::to_string)),
            failure_remedy(seen.failure.as_ref()),
        ),
        row(
            "overlay",
            facts.overlay,
            failed(seen.overlay_failure.clone()),
            "runs use a private copy of the tree instead; for overlay, use a kernel of 5.11 or newer and keep state and cache off overlayfs",
        ),
        row(
            "memory",
            facts.hard_memory,
            match (seen.group, &seen.group_failure) {
                (Some(version), _) => format!("held by {}", version.as_str()),
                (None, why) => format!("watched only: {}", why.as_deref().unwrap_or("no control group")),
            },
            GROUPS_REMEDY,
        ),
        row(
            "processes",
            facts.hard_processes,
            if facts.hard_processes { "held" } else { "watched only" }.to_owned(),
            GROUPS_REMEDY,
        ),
        row(
            "identity",
            true,
            if seen.own_uid {
                "every run gets a host uid of its own"
            } else {
                "runs have the caller's host uid"
            }
            .to_owned(),
            "",
        ),
    ]
}

fn reads(path: &str, value: &str) -> bool {
    std::fs::read_to_string(path).is_ok_and(|text| text.trim() == value)
}

/// Whether `AppArmor` takes every capability from an ordinary user's namespaces (Ubuntu since 23.10): they can be made, and
/// the first act that needs one is refused.
fn apparmor_restricts() -> bool {
    reads("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1")
}

const APPARMOR: &str = "AppArmor restricts user namespaces: give `cto` (and `cto-stub`, where it is used) a profile with `userns,`, or \
    `sysctl kernel.apparmor_restrict_unprivileged_userns=0`";

/// Which switch of this host stands against user namespaces.
fn namespace_remedy() -> &'static str {
    if apparmor_restricts() {
        APPARMOR
    } else if reads("/proc/sys/user/max_user_namespaces", "0") {
        "user namespaces are switched off: `sysctl user.max_user_namespaces=10000`"
    } else if reads("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        "user namespaces are for root only: `sysctl kernel.unprivileged_userns_clone=1`"
    } else {
        "in a container, allow user namespaces and unmask /proc (`--security-opt seccomp=unconfined --security-opt systempaths=unconfined`)"
    }
}

fn failure_remedy(failure: Option<&SandboxError>) -> &'static str {
    let Some(SandboxError::Refused { layer, act, source }) = failure else {
        return "see the layer named in the message";
    };
    let denied = source.kind() == std::io::ErrorKind::PermissionDenied;
    match layer.as_str() {
        WATCHDOG => {
            "let the harness see its own processes in /proc: mount it without `hidepid`, or with `gid=` of a group of the caller's"
        }
        _ if denied && apparmor_restricts() => APPARMOR,
        _ if act.contains("/proc") => {
            "this container hides parts of /proc: start it with `--security-opt systempaths=unconfined`"
        }
        "network" => {
            "loopback cannot be brought up: allow `cto` capabilities in user namespaces (AppArmor profile with `userns,`)"
        }
        _ if denied => {
            "something around this process refuses that, although namespaces can be made: a system-call filter (in a container: `--security-opt seccomp=unconfined`) or a security module"
        }
        _ => "see the layer named in the message",
    }
}
