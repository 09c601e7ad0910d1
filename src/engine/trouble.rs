//! What went wrong with a module: one code each, and never more than an ended run.

/// A module that could not be used, or not any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the adapter {}: {what}", .kind.words())]
pub struct Trouble {
    /// Which kind.
    pub kind: TroubleKind,
    /// What happened, in words; a name of the module's own is made visible.
    pub what: String,
}

/// The kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TroubleKind {
    /// It is not there, is another one than was registered, or is no module of this seam.
    Load,
    /// It trapped.
    Trap,
    /// It used up its instructions.
    Fuel,
    /// It used up its time.
    Time,
    /// It wanted more memory than there is for it.
    Memory,
    /// It said too much.
    Output,
    /// It said what nothing can be made of.
    Garbage,
    /// Its plan asks for what no plan may have.
    Plan,
}

impl TroubleKind {
    /// The reason's code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Load => "engine.adapter-load",
            Self::Trap => "engine.adapter-trap",
            Self::Fuel => "engine.adapter-fuel",
            Self::Time => "engine.adapter-time",
            Self::Memory => "engine.adapter-memory",
            Self::Output => "engine.adapter-output",
            Self::Garbage => "engine.adapter-garbage",
            Self::Plan => "engine.adapter-plan",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Load => "cannot be loaded",
            Self::Trap => "broke down",
            Self::Fuel => "used up its instructions",
            Self::Time => "used up its time",
            Self::Memory => "wanted too much memory",
            Self::Output => "said too much",
            Self::Garbage => "answered what it must not",
            Self::Plan => "planned what it must not",
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Load => {
                "Install the module again from where it came: `cto engine remove`, then `cto engine install`."
            }
            _ => "Ask whoever made the module; `cto engine remove` unregisters it.",
        }
    }

    /// As a trouble.
    pub(super) fn because(self, what: impl Into<String>) -> Trouble {
        Trouble { kind: self, what: what.into() }
    }
}
