#!/bin/sh
# Records floating-point vectors on this machine's processor (x86-64 Linux, gcc) into test/vectors/float.
# Usage: tools/vectors/x87/generate.sh [directory] [vectors per x87 instruction] [vectors per SSE instruction]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/../../../test/vectors/float}
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
mkdir -p "$out"
for name in x87 sse; do
  gcc -O2 -Wall -Wextra "$here/$name-vectors.c" -o "$build/$name"
done
"$build/x87" "${2:-300}" | gzip -9n > "$out/x87.bin.gz"
"$build/sse" "${3:-400}" | gzip -9n > "$out/sse.bin.gz"
ls -l "$out"
