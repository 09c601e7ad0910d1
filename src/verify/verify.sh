#!/bin/sh
# usage: sh verify.sh PUBLIC_KEY.pem BUNDLE
#
# Checks an evidence bundle with a POSIX shell, its standard tools and openssl 3 or later. It uses the key that
# you give it, and no key from the bundle. Exit status: 0 intact and sealed by this key, 1 not, 2 usage.
#
# Checked here:  the signature over the root (DSSE, Ed25519), the list of digests that the root names, every
#                file against that list, and that nothing else is in the folder.
# Left to `cto verify`:  the event log and its checkpoints, the decision and the verdict derived again,
#                approvals, trees, the age of the bundle, and whether it is about the task that you mean.
set -u
LC_ALL=C
export LC_ALL

refuse() {
    printf 'REFUSED: %s\n' "$1" >&2
    exit 1
}

[ $# -eq 2 ] || {
    printf 'usage: sh verify.sh PUBLIC_KEY.pem BUNDLE\n' >&2
    exit 2
}
[ -f "$1" ] || {
    printf 'no such key: %s\n' "$1" >&2
    exit 2
}
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM
cat -- "$1" > "$tmp/key.pem" || exit 2
openssl pkey -pubin -in "$tmp/key.pem" -noout 2> "$tmp/err" || {
    printf 'not a public key: %s\n' "$1" >&2
    exit 2
}
CDPATH='' cd -- "$2" || exit 2

# 1. Names: the harness's own, four deep at most; files and folders only.
find . ! -name . -name '*[!A-Za-z0-9._-]*' -print > "$tmp/odd" || refuse 'the folder cannot be listed'
find . ! -name . -name '[!A-Za-z0-9_]*' -print >> "$tmp/odd" || refuse 'the folder cannot be listed'
[ ! -s "$tmp/odd" ] || refuse 'it holds a name that the harness does not give'
find . ! -type f ! -type d -print > "$tmp/odd" || refuse 'the folder cannot be listed'
[ ! -s "$tmp/odd" ] || refuse "it holds something other than files: $(head -n 1 "$tmp/odd")"
find . -type f -print | sed 's,^\./,,' | sort > "$tmp/files" || refuse 'the folder cannot be listed'
grep -q '/.*/.*/.*/' "$tmp/files" && refuse 'it holds a name that is too deep'
for name in SHA256SUMS root.dsse.json; do
    [ -f "$name" ] || refuse "$name is missing: the bundle was never sealed, or was taken apart"
done

# 2. The root: five lines of one layout, from which payload and signature are taken.
cat root.dsse.json > "$tmp/root" || refuse 'the root cannot be read'
b64='[A-Za-z0-9+/]*=\{0,2\}'
payload=$(sed -n "3s#^\"payload\":\"\\($b64\\)\",\$#\\1#p" "$tmp/root")
keyid=$(sed -n '4s#^"signatures":\[{"keyid":"sha256:\([0-9a-f]*\)",.*$#\1#p' "$tmp/root")
sig=$(sed -n "4s#^.*,\"sig\":\"\\($b64\\)\"}\]\$#\\1#p" "$tmp/root")
printf '{\n"payloadType":"application/vnd.in-toto+json",\n"payload":"%s",\n"signatures":[{"keyid":"sha256:%s","sig":"%s"}]\n}\n' \
    "$payload" "$keyid" "$sig" | cmp -s - "$tmp/root" || refuse 'root.dsse.json is not an envelope of the known layout'
printf '%s' "$payload" | openssl base64 -d -A > "$tmp/payload" || refuse 'the payload does not decode'
printf '%s' "$sig" | openssl base64 -d -A > "$tmp/sig" || refuse 'the signature does not decode'
openssl base64 -A -in "$tmp/payload" > "$tmp/again" || refuse 'the payload does not decode'
[ "$(cat "$tmp/again")" = "$payload" ] || refuse 'the payload is not in the one form of base 64'
openssl base64 -A -in "$tmp/sig" > "$tmp/again" || refuse 'the signature does not decode'
[ "$(cat "$tmp/again")" = "$sig" ] || refuse 'the signature is not in the one form of base 64'

