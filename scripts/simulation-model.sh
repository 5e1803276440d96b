#!/bin/bash
# Checks the Promela model of the protocol with spin (Debian: apt-get install spin), and that each guard is needed.
set -euo pipefail
model=$(cd "$(dirname "$0")/.." && pwd)/test/simulation/model/two-phase-commit.pml
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# Prints the verdict: errors, states, depth. Without a guard the first error is enough.
check() {
  spin -a "$@" "$model" >/dev/null
  # What the coordinator may do depends on its life, which rules the reduction out.
  gcc -O2 -w -DNOREDUCE -DSAFETY -DMEMLIM=8000 -o pan pan.c
  ./pan -m100000 >out 2>&1 || true
  errors=$(sed -n 's/.*errors: //p' out)
  printf '%-16s errors: %s, states: %s, transitions: %s\n' "${*:-all guards}" "$errors" \
    "$(sed -n 's/^ *\([0-9]*\) states, stored.*/\1/p' out)" \
    "$(sed -n 's/^ *\([0-9]*\) transitions.*/\1/p' out)"
}

failed=0
check
[[ $errors == 0 ]] || failed=1
for guard in TOMBSTONE REGISTER FENCE; do
  check "-DNO_$guard"
  [[ $errors == 1 ]] || failed=1
done
exit "$failed"
