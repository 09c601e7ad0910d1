#!/usr/bin/env bash
# README's second command, and all of CI: installs what the tests need, then format, lints, docs, build, tests.
# Needs: Rust 1.95 with rustfmt and clippy, a C compiler. Runs as root and as an ordinary user.
set -euo pipefail
cd "$(dirname "$0")/.."
export RUST_BACKTRACE="${RUST_BACKTRACE:-0}"

step() { printf '\n== %s (%ss)\n' "$1" "$SECONDS"; }

step "packages"
# command -> Debian package
need=()
for pair in curl:curl git:git ip:iproute2 openssl:openssl node:nodejs npm:npm python3:python3 ssh-keygen:openssh-client; do
    PATH="$PATH:/usr/sbin:/sbin" command -v "${pair%%:*}" >/dev/null || need+=("${pair##*:}")
done
if ((${#need[@]})); then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${need[@]}"
    else
        printf 'missing: %s\nremedy: install them, or run this once as root\n' "${need[*]}" >&2
        exit 2
    fi
fi
if [ -x scripts/install-codex.sh ]; then
    step "the real Codex, pinned by version and digest"
    scripts/install-codex.sh
fi

step "the sample module, from source"
if ! scripts/guests.sh --install >/dev/null; then
    printf 'its tests are skipped\n' >&2
fi

step "format"
cargo fmt --check
step "lints"
cargo clippy --locked --all-targets --quiet -- -D warnings
step "docs"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --quiet
if command -v cargo-deny >/dev/null; then
    step "dependencies (deny.toml)"
    cargo deny --offline check bans licenses sources
fi

step "build"
# The tests start `cto`, `cto-stub` and `cto-player` beside each other.
cargo build --locked --bins --quiet
step "tests"
cargo test --locked --no-fail-fast
step "done"
