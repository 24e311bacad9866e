#!/bin/sh
# Starts the master from its sources for development: tools/run.sh [--watch] [serve flags].
# The simulation TEE, ./data and port 8080 are only defaults: what the environment says wins.
set -eu
cd "$(dirname -- "$0")/.."
: "${TEE_MODE=simulation}" "${NAUTILUS_DATA_DIR=./data}" "${NAUTILUS_LISTEN=127.0.0.1:8080}"
export TEE_MODE NAUTILUS_DATA_DIR NAUTILUS_LISTEN
if [ "${1-}" = --watch ]; then
  shift
  exec tools/deno.sh run --quiet --watch -A main.ts serve "$@"
fi
exec tools/deno.sh run --quiet --frozen -A main.ts serve "$@"
