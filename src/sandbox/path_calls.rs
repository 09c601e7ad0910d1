//! The calls that name a path: where it stands among their arguments, and what it is wanted for.
//!
//! For a sandbox that learns (docs/adr/0015). Only calls that exist inside are here, so that each may be let go on. Does
//! not name calls that work on an open descriptor, or extended attributes.
#![cfg_attr(rustfmt, rustfmt_skip)]

use nix::libc;

use crate::process::Want;

/// One path among the arguments of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PathArgument {
    /// Which argument is the folder that it starts at; `None`: the working folder.
    pub(super) folder: Option<usize>,
    /// Which argument is its address.
    pub(super) path: usize,
    /// What it is wanted for.
    pub(super) want: Wanted,
}

/// What a path is wanted for, as far as the call's number says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Always this.
    Always(Want),
    /// By the flags of open(2) in that argument.
    ByFlags(usize),
    /// By the flags that begin the `open_how` that this argument points to.
    ByHow(usize),
}

const fn at(path: usize, want: Want) -> PathArgument {
    PathArgument { folder: None, path, want: Wanted::Always(want) }
}

const fn below(folder: usize, path: usize, want: Want) -> PathArgument {
    PathArgument { folder: Some(folder), path, want: Wanted::Always(want) }
}

const fn opened(folder: Option<usize>, path: usize, want: Wanted) -> PathArgument {
    PathArgument { folder, path, want }
}

use Want::{Read, Run, Write};

/// By number. What a symbolic link is to hold is no path that is wanted.
const EVERYWHERE: &[(i64, &[PathArgument])] = &[
    (libc::SYS_chdir, &[at(0, Read)]),
    (libc::SYS_execve, &[at(0, Run)]),
    (libc::SYS_execveat, &[below(0, 1, Run)]),
    (libc::SYS_faccessat, &[below(0, 1, Read)]),
    (libc::SYS_faccessat2, &[below(0, 1, Read)]),
    (libc::SYS_fchmodat, &[below(0, 1, Write)]),
    (libc::SYS_fchmodat2, &[below(0, 1, Write)]),
    (libc::SYS_fchownat, &[below(0, 1, Write)]),
    (libc::SYS_linkat, &[below(0, 1, Read), below(2, 3, Write)]),
    (libc::SYS_mkdirat, &[below(0, 1, Write)]),
    (libc::SYS_mknodat, &[below(0, 1, Write)]),
    (libc::SYS_newfstatat, &[below(0, 1, Read)]),
    (libc::SYS_openat, &[opened(Some(0), 1, Wanted::ByFlags(2))]),
    (libc::SYS_openat2, &[opened(Some(0), 1, Wanted::ByHow(2))]),
    (libc::SYS_readlinkat, &[below(0, 1, Read)]),
    (libc::SYS_renameat, &[below(0, 1, Write), below(2, 3, Write)]),
    (libc::SYS_renameat2, &[below(0, 1, Write), below(2, 3, Write)]),
    (libc::SYS_statx, &[below(0, 1, Read)]),
    (libc::SYS_symlinkat, &[below(1, 2, Write)]),
    (libc::SYS_truncate, &[at(0, Write)]),
    (libc::SYS_unlinkat, &[below(0, 1, Write)]),
    (libc::SYS_utimensat, &[below(0, 1, Write)]),
];

/// Older calls, of which newer architectures have none.
#[cfg(target_arch = "x86_64")]
const OLDER: &[(i64, &[PathArgument])] = &[
    (libc::SYS_access, &[at(0, Read)]),
    (libc::SYS_chmod, &[at(0, Write)]),
    (libc::SYS_chown, &[at(0, Write)]),
    (libc::SYS_creat, &[at(0, Write)]),
    (libc::SYS_futimesat, &[below(0, 1, Write)]),
    (libc::SYS_lchown, &[at(0, Write)]),
    (libc::SYS_link, &[at(0, Read), at(1, Write)]),
    (libc::SYS_lstat, &[at(0, Read)]),
    (libc::SYS_mkdir, &[at(0, Write)]),
    (libc::SYS_mknod, &[at(0, Write)]),
    (libc::SYS_open, &[opened(None, 0, Wanted::ByFlags(1))]),
    (libc::SYS_readlink, &[at(0, Read)]),
    (libc::SYS_rename, &[at(0, Write), at(1, Write)]),
    (libc::SYS_rmdir, &[at(0, Write)]),
    (libc::SYS_stat, &[at(0, Read)]),
    (libc::SYS_symlink, &[at(1, Write)]),
    (libc::SYS_unlink, &[at(0, Write)]),
    (libc::SYS_utime, &[at(0, Write)]),
    (libc::SYS_utimes, &[at(0, Write)]),
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[(i64, &[PathArgument])] = &[];

/// The paths of a call, if it names any.
pub(super) fn of(number: i64) -> Option<&'static [PathArgument]> {
    ALL.into_iter().flatten().find(|(call, _)| *call == number).map(|(_, paths)| *paths)
}

/// Every call that names a path, by its number.
pub(super) const ALL: [&[(i64, &[PathArgument])]; 2] = [EVERYWHERE, OLDER];
