#!/usr/bin/env bash
# Builds the sample engine of engines/samples/wordy into target/guests/wordy: its adapter (a WebAssembly component), its
# manifest, and its program. Nothing built is in git; what is built is known by its digest.
#   --install   as root on Debian: also installs a compiler for WebAssembly where there is none
# The adapter needs the Rust target wasm32-unknown-unknown, or Debian's rustc-web with rust-web-src. Exit 3, and a word, where
# there is neither.
set -euo pipefail
cd "$(dirname "$0")/.."
place="$PWD/target/guests"
target=wasm32-unknown-unknown
mkdir -p "$place/wordy"

sysroot=$(rustc --print sysroot)
host=$(rustc -vV | sed -n 's/^host: //p')
tools="$sysroot/lib/rustlib/$host/bin"
# Debian's compiler with the sources of its standard library: rustup's cannot compile another version's.
web() { [ -x /usr/bin/rustc ] && [ -e "$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library/Cargo.lock" ]; }

how=()
if [ ! -d "$sysroot/lib/rustlib/$target" ]; then
    if ! web && [ "${1-}" = --install ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        { apt-get update -qq &&
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends rustc-web rust-web-src; } >&2 || true
    fi
    if ! web; then
        printf 'missing: a Rust compiler for %s\n' "$target" >&2
        printf 'remedy: rustup target add %s; or, as root on Debian: apt-get install rustc-web rust-web-src\n' "$target" >&2
        exit 3
    fi
    export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1
    how=(-Zbuild-std=std,panic_abort)
fi

# The linker makes a component of it, by the description of the seam that is in the program. It looks for `wasm-ld`.
export PATH="$tools/gcc-ld:$PATH"
export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER="$tools/wasm-component-ld"
export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS="--remap-path-prefix=$PWD=/guest --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS
cargo build --quiet --locked --release --target "$target" "${how[@]}" \
    --manifest-path engines/samples/wordy/adapter/Cargo.toml --target-dir "$place/build"
install -m 644 "$place/build/$target/release/wordy_adapter.wasm" "$place/wordy/adapter.wasm"
install -m 644 engines/samples/wordy/engine.toml "$place/wordy/engine.toml"
(unset RUSTC RUSTC_BOOTSTRAP && rustc --edition 2024 -O -o "$place/wordy/wordy" engines/samples/wordy/program/main.rs)
printf '%s\n' "$place/wordy"
