#!/usr/bin/env bash
# The table of attacks: each tried outside, then inside, as root (when run so) and as an ordinary user. Fails if one works.
# ESCAPE_CLASS=WN tries only the classes W and N. Needs python3 and git.
# --peers: what can be tried in one call, in other sandboxes, into docs/attacks.json, and its picture. As root; needs
#          bwrap and scripts/install-codex.sh, and a clone that an ordinary user can reach. sandbox-runtime is one of
#          them where scripts/install-srt.sh can install it.
# --picture: docs/attacks.svg from docs/attacks.json, and from nothing else.
set -euo pipefail
cd "$(dirname "$0")/.."
export RUST_BACKTRACE=0
try() { cargo test --locked --quiet --test escape "$@"; }
case "${1-}" in
"") try every_attack_is_held -- --nocapture ;;
--peers)
    scripts/install-srt.sh >/dev/null || [ $? = 3 ]
    try the_peers_are_measured -- --ignored --nocapture
    try the_picture_is_drawn -- --ignored
    ;;
--picture) try the_picture_is_drawn -- --ignored ;;
*)
    printf 'usage: %s [--peers | --picture]\n' "$0" >&2
    exit 2
    ;;
esac
