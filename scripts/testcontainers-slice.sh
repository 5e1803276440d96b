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
engine=
work=

fail() {
  echo "testcontainers slice: $*" >&2
  exit 1
}

install_packages() {
  local missing=()
  command -v dockerd >/dev/null || missing+=(docker.io)
  command -v debootstrap >/dev/null || missing+=(debootstrap)
  ((${#missing[@]} > 0)) || return 0
  [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null ||
    fail "needs ${missing[*]}, and only root on Debian can install them from here"
  echo "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# Starts an engine with its own socket and folder, so that nothing of it stays on the machine.
# Without arguments Docker chooses the storage driver; where that fails, the one that needs nothing.
try_engine() {
  rm -rf "$work/data"
  dockerd --host "unix://$work/docker.sock" --data-root "$work/data" --exec-root "$work/exec" \
    --pidfile "$work/docker.pid" "$@" >"$work/log" 2>&1 </dev/null &
  engine=$!
  for _ in {1..150}; do
    if docker info >/dev/null 2>&1; then return 0; fi
    kill -0 "$engine" 2>/dev/null || break
    sleep 0.2
  done
  stop_engine
  return 1
}

stop_engine() {
  [[ -n $engine ]] || return 0
  kill "$engine" 2>/dev/null || true
  wait "$engine" 2>/dev/null || true
  engine=
}

clean_up() {
  local status=$?
  # With the helper switched off, a killed test leaves its container to us.
  docker ps -aq --filter label=pgxa.test 2>/dev/null | xargs -r docker rm -f -v >/dev/null || true
  stop_engine
  [[ -z $work ]] || rm -rf "$work"
  return "$status"
}
trap clean_up EXIT

if ! docker info >/dev/null 2>&1; then
  [[ $(id -u) == 0 ]] || fail 'no Docker engine answers, and only root can start one: set DOCKER_HOST'
  install_packages
  work=$(mktemp -d)
  export DOCKER_HOST=unix://$work/docker.sock
  try_engine || try_engine --storage-driver=vfs || try_engine --storage-driver=vfs --iptables=false || {
    tail -30 "$work/log" >&2
    fail 'dockerd does not start'
  }
  echo "started $(docker info --format 'Docker {{.ServerVersion}} with {{.Driver}}' 2>/dev/null)"
fi

if ! docker image inspect "$PGXA_TEST_IMAGE" >/dev/null 2>&1; then
  if [[ $PGXA_TEST_IMAGE == pgxa/* ]]; then
    install_packages
    docker/postgres-image.sh "$PGXA_TEST_IMAGE"
  else
    docker pull -q "$PGXA_TEST_IMAGE" ||
      fail "image $PGXA_TEST_IMAGE cannot be pulled; without PGXA_TEST_IMAGE one is built here"
  fi
fi

files=()
for file in $slice; do
  if [[ -f $file ]]; then files+=("$file"); else echo "no such test file: $file" >&2; fi
done
((${#files[@]} > 0)) || fail "none of these exists: $slice"

PGXA_TEST_PROVIDER=testcontainers TESTCONTAINERS_RYUK_DISABLED=true npx vitest run "${files[@]}"
