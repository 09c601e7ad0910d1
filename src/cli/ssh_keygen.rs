//! A person's own `ssh-keygen`, for keys that must not come here: with a passphrase, in an agent, in hardware.
//!
//! It has the person's terminal and environment (the agent's socket), gets exactly the bytes to sign, and what it
//! writes is read with a bound and believed only once it verifies. Nothing that an engine wrote is handed to it.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::problem::Problem;
use crate::vocab::{SSH_NAMESPACE, Signature, shown};

/// Longest answer that is read, bytes.
const ANSWER_MAX: u64 = 16 * 1024;
const REMEDY: &str = "see that the key is in ssh-agent (`ssh-add -l`), beside the public file, or plugged in; or sign \
                      elsewhere and give the result with --signature";

/// Signs `message` with the key that `file` names: a public key, or what tells a hardware key which one it is.
pub(super) fn sign(file: &Path, message: &[u8]) -> Result<Signature, Problem> {
    let failed = |what: String| Problem::usage(format!("`ssh-keygen -Y sign` {what}"), REMEDY);
    // Absolute, so that no name of a file can be an option.
    let file = std::path::absolute(file).map_err(|error| failed(format!("cannot find the key: {error}")))?;
    let mut command = Command::new("ssh-keygen");
    command.args(["-Y", "sign", "-n", SSH_NAMESPACE, "-f"]).arg(file);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = command.spawn().map_err(|error| failed(format!("did not start: {error}")))?;
    let told = exchange(&mut child, message);
    let ended = child.wait().map_err(|error| failed(format!("was lost: {error}")))?;
    if !ended.success() {
        return Err(failed(format!("ended with {ended}")));
    }
    let text =
        told.map_err(|error| failed(format!("did not take the message or did not answer: {error}")))?;
    Signature::parse(&text)
        .map_err(|error| failed(format!("wrote no signature: {}", shown(&error.to_string()))))
}

/// Hands the message in, and reads the answer. The message is shorter than a pipe holds, so neither waits for ever.
fn exchange(child: &mut Child, message: &[u8]) -> std::io::Result<String> {
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(message)?;
    }
    let mut text = String::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(ANSWER_MAX).read_to_string(&mut text)?;
    }
    Ok(text)
}
