# shellcheck shell=bash
# Sourced by scripts that need a Docker engine: uses the one that answers, or starts one of its own (as root on
# Debian, installing it if need be) with its own socket and folder, so that nothing of it stays on
# the machine.
#
#   engine_start [dockerd option …]
#   engine_stop       in the EXIT trap
#   engine_install package …

engine_pid=
engine_work=

engine_fail() {
  echo "${0##*/}: $*" >&2
  exit 1
}

# Programs and the Debian packages that have them: engine_install dockerd:docker.io …
engine_install() {
  local missing=() one
  for one; do
    command -v "${one%%:*}" >/dev/null || missing+=("${one##*:}")
  done
  ((${#missing[@]} > 0)) || return 0
  [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null ||
    engine_fail "needs ${missing[*]}, and only root on Debian can install them from here"
  echo "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# Without arguments Docker chooses the storage driver; where that fails, the one that needs nothing.
engine_start() {
  if docker info >/dev/null 2>&1; then return 0; fi
  [[ $(id -u) == 0 ]] ||
    engine_fail 'no Docker engine answers, and only root can start one: set DOCKER_HOST'
  engine_install dockerd:docker.io debootstrap:debootstrap
  engine_work=$(mktemp -d)
  export DOCKER_HOST=unix://$engine_work/docker.sock
  engine_try "$@" || engine_try --storage-driver=vfs "$@" ||
    engine_try --storage-driver=vfs --iptables=false "$@" || {
    tail -30 "$engine_work/log" >&2
    engine_fail 'dockerd does not start'
  }
  echo "started $(docker info --format 'Docker {{.ServerVersion}} with {{.Driver}}' 2>/dev/null)"
}

engine_try() {
  rm -rf "$engine_work/data"
  dockerd --host "$DOCKER_HOST" --data-root "$engine_work/data" --exec-root "$engine_work/exec" \
    --pidfile "$engine_work/docker.pid" "$@" >"$engine_work/log" 2>&1 </dev/null &
  engine_pid=$!
  for _ in {1..150}; do
    if docker info >/dev/null 2>&1; then return 0; fi
    kill -0 "$engine_pid" 2>/dev/null || break
    sleep 0.2
  done
  engine_halt
  return 1
}

engine_halt() {
  [[ -n $engine_pid ]] || return 0
  kill "$engine_pid" 2>/dev/null || true
  wait "$engine_pid" 2>/dev/null || true
  engine_pid=
}

engine_stop() {
  engine_halt
  [[ -n $engine_work ]] || return 0
  # A container on the host's network leaves the name of that name space mounted.
  umount "$engine_work"/exec/netns/* 2>/dev/null || true
  rm -rf "$engine_work" || echo "left behind: $engine_work" >&2
}
