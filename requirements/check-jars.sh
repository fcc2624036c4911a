#!/bin/sh
# Checks that a folder contains exactly the jars of jars.lock, by SHA-256.
#   check-jars.sh <folder of the profiles> <profile>
set -eu
lock=$(dirname "$(realpath "$0")")/jars.lock
cd "$1"
fail() {
    echo "$1/$2 in $PWD differs from requirements/jars.lock: $3" >&2
    echo "If pom.xml was changed on purpose, run: make lock" >&2
    exit 1
}
expected=$(grep " $2/" "$lock") || fail . "$2" "no such profile"
wrong=$(printf '%s\n' "$expected" | sha256sum --check --strict --quiet 2>&1) || fail . "$2" "$wrong"
unknown=$(for jar in "$2"/*.jar; do printf '%s\n' "$expected" | grep -qF "  $jar" || echo "$jar"; done)
[ -z "$unknown" ] || fail . "$2" "unknown jars: $unknown"
