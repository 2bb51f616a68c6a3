#!/bin/sh
# Makes a clone ready: the pinned Node and packages by `npm ci`, then the bundles. Does nothing when
# both are newer than what they are made from. Needs npm, from any Node >= 20.
set -eu
cd "$(dirname "$0")/.."

# Somebody else's clone, and built: its owner keeps it up to date.
if [ ! -w . ] && [ -f dist/cli.cjs ]; then exit 0; fi

if [ ! -f node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  command -v npm >/dev/null || { echo "holon: npm is needed once to install; get Node 20 or newer" >&2; exit 1; }
  echo "holon: installing the pinned Node and packages …" >&2
  npm ci --include=dev --include=optional --no-fund --no-audit --loglevel=error >&2
  touch node_modules/.package-lock.json
fi
if [ ! -f dist/cli.cjs ] || [ -n "$(find src scripts/build.ts package.json -newer dist/cli.cjs -type f 2>/dev/null | head -1)" ]; then
  echo "holon: building …" >&2
  sh scripts/with-node.sh scripts/build.ts
fi
