//! `verify.sh`: a second, independent check with nothing but a shell, coreutils and openssl.

/// The script's text, as `cto verify --print-script` prints it. Its head says what it checks and what it leaves.
#[must_use]
pub const fn script() -> &'static str {
    include_str!("verify.sh")
}
