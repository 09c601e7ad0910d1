//! The network of a sandbox: a namespace of its own, with loopback and nothing else.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsFd as _;

use nix::sched::CloneFlags;
use serde::{Deserialize, Serialize};

use super::layers::row;
use super::order::{Refusal, refused};
use super::policy::SandboxPolicy;
use super::sys;
use crate::evidence::LayerRow;
use crate::process::told;

/// What a network namespace has, as the kernel lists it. Read by whoever made it, while nobody waits: PID 1
/// inherits it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Network {
    /// Identity of the namespace.
    id: String,
    interfaces: Vec<String>,
    routes: usize,
}

impl Network {
    /// Enters a new one, brings loopback up, and reads what it has then. It belongs to the caller's user namespace: nobody
    /// inside could ever configure it, but where that is the host's own, the kernel sends its device events here,
    /// too, and only the filter (no netlink but routes) keeps them from a payload.
    pub(super) fn make() -> Result<Self, Refusal> {
        nix::sched::unshare(CloneFlags::CLONE_NEWNET)
            .map_err(refused("namespaces", "enter a new network namespace"))?;
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0));
        let socket = socket.map_err(refused("network", "make a socket"))?;
        sys::loopback_up(socket.as_fd()).map_err(refused("network", "bring up loopback"))?;
        Self::read()
    }

    /// The calling process's namespace.
    pub(super) fn namespace() -> io::Result<File> {
        File::open("/proc/self/ns/net")
    }

    /// Of the calling process's namespace.
    fn read() -> Result<Self, Refusal> {
        let id =
            std::fs::read_link("/proc/self/ns/net").map_err(refused("network", "read /proc/self/ns/net"))?;
        let devices = told("/proc/self/net/dev").map_err(refused("network", "read /proc/self/net/dev"))?;
        let names = devices.lines().skip(2).filter_map(|line| line.split(':').next());
        let routes = told("/proc/self/net/route").map_err(refused("network", "read routes"))?;
        Ok(Self {
            id: id.display().to_string(),
            interfaces: names.map(|name| name.trim().to_owned()).collect(),
            routes: routes.lines().skip(1).count(),
        })
    }

    /// The row of a process that is in the namespaces `now`.
    pub(super) fn row(&self, policy: &SandboxPolicy, now: &[String]) -> LayerRow {
        let door = if policy.listener { ", one listener handed out" } else { "" };
        let here = now.contains(&self.id);
        let ok = here && self.routes == 0 && self.interfaces.iter().any(|name| name == "lo");
        let elsewhere = if here { "" } else { ", of another namespace" };
        let names = self.interfaces.join(" ");
        let enforced = format!("interfaces {names}, {} routes{elsewhere}{door}", self.routes);
        row("network", format!("loopback only{door}"), enforced, ok)
    }
}
