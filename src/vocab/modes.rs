//! Mutation modes, risk classes and stages: three ordered scales.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! scale {
    ($(#[$doc:meta])* $type:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum $type { $($(#[$vdoc])* #[serde(rename = $text)] $variant),+ }

        impl $type {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// As it is written in contracts and evidence.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

scale!(
    /// How far a run may reach. Ordered: a later one reaches further.
    MutationMode {
        /// Read-only view; the patch must be empty.
        None = "none",
        /// An artificial repository; the result stays in the bundle.
        CopiedFixture = "copied-fixture",
        /// A registered repository that is owned as a sandbox.
        SandboxRepo = "sandbox-repo",
        /// A registered, owned, noncritical repository, after approval.
        OwnedNoncriticalRepo = "owned-noncritical-repo",
        /// A registered, owned repository whose default branch may receive the result, after approval.
        CandidateDefault = "candidate-default",
    }
);

scale!(
    /// What the task could do to the world if it went wrong. Ordered: a later one is worse.
    RiskClass {
        /// Read-only.
        Safe = "SAFE",
        /// Local, reversible writes.
        Restricted = "RESTRICTED",
        /// Writes to external systems.
        Elevated = "ELEVATED",
        /// Production impact.
        Dangerous = "DANGEROUS",
        /// Irreversible.
        Critical = "CRITICAL",
    }
);

scale!(
    /// What a gated engine has earned. A stage allows runs *at* the mode of the same name and below.
    Stage {
        /// Nothing may run.
        Unproven = "unproven",
        /// Only the no-op adapter, which starts no process.
        DefaultDeny = "default-deny",
        /// Read-only runs.
        None = "none",
        /// Artificial fixtures.
        CopiedFixture = "copied-fixture",
        /// Sandbox repositories.
        SandboxRepo = "sandbox-repo",
        /// Owned, noncritical repositories.
        OwnedNoncriticalRepo = "owned-noncritical-repo",
        /// Candidates for a default branch.
        CandidateDefault = "candidate-default",
    }
);

impl Stage {
    /// The widest mode that this stage allows.
    #[must_use]
    pub const fn allows(self) -> Option<MutationMode> {
        match self {
            Self::Unproven | Self::DefaultDeny => None,
            Self::None => Some(MutationMode::None),
            Self::CopiedFixture => Some(MutationMode::CopiedFixture),
            Self::SandboxRepo => Some(MutationMode::SandboxRepo),
            Self::OwnedNoncriticalRepo => Some(MutationMode::OwnedNoncriticalRepo),
            Self::CandidateDefault => Some(MutationMode::CandidateDefault),
        }
    }
}

impl RiskClass {
    /// The widest mode that this class allows (SPEC §3).
    #[must_use]
    pub const fn widest_mode(self) -> MutationMode {
        match self {
            Self::Safe => MutationMode::CopiedFixture,
            Self::Restricted => MutationMode::OwnedNoncriticalRepo,
            Self::Elevated | Self::Dangerous | Self::Critical => MutationMode::CandidateDefault,
        }
    }
}
