#!/bin/sh
# Runs the pinned Node with the given arguments: with-node.sh [ARG...]. Installs it first where it
# is missing, so that every npm script works on a fresh clone with any Node >= 20.
set -eu
cd "$(dirname "$0")/.."
. ./scripts/find-node.sh
if ! node=$(find_node "$PWD"); then
  npm ci --include=dev --include=optional --no-fund --no-audit --loglevel=error >&2
  node=$(find_node "$PWD") || { echo "holon: no pinned Node for $(uname -m) after npm ci; see docs/install.md" >&2; exit 1; }
fi
PATH="$(dirname "$node"):$PATH" exec "$node" "$@"
