#!/bin/bash
# Builds a PostgreSQL image without pulling anything: a minimal Debian with its PostgreSQL package,
# from the mirror that this machine's apt uses. For machines that reach no image registry.
#
#   docker/postgres-image.sh [image]        default: pgxa/postgres:15
#
# Needs root, Debian 12 (bookworm), debootstrap and a running Docker engine.
set -euo pipefail

image=${1:-pgxa/postgres:15}
version=15
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=docker/debian-rootfs.sh
. "$here/debian-rootfs.sh"

command -v docker >/dev/null || {
  echo 'docker is missing: apt-get install docker.io' >&2
  exit 1
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rootfs=$work/rootfs
debian_rootfs "$rootfs" "postgresql-$version"

# Left out: the cluster that the package made, and the JIT compiler with its 120 MB library.
rm -rf "$rootfs"/var/lib/postgresql/* "$rootfs"/etc/postgresql/* \
  "$rootfs"/usr/lib/postgresql/"$version"/lib/{llvmjit*,bitcode} \
  "$rootfs"/usr/lib/llvm-* "$rootfs"/usr/lib/*/libLLVM-* "$rootfs"/usr/lib/*/libz3.so*
install -m 755 "$here/postgres-entrypoint.sh" "$rootfs/usr/local/bin/entrypoint"

import_rootfs "$rootfs" "$image" \
  --change 'ENTRYPOINT ["/usr/local/bin/entrypoint"]' \
  --change 'CMD ["postgres"]' \
  --change 'ENV LANG=C.UTF-8 PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin' \
  --change 'EXPOSE 5432' \
  --change 'VOLUME /var/lib/postgresql/data'
