#!/usr/bin/env bash
# Installs Anthropic's sandbox-runtime (`srt`), which attacks and benchmarks are compared with: this version with these
# dependencies, this digest over all of it, into target/tools/srt. Needs npm, bubblewrap, socat and ripgrep.
# Exit 3, and a word, where it is to be skipped: npm reaches no registry, or a Debian package is missing.
# To pin another version, change the lines below; the digest is printed when it is another.
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.0.83
packages=("@anthropic-ai/sandbox-runtime@$version" @pondwader/socks5-server@1.0.10 commander@12.1.0 node-forge@1.4.3
    zod@3.25.76)
digest=8ce653afa3da13465d171c7cc8ab70b45c91fcb61d90867563ac480b0318d7c2

skip() {
    printf 'sandbox-runtime is skipped: %s\n' "$1" >&2
    exit 3
}

# command -> Debian package
need=()
for pair in npm:npm bwrap:bubblewrap socat:socat rg:ripgrep; do
    command -v "${pair%%:*}" >/dev/null || need+=("${pair##*:}")
done
if ((${#need[@]})); then
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || skip "it needs ${need[*]}"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${need[@]}"; } \
        >&2 || skip "${need[*]} cannot be installed"
fi

place=target/tools/srt
# Every file, by its name and its content; npm's own note holds nothing that runs.
found() {
    (cd "$place/node_modules" && find . -type f ! -name .package-lock.json -print0 | LC_ALL=C sort -z |
        xargs -0 sha256sum | sha256sum | cut -d ' ' -f 1)
}
right() { [ -d "$place/node_modules" ] && [ "$(found)" = "$digest" ]; }

if ! right; then
    rm -rf "$place/node_modules"
    mkdir -p "$place"
    # Scripts of packages are never run.
    npm install --prefix "$place" --ignore-scripts --no-audit --no-fund --no-save --loglevel=error \
        "${packages[@]}" >&2 || skip "npm cannot fetch it"
    if ! right; then
        printf '%s is not sandbox-runtime %s with its dependencies (sha256 %s)\n' "$place" "$version" "$(found)" >&2
        printf 'remedy: remove %s and run this again; if it stays, a package was replaced: do not use it\n' \
            "$place" >&2
        exit 1
    fi
fi
ln -sfn node_modules/@anthropic-ai/sandbox-runtime/dist/cli.js "$place/srt"
printf '%s\n' "$place/srt"
