# shellcheck shell=bash
# Sourced by scripts that build an image without pulling one: a minimal Debian from the mirror that this
# machine's apt uses. Needs root, Debian 12 (bookworm) and debootstrap.
#
#   debian_rootfs <folder> <package,package>

debian_rootfs() {
  local rootfs=$1 packages=$2 suite=bookworm mirror proxy=
  command -v debootstrap >/dev/null || {
    echo 'debootstrap is missing: apt-get install debootstrap' >&2
    return 1
  }
  [[ $(id -u) == 0 ]] || {
    echo 'debootstrap needs root' >&2
    return 1
  }
  # Where apt gets the suite's main packages from, and through which proxy.
  # shellcheck disable=SC2016
  mirror=$(apt-get indextargets --format '$(CODENAME) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
    awk -v suite="$suite" '$1 == suite && $2 == "main" { print $3; exit }')
  [[ -n $mirror ]] || {
    echo "apt knows no source for $suite main: is this Debian 12, and has apt-get update run?" >&2
    return 1
  }
  eval "$(apt-config shell proxy Acquire::http::Proxy)"
  [[ -z ${proxy:-} ]] || export http_proxy=$proxy
  # Only files that everybody may read reach the image; the folder itself becomes its root.
  install -d -m 755 "$rootfs"
  debootstrap --variant=minbase --include="$packages" "$suite" "$rootfs" "$mirror" >"$rootfs.log" || {
    tail -30 "$rootfs.log" "$rootfs/debootstrap/debootstrap.log" >&2
    return 1
  }
  # Storage drivers without sharing copy the whole image for every container.
  rm -rf "$rootfs"/var/cache/* "$rootfs"/var/lib/apt/lists/* "$rootfs"/var/log/* \
    "$rootfs"/usr/share/{doc,man,info,locale,i18n}
}

# The folder as an image: import_rootfs <folder> <image> [docker import option …]
import_rootfs() {
  local rootfs=$1 image=$2
  shift 2
  tar -C "$rootfs" --exclude='./proc/*' --exclude='./sys/*' --exclude='./dev/*' -c . |
    docker import "$@" - "$image" >/dev/null
  echo "built $image: $(docker image inspect --format '{{.Size}}' "$image" |
    awk '{ print int($1 / 1e6) " MB" }')"
}
