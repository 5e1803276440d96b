#!/bin/bash
# Runs a slice of the tests against containers, with all the setup that this needs: a Docker engine
# (one of our own if none answers; root only) and an image (one of our own if none was named).
#
#   PGXA_TESTCONTAINERS_SLICE   test files, those that exist are run
#   PGXA_TEST_IMAGE             default pgxa/postgres:15, built by docker/postgres-image.sh
set -euo pipefail
cd "$(dirname "$0")/.."

slice=${PGXA_TESTCONTAINERS_SLICE:-test/support/servers.test.ts test/run.test.ts}
export PGXA_TEST_IMAGE=${PGXA_TEST_IMAGE:-pgxa/postgres:15}
# shellcheck source=scripts/docker-engine.sh
. scripts/docker-engine.sh

clean_up() {
  local status=$?
  # With the helper switched off, a killed test leaves its container to us.
  docker ps -aq --filter label=pgxa.test 2>/dev/null | xargs -r docker rm -f -v >/dev/null || true
  engine_stop
  return "$status"
}
trap clean_up EXIT

engine_start

if ! docker image inspect "$PGXA_TEST_IMAGE" >/dev/null 2>&1; then
  if [[ $PGXA_TEST_IMAGE == pgxa/* ]]; then
    engine_install debootstrap:debootstrap
    docker/postgres-image.sh "$PGXA_TEST_IMAGE"
  else
    docker pull -q "$PGXA_TEST_IMAGE" ||
      engine_fail "image $PGXA_TEST_IMAGE cannot be pulled; without PGXA_TEST_IMAGE one is built here"
  fi
fi

files=()
for file in $slice; do
  if [[ -f $file ]]; then files+=("$file"); else echo "no such test file: $file" >&2; fi
done
((${#files[@]} > 0)) || engine_fail "none of these exists: $slice"

PGXA_TEST_PROVIDER=testcontainers TESTCONTAINERS_RYUK_DISABLED=true npx vitest run "${files[@]}"
