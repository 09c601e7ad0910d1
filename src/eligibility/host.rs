//! The gate over this machine: what the risk class demands, as probed.
//!
//! A layer that this kernel lacks is a missing gate, never a downgrade.

use super::gate::{Escalation, GateResult, Question};
use super::{HostFacts, Observed};
use crate::vocab::RiskClass;

/// Every namespace that a run is put into.
pub const NAMESPACES: &[&str] = &["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"];
/// Least Landlock ABI for SAFE and RESTRICTED: file-system rules at all (Linux 5.13).
pub const LANDLOCK_FLOOR: u32 = 1;
/// Least Landlock ABI for ELEVATED and above: truncation is held too (Linux 6.2).
pub const LANDLOCK_FLOOR_ELEVATED: u32 = 3;

/// How a process comes to control groups of its own.
pub const GROUPS_REMEDY: &str = "run in a delegated part of control groups version 2: `systemd-run --user --scope -p Delegate=yes cto …` \
    (as root without `--user`), or as root where those of version 1 can be written";

/// The least Landlock ABI that a risk class demands.
#[must_use]
pub const fn landlock_floor(risk: RiskClass) -> u32 {
    match risk {
        RiskClass::Safe | RiskClass::Restricted => LANDLOCK_FLOOR,
        RiskClass::Elevated | RiskClass::Dangerous | RiskClass::Critical => LANDLOCK_FLOOR_ELEVATED,
    }
}

/// How a host comes to the Landlock ABI `floor`: by its configuration, where that is what stands in the way.
#[must_use]
pub fn landlock_remedy(host: &HostFacts, floor: u32) -> &'static str {
    if host.landlock_abi_at_most.is_some_and(|most| most < floor) {
        "raise `landlock_abi_at_most` under `[sandbox]` of config.toml, or leave it out"
    } else if floor >= LANDLOCK_FLOOR_ELEVATED {
        "use a kernel of 6.2 or newer with `landlock` in the boot parameter `lsm=`"
    } else {
        "use a kernel of 5.13 or newer with `landlock` in the boot parameter `lsm=`"
    }
}

/// Whether a host enforces what a risk class demands, as the gate sees it.
#[must_use]
pub fn enforces(host: &HostFacts, risk: RiskClass) -> bool {
    host.refused.is_none() && lacking_layers(host, risk).is_empty() && lacking_limits(host, risk).is_empty()
}

/// `host.sandbox`
pub(super) fn sandbox(q: &Question<'_>) -> GateResult {
    let host = match &q.facts.host {
        Observed::Seen(host) => host,
        Observed::Absent(what) => {
            return GateResult::missing(
                format!("nobody probed this host: {what}"),
                "`cto doctor` shows what it can enforce",
            );
        }
        Observed::Error(how) => {
            return GateResult::errored(
                format!("probing this host failed: {how}"),
                "`cto doctor` shows which layer fails",
            );
        }
    };
    let risk = q.contract.risk_class;
    let layers = lacking_layers(host, risk);
    let limits = lacking_limits(host, risk);
    if let Some(refusal) = &host.refused {
        let lacking =
            if layers.is_empty() { String::new() } else { format!(" ({} missing)", layers.join(", ")) };
        let reason = format!("no sandbox can be established here{lacking}: {}", refusal.why);
        return GateResult::missing(reason, refusal.remedy.clone());
    }
    if layers.is_empty() && limits.is_empty() {
        let hard = if risk < RiskClass::Elevated { "" } else { ", memory and processes held hard" };
        return GateResult::passed(format!(
            "all namespaces, seccomp and Landlock ABI {}{hard} for {risk}",
            host.landlock_abi
        ));
    }
    let all = layers.iter().chain(&limits).map(String::as_str).collect::<Vec<_>>().join(", ");
    let reason = format!("this host does not enforce {all}, which {risk} demands");
    let mut remedies = Vec::new();
    let floor = landlock_floor(risk);
    if host.landlock_abi < floor {
        remedies.push(landlock_remedy(host, floor));
    }
    if layers.len() > remedies.len() {
        remedies.push("`cto doctor` names the kernel setting for each layer");
    }
    if limits.is_empty() {
        return GateResult::missing(reason, remedies.join("; "));
    }
    remedies.push(GROUPS_REMEDY);
    GateResult::missing(reason, remedies.join("; ")).escalate(Escalation::Blocked)
}

fn lacking_layers(host: &HostFacts, risk: RiskClass) -> Vec<String> {
    let mut lacking: Vec<String> = NAMESPACES
        .iter()
        .filter(|ns| !host.namespaces.contains(**ns))
        .map(|ns| format!("{ns} namespace"))
        .collect();
    if !host.seccomp {
        lacking.push("seccomp".to_owned());
    }
    let floor = landlock_floor(risk);
    if host.landlock_abi < floor {
        let why =
            if host.landlock_abi_at_most == Some(host.landlock_abi) { "is configured to use" } else { "has" };
        lacking.push(format!("Landlock ABI {floor} (it {why} {})", host.landlock_abi));
    }
    lacking
}

fn lacking_limits(host: &HostFacts, risk: RiskClass) -> Vec<String> {
    if risk < RiskClass::Elevated {
        return Vec::new();
    }
    let held = [(host.hard_memory, "a hard memory limit"), (host.hard_processes, "a hard process limit")];
    held.iter().filter(|(held, _)| !held).map(|(_, name)| (*name).to_owned()).collect()
}
