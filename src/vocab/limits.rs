//! Limits of a run: every one has a default and a ceiling, so none is ever absent.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The name of a limit, as it is written in contracts, evidence and `--limit NAME=VALUE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitName {
    /// Wall time of the engine, seconds.
    WallSeconds,
    /// Longest time without output, seconds.
    IdleSeconds,
    /// CPU time of one process, seconds.
    CpuSeconds,
    /// Bytes on standard output and standard error together.
    OutputBytes,
    /// Processes and threads of the whole tree.
    Processes,
    /// Open files of one process.
    OpenFiles,
    /// Size of one file, bytes.
    FileBytes,
    /// Changed files in the patch.
    ChangedFiles,
    /// Size of the private `/tmp`, bytes.
    TmpBytes,
    /// Size of the private `/dev/shm`, bytes.
    ShmBytes,
    /// CPU time of the whole tree, seconds.
    TreeCpuSeconds,
    /// Memory of the whole tree, `/tmp` and `/dev/shm` among it, bytes.
    MemoryBytes,
    /// Space that the work tree takes on disk beyond its base, bytes.
    DiskBytes,
    /// Files, folders and links in the work tree beyond its base.
    Inodes,
    /// Size of the patch, bytes.
    PatchBytes,
    /// Time between the polite and the final signal, seconds.
    GraceSeconds,
    /// Time that a person has to answer a request, seconds.
    AnswerSeconds,
}

impl LimitName {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WallSeconds => "wall_seconds",
            Self::IdleSeconds => "idle_seconds",
            Self::CpuSeconds => "cpu_seconds",
            Self::OutputBytes => "output_bytes",
            Self::Processes => "processes",
            Self::OpenFiles => "open_files",
            Self::FileBytes => "file_bytes",
            Self::ChangedFiles => "changed_files",
            Self::TmpBytes => "tmp_bytes",
            Self::ShmBytes => "shm_bytes",
            Self::TreeCpuSeconds => "tree_cpu_seconds",
            Self::MemoryBytes => "memory_bytes",
            Self::DiskBytes => "disk_bytes",
            Self::Inodes => "inodes",
            Self::PatchBytes => "patch_bytes",
            Self::GraceSeconds => "grace_seconds",
            Self::AnswerSeconds => "answer_seconds",
        }
    }
}

/// The limits in force for one run. All values in the unit of the name; none is zero.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Seconds of wall time.
    pub wall_seconds: u64,
    /// Seconds without output.
    pub idle_seconds: u64,
    /// CPU seconds of one process.
    pub cpu_seconds: u64,
    /// Bytes of output.
    pub output_bytes: u64,
    /// Processes and threads.
    pub processes: u64,
    /// Open files of one process.
    pub open_files: u64,
    /// Bytes of one file.
    pub file_bytes: u64,
    /// Files in the patch.
    pub changed_files: u64,
    /// Bytes of `/tmp`.
    pub tmp_bytes: u64,
    /// Bytes of `/dev/shm`.
    pub shm_bytes: u64,
    /// CPU seconds of the whole tree.
    pub tree_cpu_seconds: u64,
    /// Bytes of memory of the whole tree.
    pub memory_bytes: u64,
    /// Bytes on disk in the work tree.
    pub disk_bytes: u64,
    /// Entries in the work tree.
    pub inodes: u64,
    /// Bytes of the patch.
    pub patch_bytes: u64,
    /// Seconds from TERM to KILL.
    pub grace_seconds: u64,
    /// Seconds that a person has to answer.
    pub answer_seconds: u64,
}

impl Limits {
    /// Every limit by its name, in the order of the struct.
    #[must_use]
    pub const fn named(&self) -> [(LimitName, u64); 17] {
        use LimitName as N;
        [
            (N::WallSeconds, self.wall_seconds),
            (N::IdleSeconds, self.idle_seconds),
            (N::CpuSeconds, self.cpu_seconds),
            (N::OutputBytes, self.output_bytes),
            (N::Processes, self.processes),
            (N::OpenFiles, self.open_files),
            (N::FileBytes, self.file_bytes),
            (N::ChangedFiles, self.changed_files),
            (N::TmpBytes, self.tmp_bytes),
            (N::ShmBytes, self.shm_bytes),
            (N::TreeCpuSeconds, self.tree_cpu_seconds),
            (N::MemoryBytes, self.memory_bytes),
            (N::DiskBytes, self.disk_bytes),
            (N::Inodes, self.inodes),
            (N::PatchBytes, self.patch_bytes),
            (N::GraceSeconds, self.grace_seconds),
            (N::AnswerSeconds, self.answer_seconds),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_written_as_it_is_read() {
        let limits: Limits = serde_json::from_value(
            crate::contract::limits::defaults()
                .named()
                .into_iter()
                .map(|(name, value)| (name.as_str().to_owned(), serde_json::Value::from(value)))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        )
        .unwrap();
        for (name, _) in limits.named() {
            assert_eq!(serde_json::to_value(name).unwrap(), name.as_str());
        }
    }
}