# 3. Who signed it: DSSE's pre-authentication encoding, with the key that was given, which is the key it names.
openssl pkey -pubin -in "$tmp/key.pem" -outform DER 2> "$tmp/err" | tail -c 32 > "$tmp/raw" || refuse 'the key cannot be read'
[ "$(sha256sum < "$tmp/raw" | cut -c 1-64)" = "$keyid" ] || refuse 'the root is sealed with another key than yours'
length=$(wc -c < "$tmp/payload" | tr -d ' ')
{
    printf 'DSSEv1 28 application/vnd.in-toto+json %s ' "$length"
    cat "$tmp/payload"
} > "$tmp/pae"
openssl pkeyutl -verify -pubin -inkey "$tmp/key.pem" -rawin -in "$tmp/pae" -sigfile "$tmp/sig" > "$tmp/err" 2>&1 ||
    refuse 'the signature over the root does not hold'

# 4. The list of digests is the one that the root names, and is a list of this folder's files and nothing else.
cat SHA256SUMS > "$tmp/sums" || refuse 'SHA256SUMS cannot be read'
sum=$(sha256sum < "$tmp/sums" | cut -c 1-64)
printf '{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"SHA256SUMS","digest":{"sha256":"%s"}}' "$sum" > "$tmp/start"
head -c "$(wc -c < "$tmp/start" | tr -d ' ')" "$tmp/payload" | cmp -s - "$tmp/start" ||
    refuse 'SHA256SUMS is not the list that the root names'
grep -q -F '"predicateType":"urn:cto-harness:evidence-root:v1"' "$tmp/payload" || refuse 'the root is of an unknown kind'
part='[A-Za-z0-9_][A-Za-z0-9._-]*'
grep -q -v "^[0-9a-f]\\{64\\}  $part\\(/$part\\)\\{0,3\\}\$" "$tmp/sums" && refuse 'SHA256SUMS holds a line of another form'
{
    cut -c 67- "$tmp/sums"
    printf 'SHA256SUMS\nroot.dsse.json\n'
} | sort > "$tmp/listed"
cmp -s "$tmp/listed" "$tmp/files" || {
    diff "$tmp/listed" "$tmp/files" | sed -n 's/^< /missing: /p; s/^> /not listed: /p' | head -n 10 >&2
    refuse 'the files in the folder are not the ones listed'
}
# A folder is there because a file below it is: up to three above each file.
sed -n 's,/[^/]*$,,p' "$tmp/files" > "$tmp/above1"
sed -n 's,/[^/]*$,,p' "$tmp/above1" > "$tmp/above2"
sed -n 's,/[^/]*$,,p' "$tmp/above2" > "$tmp/above3"
sort -u "$tmp/above1" "$tmp/above2" "$tmp/above3" > "$tmp/needed" || refuse 'the folders cannot be listed'
find . ! -name . -type d -print | sed 's,^\./,,' | sort > "$tmp/folders" || refuse 'the folder cannot be listed'
cmp -s "$tmp/needed" "$tmp/folders" || refuse 'it holds a folder without a file'

# 5. Every file.
sha256sum -c --strict --quiet "$tmp/sums" >&2 || refuse 'a file is not the one that was sealed'

verdict=$(sed -n 's,.*"verdict":"\([a-z]*\)".*,\1,p' "$tmp/payload")
printf 'INTACT: %s files, sealed by key sha256:%s, verdict %s\n' "$(wc -l < "$tmp/sums" | tr -d ' ')" "$keyid" "$verdict"
printf 'Left to `cto verify`: events and checkpoints, decision and verdict derived again, approvals, trees, age.\n'
