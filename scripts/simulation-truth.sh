#!/bin/bash
# Compares the simulated server of test/simulation with real ones of every supported version.
#
#   scripts/simulation-truth.sh [option of simulate:truth …]
#
# PGXA_MATRIX names the versions (default "14 15 16 17 18"). All of them are run, also after one has failed.
set -uo pipefail
cd "$(dirname "$0")/.."

failed=()
for major in ${PGXA_MATRIX:-14 15 16 17 18}; do
  if ! { scripts/install-postgres.sh "$major" &&
    PGXA_TEST_POSTGRES_MAJOR=$major npx tsx test/simulation/truth-main.ts "$@"; }; then
    failed+=("$major")
  fi
done
if ((${#failed[@]} > 0)); then
  echo "simulation truth: FAILED on PostgreSQL ${failed[*]}" >&2
  exit 1
fi
