#!/usr/bin/env bash
# The table of attacks: each tried outside, then inside, as root (when run so) and as an ordinary user. Fails if one works.
# ESCAPE_CLASS=WN tries only the classes W and N. Needs python3 and git.
set -euo pipefail
cd "$(dirname "$0")/.."
export RUST_BACKTRACE=0
exec cargo test --locked --quiet --test escape every_attack_is_held -- --nocapture
