//! Where an engine's key is to be found, and reading it at the moment of use.
//!
//! The key itself is never in configuration, evidence or `Debug` output; what is read is wiped when dropped.
//! This is one of the few places outside `process/` that starts a program: the operator's own key command,
//! outside of any sandbox, before anything untrusted runs.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use zeroize::Zeroizing;

/// Longest time that a key command may take.
const COMMAND_WAIT: Duration = Duration::from_secs(30);
/// Longest key, bytes.
const MAX_KEY_BYTES: u64 = 16 * 1024;

/// Where a key is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeySource {
    /// An environment variable of the harness.
    Env(String),
    /// A file of the caller's that nobody else may read.
    File(PathBuf),
    /// A program (absolute path) and its arguments; the key is its standard output.
    Command(Vec<String>),
}

/// Why no key was found. Never holds any part of a key.
#[derive(Debug, thiserror::Error)]
pub enum KeySourceError {
    /// The variable is not set, or is not text.
    #[error("the environment variable {0} holds no key; remedy: export it before calling `cto`")]
    Unset(String),
    /// The file cannot be read.
    #[error("the key file {} cannot be read: {source}; remedy: make it readable to you alone (chmod 600)", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// Others may read the file.
    #[error("others may read the key file {}; remedy: chmod 600 {}", path.display(), path.display())]
    Exposed {
        /// Which.
        path: PathBuf,
    },
    /// The command cannot be run.
    #[error("the key command {program} cannot be run: {source}; remedy: try it by hand")]
    Run {
        /// The program.
        program: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The command did not end well.
    #[error("the key command {program} ended with {status}; remedy: try it by hand")]
    Failed {
        /// The program.
        program: String,
        /// How it ended.
        status: String,
    },
    /// What was found is not a key.
    #[error("{place} holds no key: one line of visible ASCII, at most 16 KiB, is expected")]
    NotAKey {
        /// Where it was looked for.
        place: String,
    },
}

impl KeySource {
    /// The key, without the newline at its end. Reads the environment, a file, or runs the operator's command,
    /// which is ended as soon as `stopped` says so.
    pub fn read(&self, stopped: &dyn Fn() -> bool) -> Result<Zeroizing<String>, KeySourceError> {
        match self {
            Self::Env(name) => {
                let text = std::env::var(name).map_err(|_| KeySourceError::Unset(name.clone()))?;
                one_line(Zeroizing::new(text.into_bytes()).as_slice(), name)
            }
            Self::File(path) => {
                let read = |source| KeySourceError::Read { path: path.clone(), source };
                let file = File::open(path).map_err(read)?;
                if file.metadata().map_err(read)?.mode() & 0o077 != 0 {
                    return Err(KeySourceError::Exposed { path: path.clone() });
                }
                one_line(&read_bounded(file).map_err(read)?, &path.display().to_string())
            }
            Self::Command(argv) => {
                let Some((program, arguments)) = argv.split_first() else {
                    return Err(KeySourceError::NotAKey { place: "an empty command".into() });
                };
                one_line(&run(program, arguments, stopped)?, program)
            }
        }
    }
}

fn read_bounded(from: impl Read) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    from.take(MAX_KEY_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn one_line(bytes: &[u8], place: &str) -> Result<Zeroizing<String>, KeySourceError> {
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let valid =
        !line.is_empty() && line.len() as u64 <= MAX_KEY_BYTES && line.iter().all(u8::is_ascii_graphic);
    match std::str::from_utf8(line) {
        Ok(text) if valid => Ok(Zeroizing::new(text.to_owned())),
        _ => Err(KeySourceError::NotAKey { place: place.to_owned() }),
    }
}

fn run(
    program: &str,
    arguments: &[String],
    stopped: &dyn Fn() -> bool,
) -> Result<Zeroizing<Vec<u8>>, KeySourceError> {
    let failed = |source| KeySourceError::Run { program: program.to_owned(), source };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(failed)?;
    let stdout = child.stdout.take();
    let reader = thread::spawn(move || stdout.map_or_else(|| Ok(Zeroizing::new(Vec::new())), read_bounded));
    let deadline = Instant::now() + COMMAND_WAIT;
    let status = loop {
        // What it started may hold its output open after its own end, so the reader is not waited for blindly.
        if let Some(status) = child.try_wait().map_err(failed)?
            && (reader.is_finished() || !status.success())
        {
            break status;
        }
        let late = Instant::now() >= deadline;
        if late || stopped() {
            child.kill().map_err(failed)?;
            child.wait().map_err(failed)?;
            let status = if late { "no answer in 30 s" } else { "ended, because the run was stopped" };
            return Err(KeySourceError::Failed { program: program.to_owned(), status: status.into() });
        }
        thread::sleep(Duration::from_millis(5));
    };
    if !status.success() {
        return Err(KeySourceError::Failed { program: program.to_owned(), status: status.to_string() });
    }
    match reader.join() {
        Ok(bytes) => bytes.map_err(failed),
        Err(_) => Err(failed(std::io::ErrorKind::BrokenPipe.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_command_gives_its_first_line() {
        let source = KeySource::Command(vec!["/bin/echo".into(), "made-up".into()]);
        assert_eq!(source.read(&|| false).unwrap().as_str(), "made-up");
        let two = KeySource::Command(vec!["/bin/echo".into(), "two words".into()]);
        assert!(matches!(two.read(&|| false), Err(KeySourceError::NotAKey { .. })));
        let bad = KeySource::Command(vec!["/bin/false".into()]);
        assert!(matches!(bad.read(&|| false), Err(KeySourceError::Failed { .. })));
        let none = KeySource::Command(vec!["/nonexistent/program".into()]);
        assert!(matches!(none.read(&|| false), Err(KeySourceError::Run { .. })));
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, "made-up\r\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let source = KeySource::File(path.clone());
        assert!(matches!(source.read(&|| false), Err(KeySourceError::Exposed { .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(source.read(&|| false).unwrap().as_str(), "made-up");
        fs::write(&path, "").unwrap();
        assert!(matches!(source.read(&|| false), Err(KeySourceError::NotAKey { .. })));
    }

    #[test]
    fn a_command_is_ended_when_the_run_is() {
        let source = KeySource::Command(vec!["/bin/sleep".into(), "1000".into()]);
        let error = source.read(&|| true).unwrap_err();
        assert!(error.to_string().contains("stopped"), "{error}");
    }

    #[test]
    fn an_unset_variable_is_named() {
        let error = KeySource::Env("CTO_TEST_SURELY_UNSET".into()).read(&|| false).unwrap_err();
        assert!(error.to_string().contains("CTO_TEST_SURELY_UNSET"));
    }
}
