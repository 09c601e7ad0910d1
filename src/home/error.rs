//! What can go wrong with this installation's own files. Every message names the file and the remedy.

use std::io;
use std::path::PathBuf;

use crate::vocab::KeyError;

/// Why a place or a file of the installation cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Neither `HOME` nor the user database names a home folder.
    #[error("no home folder is known\n  remedy: set HOME, or set CTO_HOME to a folder of your own")]
    NoHome,
    /// A path that no document of evidence can name.
    #[error("{} is not UTF-8, and evidence names its paths in it\n  remedy: set CTO_HOME to a folder with a plain name", path.display())]
    NotUtf8 {
        /// Which.
        path: PathBuf,
    },
    /// The kernel does not tell who the caller is.
    #[error("the caller's user id could not be read from /proc/self: {0}\n  remedy: mount /proc")]
    WhoAmI(#[source] io::Error),
    /// A folder could not be made.
    #[error("cannot make the folder {}: {source}\n  remedy: make it yourself (mode 0700), or set CTO_HOME to a folder that you may write to", path.display())]
    CreateFolder {
        /// Which.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A place could not be looked at.
    #[error("cannot look at {}: {source}\n  remedy: see that every folder above it may be entered", path.display())]
    Inspect {
        /// Which.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The place lies where every sandbox can read.
    #[error("{} lies in {}, which every sandbox can read\n  remedy: set CTO_HOME to a folder outside of the system's", path.display(), system)]
    InTheSystem {
        /// Which.
        path: PathBuf,
        /// The system's folder.
        system: &'static str,
    },
    /// Something that is not a folder is in the way.
    #[error("{} is not a folder\n  remedy: move it away, or set CTO_HOME to another place", path.display())]
    NotAFolder {
        /// Which.
        path: PathBuf,
    },
    /// Something that is not a regular file is in the way.
    #[error("{} is not a regular file\n  remedy: move it away", path.display())]
    NotAFile {
        /// Which.
        path: PathBuf,
    },
    /// Somebody else owns the place.
    #[error("{} belongs to uid {owner}, and you are uid {caller}\n  remedy: run `cto` as its owner, or set CTO_HOME to a folder of your own", path.display())]
    ForeignOwner {
        /// Which.
        path: PathBuf,
        /// Its owner's uid.
        owner: u32,
        /// The caller's uid.
        caller: u32,
    },
    /// Somebody else owns a file, and it cannot be left to him when it is written.
    #[error("{} belongs to uid {owner}, and you are uid {caller}\n  remedy: change it by hand as uid {owner}, or call `cto` as root, which leaves it to him", path.display())]
    ForeignFile {
        /// Which.
        path: PathBuf,
        /// Its owner's uid.
        owner: u32,
        /// The caller's uid.
        caller: u32,
    },
    /// Others may write to the place.
    #[error("others may write to {} (mode {mode:04o})\n  remedy: chmod go-w {}", path.display(), path.display())]
    WritableByOthers {
        /// Which.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Others may read a private key.
    #[error("others may read the private key {} (mode {mode:04o})\n  remedy: chmod 600 {}, and `cto key rotate` if anybody may have read it", path.display(), path.display())]
    ExposedKey {
        /// Which.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file could not be read.
    #[error("cannot read {}: {source}\n  remedy: see that the file is yours and readable", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {}: {source}\n  remedy: see that the disk has room and that the folder is yours", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Another process could not be waited for.
    #[error("cannot lock {}: {source}\n  remedy: see that no other `cto` hangs", path.display())]
    Lock {
        /// Which.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A file does not parse; the problem holds line, column and source line.
    #[error("{} is not valid:\n{problem}\n  remedy: correct the line above, or remove the file to go back to the defaults", path.display())]
    Syntax {
        /// Which.
        path: PathBuf,
        /// The parser's answer with the source line.
        problem: String,
    },
    /// A field has a value that makes no sense.
    #[error("{}: `{field}`: {problem}\n  remedy: {remedy}", path.display())]
    Value {
        /// Which file.
        path: PathBuf,
        /// Dotted name of the field.
        field: String,
        /// What is wrong with it.
        problem: String,
        /// What to write instead.
        remedy: String,
    },
    /// A value could not be written as TOML.
    #[error("{} could not be put into words: {problem}", path.display())]
    Render {
        /// Which file.
        path: PathBuf,
        /// The serializer's answer.
        problem: String,
    },
    /// A key file holds no key, or none could be made.
    #[error("{}: {source}\n  remedy: move the file away, and a new key is made on the next use", path.display())]
    Key {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: KeyError,
    },
}

impl HomeError {
    /// Whether the caller's own configuration is at fault (exit 2), and not the machine (exit 4).
    #[must_use]
    pub const fn is_configuration(&self) -> bool {
        matches!(
            self,
            Self::NoHome
                | Self::NotUtf8 { .. }
                | Self::NotAFolder { .. }
                | Self::NotAFile { .. }
                | Self::ForeignOwner { .. }
                | Self::ForeignFile { .. }
                | Self::WritableByOthers { .. }
                | Self::ExposedKey { .. }
                | Self::Syntax { .. }
                | Self::Value { .. }
                | Self::Key { .. }
        )
    }
}
