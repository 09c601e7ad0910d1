//! How the programs are linked: a process that lives five milliseconds notices what the dynamic linker does.

use std::process::Command;

/// The first glibc whose dynamic linker reads packed relative relocations, as (major, minor).
const PACKED_SINCE: (u32, u32) = (2, 36);

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let of = |name: &str| std::env::var(name).unwrap_or_default();
    let native = of("TARGET") == of("HOST");
    if native && of("CARGO_CFG_TARGET_ENV") == "gnu" && glibc().is_some_and(|version| version >= PACKED_SINCE)
    {
        // Nineteen thousand relocations as a bitmap: read in a twentieth of the memory, and still position-independent.
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// The C library of this machine; `None` where it does not say, and then nothing is packed.
fn glibc() -> Option<(u32, u32)> {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (major, minor) = text.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
