#!/bin/bash
# Builds a PostgreSQL image without pulling anything: a minimal Debian with its PostgreSQL package,
# from the mirror that this machine's apt uses. For machines that reach no image registry.
#
#   docker/postgres-image.sh [image]        default: pgxa/postgres:15
#
# Needs root, Debian 12 (bookworm), debootstrap and a running Docker engine.
set -euo pipefail

image=${1:-pgxa/postgres:15}
suite=bookworm
version=15
here=$(cd "$(dirname "$0")" && pwd)

for program in debootstrap docker; do
  command -v "$program" >/dev/null || {
    echo "$program is missing: apt-get install debootstrap docker.io" >&2
    exit 1
  }
done
[[ $(id -u) == 0 ]] || {
  echo 'debootstrap needs root' >&2
  exit 1
}

# Where apt gets the suite's main packages from, and through which proxy.
# shellcheck disable=SC2016
mirror=$(apt-get indextargets --format '$(CODENAME) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
  awk -v suite="$suite" '$1 == suite && $2 == "main" { print $3; exit }')
[[ -n $mirror ]] || {
  echo "apt knows no source for $suite main: is this Debian 12, and has apt-get update run?" >&2
  exit 1
}
eval "$(apt-config shell proxy Acquire::http::Proxy)"
[[ -z ${proxy:-} ]] || export http_proxy=$proxy

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Only files that everybody may read reach the image; the folder itself becomes its root.
rootfs=$work/rootfs
install -d -m 755 "$rootfs"

debootstrap --variant=minbase --include="postgresql-$version" \
  "$suite" "$rootfs" "$mirror" >"$work/log" || {
  tail -30 "$work/log" "$rootfs/debootstrap/debootstrap.log" >&2
  exit 1
}

# Storage drivers without sharing copy the whole image for every container. Left out: the cluster
# that the package made, package caches, documentation, and the JIT compiler with its 120 MB library.
rm -rf "$rootfs"/var/lib/postgresql/* "$rootfs"/etc/postgresql/* \
  "$rootfs"/var/cache/* "$rootfs"/var/lib/apt/lists/* "$rootfs"/var/log/* \
  "$rootfs"/usr/share/{doc,man,info,locale,i18n} \
  "$rootfs"/usr/lib/postgresql/"$version"/lib/{llvmjit*,bitcode} \
  "$rootfs"/usr/lib/llvm-* "$rootfs"/usr/lib/*/libLLVM-* "$rootfs"/usr/lib/*/libz3.so*
install -m 755 "$here/postgres-entrypoint.sh" "$rootfs/usr/local/bin/entrypoint"

tar -C "$rootfs" --exclude='./proc/*' --exclude='./sys/*' --exclude='./dev/*' -c . |
  docker import \
    --change 'ENTRYPOINT ["/usr/local/bin/entrypoint"]' \
    --change 'CMD ["postgres"]' \
    --change 'ENV LANG=C.UTF-8 PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin' \
    --change 'EXPOSE 5432' \
    --change 'VOLUME /var/lib/postgresql/data' \
    - "$image" >/dev/null
echo "built $image: $(docker image inspect --format '{{.Size}}' "$image" | awk '{ print int($1 / 1e6) " MB" }')"
