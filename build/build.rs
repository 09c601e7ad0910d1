//! How the programs are linked: a process that lives five milliseconds notices what the dynamic linker does.

use std::path::PathBuf;
use std::process::Command;

/// The first glibc whose dynamic linker reads packed relative relocations, as (major, minor).
const PACKED_SINCE: (u32, u32) = (2, 36);
/// Which functions lie beside each other, as a script for the linker (build/functions.sh writes it).
const ORDER: &str = "build/functions.ld";
/// GCC's unwinder, as an archive.
const UNWINDER: &str = "libgcc_eh.a";

fn main() {
    for read in ["build/build.rs", ORDER] {
        println!("cargo:rerun-if-changed={read}");
    }
    let of = |name: &str| std::env::var(name).unwrap_or_default();
    if of("TARGET") != of("HOST") || of("CARGO_CFG_TARGET_ENV") != "gnu" {
        return;
    }
    if glibc().is_some_and(|version| version >= PACKED_SINCE) {
        // Nineteen thousand relocations as a bitmap: read in a twentieth of the memory, and still position-independent.
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
    // Half a millisecond of the six that a sandbox takes. Only in what people run, and where the linker can read it.
    let order = format!("-T{}/{ORDER}", of("CARGO_MANIFEST_DIR"));
    let flags = of("CARGO_ENCODED_RUSTFLAGS");
    let chosen = ["-fuse-ld=", "linker="].iter().any(|chosen| flags.contains(chosen));
    if of("PROFILE") == "release" && !chosen && links(&order, &of("OUT_DIR")) {
        for kind in ["bins", "benches"] {
            println!("cargo:rustc-link-arg-{kind}={order}");
        }
    }
    if let Some(folder) = folder_of(UNWINDER) {
        // One library fewer to find, map and relocate, and none that asks the processor for its features first.
        println!("cargo:rustc-link-search=native={folder}");
        println!("cargo:rustc-link-lib=static:-bundle=gcc_eh");
    }
}

/// Whether the C compiler's linker makes a program when it is told this. Not every one reads scripts.
fn links(told: &str, place: &str) -> bool {
    let (source, program) = (format!("{place}/empty.c"), format!("{place}/empty"));
    let linker = std::env::var("RUSTC_LINKER").unwrap_or_else(|_| "cc".to_owned());
    let compiled = std::fs::write(&source, "int main(void) { return 0; }\n")
        .and_then(|()| Command::new(linker).args([told, "-o", &program, &source]).output());
    compiled.is_ok_and(|output| output.status.success())
}

/// Where the C compiler keeps one of its own archives; `None` where it has none, and then the shared one is used.
fn folder_of(archive: &str) -> Option<String> {
    let output = Command::new("cc").arg(format!("-print-file-name={archive}")).output().ok()?;
    let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    let folder = path.parent().filter(|_| path.is_absolute() && path.is_file())?;
    Some(folder.to_str()?.to_owned())
}

/// The C library of this machine; `None` where it does not say, and then nothing is packed.
fn glibc() -> Option<(u32, u32)> {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (major, minor) = text.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
