#!/bin/sh
# Finds Chromium, or installs it from Debian's packages where that is possible.
# Without one the browser tests are skipped, except under CI=true, where this fails.
set -eu

find_chromium() {
  for name in ${CHROMIUM_BIN:-} chromium chromium-browser google-chrome; do
    command -v "$name" && return 0
  done
  return 1
}

find_chromium >/dev/null && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo 'Installing Chromium from the Debian packages'
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; } >/dev/null || true
  find_chromium >/dev/null && exit 0
fi
echo 'realtime-byok: Chromium is missing (Debian: apt-get install chromium, or set CHROMIUM_BIN); browser tests cannot run' >&2
[ "${CI:-}" != true ]
