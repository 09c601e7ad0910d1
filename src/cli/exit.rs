//! How the program ends: one code for each kind of answer, and nothing else.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | the answer is yes: verdict `pass`, bundle verified, command done |
//! | 1 | verdict `fail`, or a bundle that is incomplete or does not hold |
//! | 2 | usage, configuration or contract is not valid; nothing was started |
//! | 3 | verdict or decision `blocked`, or a bundle by nobody trusted |
//! | 4 | what happened could not be recorded |
//! | 130 | interrupted; a bundle was sealed first |

use std::process::ExitCode;

use crate::vocab::Verdict;

/// The exit codes. `cto sandbox` is the one exception: it ends with its command's own code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0
    Pass,
    /// 1
    Fail,
    /// 2
    Invalid,
    /// 3
    Blocked,
    /// 4
    Unrecorded,
    /// 130
    Interrupted,
    /// The code of the command in `cto sandbox -- CMD`.
    Command(u8),
}

impl Exit {
    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Fail => 1,
            Self::Invalid => 2,
            Self::Blocked => 3,
            Self::Unrecorded => 4,
            Self::Interrupted => 130,
            Self::Command(code) => code,
        }
    }
}

impl From<Verdict> for Exit {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Pass => Self::Pass,
            Verdict::Fail => Self::Fail,
            Verdict::Blocked => Self::Blocked,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
