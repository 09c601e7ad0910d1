//! What the harness and the stub say to each other before a payload runs.

use std::sync::Once;

use serde::{Deserialize, Serialize};

use super::policy::{Purpose, SandboxPolicy};
use crate::contract::limits::defaults;
use crate::evidence::LayerRow;
use crate::workspace::RunUid;

/// The first frames, from the harness.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Order {
    /// Become this sandbox.
    Establish {
        /// The harness's pid: the stub ends if its parent is another.
        parent: i32,
        /// What to become. It has a group exactly where one was made: the ways into it come along.
        policy: Box<SandboxPolicy>,
        /// Whether they are folders to be cloned into (version 2), and not files to write to.
        clone_into: bool,
    },
    /// A sandbox for this uid will be wanted soon: what needs no policy can be done. Said before the first, or not at all.
    Expect {
        /// As above.
        parent: i32,
        /// Who its payload will be.
        uid: RunUid,
    },
    /// The channel to the companion that the harness has made for it comes along, where it could make one. The first frame
    /// to a stub that shares its work, and to no other.
    Companion,
    /// Try each namespace on its own and say which can be entered. Said to a stub that has entered none.
    TryNamespaces,
}

impl Order {
    /// Reads an order once, for nobody: what a process does for the first time it does ten times slower, because the
    /// kernel has to map each page of its code. For a stub that has to wait anyway.
    pub(super) fn rehearse() {
        let uid = RunUid { inside: 1, host_uid: 1, host_gid: 1, own: false };
        let policy = SandboxPolicy::new(Purpose::Probe, vec![String::new()], uid, defaults());
        let order = Self::Establish { parent: 0, policy: Box::new(policy), clone_into: false };
        let read = serde_json::to_vec(&order).and_then(|text| serde_json::from_slice::<Self>(&text));
        debug_assert!(read.is_ok(), "what is written can be read");
    }
}

/// The stub's answers, in this order: `Born` with PID 1's pid descriptor, then `Established` (with the
/// listener, if one was asked for). `Refused` may stand instead of either.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// PID 1 exists.
    Born {
        /// What the stub put in force from outside.
        layers: Vec<LayerRow>,
    },
    /// Every layer is in force; PID 1 waits for the word to go.
    Established {
        /// One row a layer, as read back from the kernel.
        layers: Vec<LayerRow>,
    },
    /// A step failed; nothing runs.
    Refused(Refusal),
    /// The namespaces that could be entered.
    Namespaces(Vec<String>),
}

impl Answer {
    /// Reads a report once, for nobody, as [`Order::rehearse`] does: while PID 1 confines itself, which is the longest that the
    /// harness waits.
    pub(super) fn rehearse() {
        static REHEARSED: Once = Once::new();
        REHEARSED.call_once(|| {
            let row = || LayerRow {
                layer: "a".to_owned(),
                requested: "b".to_owned(),
                enforced: "c".to_owned(),
                ok: true,
            };
            let report = Self::Established { layers: vec![row(), row()] };
            let read = serde_json::to_vec(&report).and_then(|text| serde_json::from_slice::<Self>(&text));
            debug_assert!(read.is_ok(), "what is written can be read");
        });
    }
}

/// The step that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Refusal {
    /// Which layer: `namespaces`, `root`, `tree`, `landlock`, …
    pub layer: String,
    /// Which act.
    pub act: String,
    /// errno, 0 when there is none.
    pub errno: i32,
}

impl Refusal {
    pub(super) fn new(layer: &str, act: impl Into<String>) -> Self {
        Self { layer: layer.to_owned(), act: act.into(), errno: 0 }
    }
}

/// For `map_err`: names the layer and the act, keeps the error number.
pub(super) fn refused<E: Into<std::io::Error>>(
    layer: &'static str,
    act: impl Into<String>,
) -> impl FnOnce(E) -> Refusal {
    move |error| {
        let errno = error.into().raw_os_error().unwrap_or(0);
        Refusal { layer: layer.to_owned(), act: act.into(), errno }
    }
}
