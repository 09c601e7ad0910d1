//! What an engine left that no patch can or may carry: findings, never errors, never followed.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use crate::beneath::{BeneathError, Dir, FileKind, Status};
use crate::evidence::Finding;
use crate::vocab::{Verdict, shown_bytes, shown_path};

/// So many are told one by one; an engine must not be able to drown the report.
const TOLD: usize = 200;

/// Findings, bounded.
#[derive(Debug, Default)]
pub(super) struct Oddities {
    told: Vec<Finding>,
    more: u64,
}

impl Oddities {
    /// An object or change out of bounds at `path`.
    pub(super) fn block(&mut self, code: &str, path: &[u8], sentence: impl Into<String>) {
        self.add(code, path, sentence.into(), Verdict::Blocked);
    }

    /// A limit reached.
    pub(super) fn fail(&mut self, code: &str, path: &[u8], sentence: impl Into<String>) {
        self.add(code, path, sentence.into(), Verdict::Fail);
    }

    fn add(&mut self, code: &str, path: &[u8], sentence: String, weight: Verdict) {
        if self.told.len() < TOLD {
            let path = shown_path(path);
            self.told.push(Finding { code: code.to_owned(), path, line: None, sentence, weight });
        } else {
            self.more += 1;
        }
    }

    /// All of them; the untold ones as one.
    pub(super) fn into_findings(mut self) -> Vec<Finding> {
        if self.more > 0 {
            self.told.push(Finding {
                code: "patch.more-oddities".to_owned(),
                path: String::new(),
                line: None,
                sentence: format!("{} more objects out of bounds are not listed.", self.more),
                weight: Verdict::Blocked,
            });
        }
        self.told
    }

    /// What is neither file, folder nor link.
    pub(super) fn special(&mut self, path: &[u8], kind: FileKind) {
        let what = match kind {
            FileKind::Fifo => "a named pipe",
            FileKind::Socket => "a socket",
            FileKind::CharDevice => "a character device",
            FileKind::BlockDevice => "a block device",
            _ => "an object of unknown kind",
        };
        self.block(
            "patch.special-file",
            path,
            format!("The run left {what}; a patch carries files and links only."),
        );
    }

    /// A path that the system could not take where the patch is applied.
    pub(super) fn path_too_long(&mut self, path: &[u8], most: usize) {
        let sentence = format!("The path has more than {most} bytes; git could not apply a patch with it.");
        self.block("patch.path-too-long", path, sentence);
    }

    /// What is called `.git` somewhere.
    pub(super) fn git_like(&mut self, path: &[u8], name: &OsStr) {
        if name == ".git" {
            let sentence = "The run made a repository inside the tree; it is left out of the patch.";
            self.block("patch.nested-repository", path, sentence);
        } else {
            let sentence = "Some file systems take this name for `.git`; it is left out of the patch.";
            self.block("patch.git-like-name", path, sentence);
        }
    }

    /// Bits and attributes of the top folder, which is nobody's entry.
    pub(super) fn top(&mut self, dir: &Dir, overlay: bool) -> Result<(), BeneathError> {
        self.mode_bits(b".", &dir.own_status()?);
        self.attributes(b".", &dir.own_attribute_names()?, overlay);
        Ok(())
    }

    /// Bits beyond read, write and execute.
    pub(super) fn mode_bits(&mut self, path: &[u8], status: &Status) {
        for (bit, name) in [(0o4000, "setuid"), (0o2000, "setgid"), (0o1000, "sticky")] {
            if status.mode & bit != 0 {
                self.block(
                    "patch.setuid",
                    path,
                    format!("The run set the {name} bit; the patch leaves it out."),
                );
            }
        }
    }

    /// Extended attributes that neither overlayfs (where there is one) nor this host's security module put there.
    pub(super) fn attributes(&mut self, path: &[u8], names: &[OsString], overlay: bool) {
        for name in names {
            let name = name.as_bytes();
            let overlays =
                name.strip_prefix(b"user.overlay.").is_some_and(|rest| OVERLAYS_OWN.contains(&rest));
            let hosts = HOSTS_OWN.contains(&name);
            if !(hosts || overlay && overlays) {
                let name = shown_bytes(name);
                let sentence =
                    format!("The run set the extended attribute {name:?}; the patch leaves it out.");
                self.block("patch.xattr", path, sentence);
            }
        }
    }
}

/// What overlayfs with `userxattr` writes by itself (kernel documentation, overlayfs). `redirect` and
/// `metacopy` are switched off there, so they would be somebody's forgery.
const OVERLAYS_OWN: [&[u8]; 6] = [b"origin", b"impure", b"opaque", b"nlink", b"uuid", b"upper"];

/// Labels that security modules give every new file.
const HOSTS_OWN: [&[u8]; 4] = [b"security.selinux", b"security.SMACK64", b"security.ima", b"security.evm"];
