#!/bin/bash
# Tests packaging/systemd/pgxa-daemon.service under a real systemd in a container, with all the setup that
# this needs: a Docker engine (one of our own if none answers; root only) and an image that boots
# systemd with this machine's Node.
#
#   PGXA_SYSTEMD_IMAGE   default pgxa/systemd:local, built by docker/node-image.sh
set -euo pipefail
cd "$(dirname "$0")/.."

export PGXA_SYSTEMD_IMAGE=${PGXA_SYSTEMD_IMAGE:-pgxa/systemd:local}
# shellcheck source=scripts/docker-engine.sh
. scripts/docker-engine.sh

clean_up() {
  local status=$?
  docker ps -aq --filter label=pgxa.test=systemd 2>/dev/null | xargs -r docker rm -f -v >/dev/null || true
  engine_stop
  return "$status"
}
trap clean_up EXIT

engine_start
docker image inspect "$PGXA_SYSTEMD_IMAGE" >/dev/null 2>&1 || {
  engine_install debootstrap:debootstrap
  docker/node-image.sh "$PGXA_SYSTEMD_IMAGE" systemd
}
npx vitest run --config packaging/vitest.config.ts
