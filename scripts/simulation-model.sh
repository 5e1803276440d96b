#!/bin/bash
# Checks the Promela model of the protocol with spin (Debian: apt-get install spin), and that each guard is needed.
set -euo pipefail
model=$(cd "$(dirname "$0")/.." && pwd)/test/simulation/model/two-phase-commit.pml
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# Prints the verdict: errors, states, transitions, processor seconds. Without a guard the first error is enough.
check() {
  spin -a "$@" "$model" >/dev/null
  # What the coordinator may do depends on its life, which rules the reduction out.
  gcc -O2 -w -DNOREDUCE -DSAFETY -DMEMLIM=8000 -o pan pan.c
  ./pan -m200000 >out 2>&1 || true
  errors=$(sed -n 's/.*errors: //p' out)
  printf '%-28s errors: %s, states: %s, transitions: %s, seconds: %s\n' "${*:-two recoverers}" "$errors" \
    "$(sed -n 's/^ *\([0-9]*\) states, stored.*/\1/p' out)" \
    "$(sed -n 's/^ *\([0-9]*\) transitions.*/\1/p' out)" \
    "$(sed -n 's/^pan: elapsed time \([0-9.e+]*\) seconds/\1/p' out)"
}

failed=0
for who in "" -DOPERATOR; do
  check ${who:+"$who"}
  [[ $errors == 0 ]] || failed=1
done
for guard in TOMBSTONE REGISTER FENCE ROW OBEYING EPOCH PROOF; do
  check -DOPERATOR "-DNO_$guard"
  [[ $errors == 1 ]] || failed=1
done
exit "$failed"
