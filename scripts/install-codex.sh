#!/usr/bin/env bash
# Installs the real Codex CLI that the tests drive: this version, this digest, into target/tools/codex.
# Needs npm. Does nothing when the right binary is already there. To pin another version, change both lines below and
# record the transcripts in engines/codex/transcripts again.
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.169.0

case "$(uname -s)-$(uname -m)" in
Linux-x86_64)
    platform=codex-linux-x64 target=x86_64-unknown-linux-musl
    digest=b452ca20f838a8855a88a41050ee4a694033fff4ea3ecdad5633e6e0e8d13f2b
    ;;
*)
    printf 'no digest of Codex %s is pinned for %s-%s\n' "$version" "$(uname -s)" "$(uname -m)" >&2
    printf 'remedy: check one yourself, add it to scripts/install-codex.sh, and run this again\n' >&2
    exit 2
    ;;
esac

place=target/tools/codex
native="$place/node_modules/@openai/$platform/vendor/$target/bin/codex"
right() { [ -f "$native" ] && printf '%s  %s\n' "$digest" "$native" | sha256sum --check --status --strict; }

if ! right; then
    mkdir -p "$place"
    # Scripts of packages are never run: the binary is all that is wanted.
    npm install --prefix "$place" --ignore-scripts --no-audit --no-fund --no-save --loglevel=error \
        "@openai/codex@$version" >&2
    if ! right; then
        printf '%s is not Codex %s (sha256 %s)\n' "$native" "$version" "$digest" >&2
        printf 'remedy: remove %s and run this again; if it stays, the package was replaced: do not use it\n' \
            "$place" >&2
        exit 1
    fi
fi
ln -sfn "node_modules/@openai/$platform/vendor/$target/bin/codex" "$place/codex"
printf '%s\n' "$place/codex"
