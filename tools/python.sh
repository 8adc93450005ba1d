#!/bin/sh
# Makes the venv with Envoy and the Python test packages: python.sh DIRECTORY
set -eu
directory=$1
[ -x "$directory/bin/pip" ] || python3 -m venv --clear "$directory" || {
  echo 'realtime-byok: python3 cannot make a venv: install it (Debian: apt-get install python3-venv)' >&2
  exit 1
}
"$directory/bin/pip" install --quiet --disable-pip-version-check --requirement "$(dirname "$0")/../tests/requirements.txt"
