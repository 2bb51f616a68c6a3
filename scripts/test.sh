#!/bin/sh
# npm test: everything that says whether the project is whole. Installs what the tests need first.
# Tests in labs come last and one after the other: each has up to ten machines of its own. Beside
# them the simulation takes what they leave of the processors; it lives in a time of its own.
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh
sh scripts/test-setup.sh
sh scripts/with-node.sh scripts/build.ts --types
sh scripts/with-node.sh scripts/check.ts

log=$(mktemp)
trap 'rm -f "$log" "$log.status" "$log.sim"' EXIT
run_tests() {
  { sh scripts/with-node.sh --test "$@" 2>&1 || echo failed >"$log.status"; } | tee -a "$log"
}
simulate() {
  # Where the kernel groups processes by session, it is the group that has to be nice.
  setsid sh -c 'echo 19 2>/dev/null >/proc/self/autogroup; exec nice -n 19 "$@"' sh \
    sh scripts/with-node.sh --test --test-concurrency=2 'test/sim/**/*.test.ts' \
    >"$log.sim" 2>&1 || echo failed >"$log.status"
}
# shellcheck disable=SC2046
run_tests --test-concurrency=2 'src/**/*.test.ts' \
  $(find test -name '*.test.ts' -not -path 'test/lab/*' -not -path 'test/sim/*')
simulate &
simulation=$!
run_tests --test-concurrency=1 'test/lab/**/*.test.ts'
wait "$simulation"
tee -a "$log" <"$log.sim"
failed=0
if [ -e "$log.status" ]; then failed=1; fi
awk '/^ℹ (tests|pass|fail|skipped) /{n[$2] += $3} END {print "tests " n["tests"] ", pass " n["pass"] ", fail " n["fail"] ", skipped " n["skipped"]}' "$log"
exit "$failed"
