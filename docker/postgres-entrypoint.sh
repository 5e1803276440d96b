#!/bin/bash
# Entry point of the image that postgres-image.sh builds. It does what the tests need of the official
# image's one: first start makes the cluster, then PostgreSQL runs as process 1 with the arguments
# that the container was given ("postgres -c name=value", or only "-c name=value").
set -euo pipefail

bin=$(echo /usr/lib/postgresql/*/bin)
data=${PGDATA:-/var/lib/postgresql/data}
user=${POSTGRES_USER:-postgres}
as_postgres=(setpriv --reuid=postgres --regid=postgres --init-groups)

[[ ${1:-} == postgres ]] && shift

if [[ ! -s $data/PG_VERSION ]]; then
  if [[ -z ${POSTGRES_PASSWORD:-} && ${POSTGRES_HOST_AUTH_METHOD:-} != trust ]]; then
    echo 'set POSTGRES_PASSWORD, or POSTGRES_HOST_AUTH_METHOD=trust' >&2
    exit 1
  fi
  install -d -m 700 -o postgres -g postgres "$data"
  cd "$data"
  # Never on a command line, where every process could read it.
  password=$(mktemp)
  printf '%s\n' "${POSTGRES_PASSWORD:-unused}" >"$password"
  chown postgres "$password"
  "${as_postgres[@]}" "$bin/initdb" -D "$data" --username="$user" --pwfile="$password" \
    --auth-local=trust --auth-host=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 --no-sync
  rm "$password"
  echo "host all all all ${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}" >>"$data/pg_hba.conf"
  echo "listen_addresses = '*'" >>"$data/postgresql.conf"
  database=${POSTGRES_DB:-$user}
  if [[ $database != postgres ]]; then
    echo "create database \"${database//\"/\"\"}\"" |
      "${as_postgres[@]}" "$bin/postgres" --single -D "$data" -j postgres
  fi
fi

install -d -m 2775 -o postgres -g postgres /var/run/postgresql
cd "$data"
exec "${as_postgres[@]}" "$bin/postgres" -D "$data" "$@"
