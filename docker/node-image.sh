#!/bin/bash
# Builds an image with this machine's Node and npm without pulling anything: what docker/Dockerfile is
# tried on where no image registry can be reached. With "systemd" it boots systemd, for the tests
# of the unit.
#
#   docker/node-image.sh [image] [systemd]        default: pgxa/node:local
#
# Needs root, Debian 12 (bookworm), debootstrap and a running Docker engine.
set -euo pipefail

image=${1:-pgxa/node:local}
kind=${2:-plain}
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=docker/debian-rootfs.sh
. "$here/debian-rootfs.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rootfs=$work/rootfs
packages=libstdc++6,ca-certificates
[[ $kind != systemd ]] || packages+=,systemd,systemd-sysv,dbus,procps
debian_rootfs "$rootfs" "$packages"

install -m 755 "$(readlink -f "$(command -v node)")" "$rootfs/usr/local/bin/node"
if [[ $kind == systemd ]]; then
  # No getty, no mounts, no clock: a container has none of its own.
  for unit in getty.target systemd-logind.service systemd-timesyncd.service \
    systemd-udevd.service systemd-tmpfiles-clean.timer; do
    ln -sf /dev/null "$rootfs/etc/systemd/system/$unit"
  done
  # On a machine systemd makes the root mount shared by itself, and in a container it leaves that to others; its
  # credentials are mounted by a helper in another name space, and would not be seen without it.
  install -m 755 /dev/stdin "$rootfs/sbin/boot" <<'BOOT'
#!/bin/sh
mount --make-rshared / && exec /sbin/init
BOOT
  import_rootfs "$rootfs" "$image" --change 'CMD ["/sbin/boot"]' --change 'ENV container=docker'
  exit
fi

npm=$(npm root --global)/npm
install -d "$rootfs/usr/local/lib/node_modules"
cp -a "$npm" "$rootfs/usr/local/lib/node_modules/npm"
ln -s ../lib/node_modules/npm/bin/npm-cli.js "$rootfs/usr/local/bin/npm"
ln -s ../lib/node_modules/npm/bin/npx-cli.js "$rootfs/usr/local/bin/npx"
chroot "$rootfs" useradd --uid 1000 --user-group --create-home node
# A network that looks into TLS has an authority of its own.
variables='NODE_VERSION=local'
if [[ -n ${NODE_EXTRA_CA_CERTS:-} ]]; then
  install -D -m 644 "$NODE_EXTRA_CA_CERTS" "$rootfs/etc/ssl/node-extra-ca.pem"
  variables+=' NODE_EXTRA_CA_CERTS=/etc/ssl/node-extra-ca.pem'
fi
import_rootfs "$rootfs" "$image" --change 'CMD ["node"]' --change "ENV $variables"
