#!/bin/sh
# Finds Prometheus and promtool, or unpacks Debian's into a directory: prometheus.sh DIRECTORY
# Without them the tests that need them are skipped, except under CI=true, where this fails.
set -eu
directory=$1

are_in() { [ -x "$1/prometheus" ] && [ -x "$1/promtool" ]; }

are_in "${PROMETHEUS_BIN:-/nowhere}" && exit 0
are_in "$directory/usr/bin" && exit 0
command -v prometheus >/dev/null && command -v promtool >/dev/null && exit 0

if command -v apt-get >/dev/null 2>&1 && command -v dpkg-deb >/dev/null 2>&1; then
  echo "Unpacking Prometheus from the Debian packages"
  mkdir -p "$directory"
  cd "$directory"
  # apt-get checks the package against the archive's signatures.
  { apt-get download -qq prometheus || { apt-get update -qq && apt-get download -qq prometheus; }; } >/dev/null 2>&1 &&
    dpkg-deb --extract prometheus_*.deb . && rm prometheus_*.deb
  cd - >/dev/null
  are_in "$directory/usr/bin" && exit 0
fi
echo 'realtime-byok: Prometheus is missing (Debian: apt-get install prometheus, or set PROMETHEUS_BIN to its directory); its tests cannot run' >&2
[ "${CI:-}" != true ]
