#!/bin/sh
# Compiles the keeper: build.sh OUT. Needs a C compiler and the C library's headers, nothing else;
# prints nothing when all is well. CC and CFLAGS override.
# Symbols are bound when the nursery starts (-z now), not by each keeper once more.
set -eu
out=${1:?build.sh: say where the program goes: build.sh OUT}
cd "$(dirname "$0")"
case $out in /*) ;; *) out=$OLDPWD/$out ;; esac
# shellcheck disable=SC2086 # CFLAGS is a list
exec ${CC:-cc} -std=gnu11 ${CFLAGS:--O2} -Wall -Wextra -Wno-unused-parameter -Wl,-z,now \
  -o "$out" ./*.c
