#!/bin/bash
# Checks the Promela model of the protocol with spin (Debian: apt-get install spin), and that each guard is needed.
set -euo pipefail
model=$(cd "$(dirname "$0")/.." && pwd)/test/simulation/model/two-phase-commit.pml
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# Prints the verdict of one property: errors, states, seconds.
check() {
  local property=$1
  shift
  spin -a "$@" "$model" >/dev/null
  # Conditions on processes rule the reduction out.
  gcc -O2 -w -DNOREDUCE -DSAFETY -DMEMLIM=8000 -o pan pan.c
  ./pan -m1000000 -N "$property" >out 2>&1 || true
  errors=$(sed -n 's/.*errors: //p' out)
  printf '%-16s %-18s errors: %s, states: %s\n' "$property" "$*" "$errors" \
    "$(sed -n 's/^ *\([0-9]*\) states, stored.*/\1/p' out)"
}

failed=0
for property in atomic_outcome told_is_true decided_before no_orphan; do
  check "$property" && [[ $errors == 0 ]] || failed=1
done
for needed in NO_TOMBSTONE:atomic_outcome NO_REGISTER:atomic_outcome NO_FENCE:no_orphan; do
  property=${needed#*:}
  check "$property" "-D${needed%%:*}" && [[ $errors != 0 ]] || failed=1
done
exit "$failed"
