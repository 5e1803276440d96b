#!/bin/bash
# The alert rules, by Prometheus's own checker: their syntax, and what they say to made-up series.
# Installs it as root on Debian where it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/docker-engine.sh
. scripts/docker-engine.sh

engine_install promtool:prometheus
promtool check rules observability/pgxa.rules.yml
promtool test rules observability/pgxa.rules.test.yml
