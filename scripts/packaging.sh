#!/bin/bash
# Tests what is around the daemon on the real thing: the unit under a real systemd in a container, and
# docker/compose.yaml with the image of docker/Dockerfile; and completion in zsh and fish. Brings all that this needs: a Docker engine (one of
# our own if none answers; root only) and images that are built here, since none can be pulled everywhere.
#
#   scripts/packaging.sh [test file …]
#
#   PGXA_SYSTEMD_IMAGE   boots systemd and has node; default pgxa/systemd:local, built by docker/node-image.sh
#   NODE_IMAGE           base of docker/Dockerfile; default pgxa/node:local, built by docker/node-image.sh
#   POSTGRES_IMAGE       default pgxa/postgres:15, built by docker/postgres-image.sh
set -euo pipefail
cd "$(dirname "$0")/.."

export PGXA_SYSTEMD_IMAGE=${PGXA_SYSTEMD_IMAGE:-pgxa/systemd:local}
export NODE_IMAGE=${NODE_IMAGE:-pgxa/node:local}
export POSTGRES_IMAGE=${POSTGRES_IMAGE:-pgxa/postgres:15}
# An image that is built where it is used reaches npm the way that its machine does.
export BUILD_NETWORK=${BUILD_NETWORK:-host}
# shellcheck source=scripts/docker-engine.sh
. scripts/docker-engine.sh

clean_up() {
  local status=$?
  docker ps -aq --filter label=pgxa.test=systemd 2>/dev/null | xargs -r docker rm -f -v >/dev/null || true
  docker ps -aq --filter label=com.docker.compose.project=pgxa-test 2>/dev/null |
    xargs -r docker rm -f -v >/dev/null || true
  engine_stop
  return "$status"
}
trap clean_up EXIT

# The plug-in where it is installed, else Debian's program.
if docker compose version >/dev/null 2>&1; then
  export PGXA_COMPOSE='docker compose'
else
  engine_install docker-compose:docker-compose
  export PGXA_COMPOSE=docker-compose
fi
engine_start
engine_install debootstrap:debootstrap zsh:zsh fish:fish

has_image() { docker image inspect "$1" >/dev/null 2>&1; }
has_image "$PGXA_SYSTEMD_IMAGE" || docker/node-image.sh "$PGXA_SYSTEMD_IMAGE" systemd
has_image "$NODE_IMAGE" || docker/node-image.sh "$NODE_IMAGE"
has_image "$POSTGRES_IMAGE" || docker/postgres-image.sh "$POSTGRES_IMAGE"

npx vitest run --config packaging/vitest.config.ts "$@"
docker image inspect --format 'pgxa/daemon: {{.Size}} bytes' pgxa/daemon 2>/dev/null || true
