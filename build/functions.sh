#!/usr/bin/env bash
# Writes build/functions.ld: what `cto` calls on its way into a sandbox, in the order of the first calls. The linker puts
# these functions beside each other (build/build.rs), so that the half dozen processes of a sandbox, which live some
# milliseconds each, touch 14 windows of code in the place of 116 (a window is what one page fault maps: 64 KiB).
# Run it again when the compiler or much of the code is another: what a stale list does not name is only slower.
# Needs x86-64, a C compiler and `nm`.
set -euo pipefail
cd "$(dirname "$0")/.."
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

cargo build --release --locked --bins
program=${CARGO_TARGET_DIR:-target}/release/cto
cc -O2 -o "$place/calls" build/calls.c
for call in "sandbox -- /bin/true" "doctor"; do
    # shellcheck disable=SC2086 # the words of a call
    HOME="$place/home" "$place/calls" "$place/called" "$program" $call >"$place/said" 2>&1 || {
        printf 'cto %s does not work here:\n' "$call" >&2
        cat "$place/said" >&2
        exit 1
    }
done
nm --defined-only --format=posix "$program" | awk '$2 ~ /^[tT]$/ { print $1 }' | sort -u >"$place/all"

# A name without its hash stays the same under another compiler; it stands for the function where no other has it. What
# generics make of one name is told apart by the hash alone. What follows `.llvm.` is of one build only.
awk '
    function stem(name) {
        sub(/\.llvm\.[0-9]+$/, "*", name)
        if (!sub(/17h[0-9a-f]+E\*?$/, "17h*", name)) gsub(/Cs[0-9A-Za-z]+_/, "Cs*_", name)
        return name
    }
    FNR == NR { having[stem($1)]++; next }
    !said[$1]++ {
        pattern = stem($1)
        if (having[pattern] > 1) { pattern = $1; sub(/\.llvm\.[0-9]+$/, "*", pattern) }
        if (!written[pattern]++) print pattern
    }
' "$place/all" "$place/called" >"$place/patterns"

{
    printf '/* Written by build/functions.sh: functions in the order of their first calls. */\n'
    printf 'SECTIONS {\n  .text.first : {\n'
    # What is seldom called has a section of another name.
    sed 's/.*/    *(.text.& .text.unlikely.&)/' "$place/patterns"
    printf '  }\n}\nINSERT BEFORE .text;\n'
} >build/functions.ld
printf '%s functions\n' "$(wc -l <"$place/patterns")"
