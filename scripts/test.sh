#!/bin/sh
# npm test: everything that says whether the project is whole. Installs what the tests need first.
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh
sh scripts/test-setup.sh
sh scripts/with-node.sh scripts/build.ts --types
sh scripts/with-node.sh scripts/check.ts
exec sh scripts/with-node.sh --test --test-concurrency=2 \
  'src/**/*.test.ts' 'test/**/*.test.ts'
