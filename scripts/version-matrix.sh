#!/bin/bash
# Runs the tests against every supported PostgreSQL version with the embedded servers.
#
#   scripts/version-matrix.sh [test file …]     default: the whole suite
#
# PGXA_MATRIX names the versions (default "14 15 16 17 18"). All of them are run, also after one
# has failed, and the last lines say which did.
set -uo pipefail
cd "$(dirname "$0")/.."

failed=()
for major in ${PGXA_MATRIX:-14 15 16 17 18}; do
  printf '\n=== PostgreSQL %s\n' "$major"
  if ! { scripts/install-postgres.sh "$major" &&
    PGXA_TEST_PROVIDER=embedded PGXA_TEST_POSTGRES_MAJOR=$major npx vitest run "$@"; }; then
    failed+=("$major")
  fi
done
if ((${#failed[@]} > 0)); then
  echo "version matrix: FAILED on PostgreSQL ${failed[*]}" >&2
  exit 1
fi
echo "version matrix: passed on PostgreSQL ${PGXA_MATRIX:-14 15 16 17 18}"
