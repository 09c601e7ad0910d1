//! The layers that a process puts on itself, and what the kernel says of them afterwards.

use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;

use rustix::thread::{CapabilitiesSecureBits, CapabilitySet, CapabilitySets};

use super::calls::{self, Watch};
use super::order::{Refusal, refused};
use super::policy::SandboxPolicy;
use super::run::limits;
use super::sys;
use crate::evidence::LayerRow;
use crate::process::{send, told};

pub(super) fn row(
    layer: &str,
    requested: impl Into<String>,
    enforced: impl Into<String>,
    ok: bool,
) -> LayerRow {
    LayerRow { layer: layer.to_owned(), requested: requested.into(), enforced: enforced.into(), ok }
}

/// What can be reached, in words; that it stands is shown by the pivot having succeeded. `open` read-only folders are
/// not behind an overlay.
pub(super) fn root_row(policy: &SandboxPolicy, open: usize) -> LayerRow {
    let listed = || told("/proc/self/mountinfo").map(|text| text.lines().count());
    let mounts = sys::count_mounts().map_or_else(listed, Ok);
    let requested = format!("a tmpfs with the system read-only, work tree {}", policy.tree_form());
    let sockets = match open {
        0 => String::new(),
        _ => format!("; no overlay over {open} read-only folders: sockets in them can be reached"),
    };
    match mounts {
        Ok(count) => row("root", requested, format!("pivoted; {count} mounts{sockets}"), true),
        Err(error) => row("root", requested, format!("cannot read mountinfo: {error}"), false),
    }
}

/// Who the payload is.
pub(super) fn identity_row(policy: &SandboxPolicy) -> LayerRow {
    let map = |name: &str| told(&format!("/proc/self/{name}")).unwrap_or_else(|error| error.to_string());
    let words = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (uid, gid) = (words(map("uid_map")), words(map("gid_map")));
    let inside = policy.uid.inside;
    let me = nix::unistd::getresuid();
    let is_inside =
        me.is_ok_and(|ids| [ids.real, ids.effective, ids.saved].iter().all(|id| id.as_raw() == inside));
    let starts = |map: &str| map.starts_with(&format!("{inside} ")) && map.ends_with(" 1");
    let ok = is_inside && starts(&uid) && starts(&gid);
    let whose = if policy.uid.own { "a host uid of its own" } else { "the caller's host uid" };
    row(
        "identity",
        format!("uid {inside} inside, {whose} ({})", policy.uid.host_uid),
        format!("uid_map {uid}; gid_map {gid}"),
        ok,
    )
}

/// No execve gives a capability any more. What this process has stays until [`drop_capabilities`].
pub(super) fn empty_the_bounding_set() -> Result<(), Refusal> {
    for capability in 0_u32..64 {
        if !sys::drop_bounding(capability).map_err(refused("capabilities", "empty the bounding set"))? {
            break;
        }
    }
    Ok(())
}

/// Gives up every capability, and the ways to have any again.
pub(super) fn drop_capabilities() -> Result<(), Refusal> {
    let fail = |act: &'static str| refused("capabilities", act);
    let bits = CapabilitiesSecureBits::NO_ROOT
        | CapabilitiesSecureBits::NO_ROOT_LOCKED
        | CapabilitiesSecureBits::NO_SETUID_FIXUP
        | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
        | CapabilitiesSecureBits::KEEP_CAPS_LOCKED
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED;
    rustix::thread::set_capabilities_secure_bits(bits).map_err(fail("lock the securebits"))?;
    rustix::thread::clear_ambient_capability_set().map_err(fail("clear the ambient set"))?;
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, none).map_err(fail("clear the capability sets"))
}

/// Puts the system-call filter on, and shows that a user namespace cannot be entered any more.
/// `watcher`: who is to be told of refused calls; it gets the descriptor for that.
pub(super) fn filter_calls(watcher: Option<&UnixStream>, watch: Watch) -> Result<LayerRow, Refusal> {
    let counts = match watcher {
        None => calls::install().map_err(refused("seccomp", "install the filter"))?,
        Some(watcher) => {
            let (counts, told) =
                calls::install_watched(watch).map_err(refused("seccomp", "install the watched filter"))?;
            send(watcher, &(), &[told.as_fd()]).map_err(refused("seccomp", "hand out the notifications"))?;
            counts
        }
    };
    let nested = nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUSER);
    if nested != Err(nix::errno::Errno::EPERM) {
        return Err(Refusal::new("seccomp", "refuse a nested user namespace"));
    }
    let told = match watch {
        Watch::Silent => "",
        Watch::Refusals => ", each refusal told",
        Watch::Paths => ", each refusal and each path told",
    };
    let enforced = format!(
        "{} calls allowed, {} named and refused{told}, the rest unknown",
        counts.allowed, counts.refused
    );
    Ok(row("seccomp", "allow list; nested user namespaces refused", enforced, true))
}

/// What `/proc/self/status` and the kernel's getters say of this process, which the payload inherits.
pub(super) fn read_back(policy: &SandboxPolicy) -> Result<Vec<LayerRow>, Refusal> {
    let status = told("/proc/self/status").map_err(refused("status", "read /proc/self/status"))?;
    let field = |name: &str| -> String {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map_or_else(|| "not told".to_owned(), |value| value.trim().to_owned())
    };
    let caps = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(field);
    let no_caps = caps.iter().all(|set| set.len() == 16 && set.bytes().all(|digit| digit == b'0'));
    let bits = rustix::thread::capabilities_secure_bits().map(|bits| bits.bits());
    let (nnp, seccomp, filters) = (field("NoNewPrivs"), field("Seccomp"), field("Seccomp_filters"));
    let mut rows = vec![
        row(
            "capabilities",
            "none in any set, securebits locked",
            format!("all sets {}; securebits {bits:?}", caps.join(" ")),
            no_caps && bits == Ok(0b1110_1111),
        ),
        row("no_new_privs", "1", nnp.clone(), nnp == "1"),
        row("seccomp.mode", "2", format!("{seccomp}, {filters} filters"), seccomp == "2"),
    ];
    let bound = limits(policy).iter().any(|(name, _)| *name == nix::sys::resource::Resource::RLIMIT_NPROC);
    let processes = if bound { "" } else { "; processes not bound (the uid is the caller's)" };
    let bounds: Vec<String> =
        limits(policy).iter().map(|(name, value)| format!("{name:?} {value}")).collect();
    let bounds = format!("{}{processes}", bounds.join(", "));
    rows.push(row(
        "rlimits",
        bounds.clone(),
        format!("set before execve or it does not start: {bounds}"),
        true,
    ));
    Ok(rows)
}
