#!/bin/sh
# Checks that tools are there: require.sh TOOL...
# A missing one ends with one line that says how to get it.
set -eu

missing() {
  echo "realtime-byok: $1 is missing: $2" >&2
  exit 1
}

for tool; do
  case $tool in
    rustup) how='install it from https://rustup.rs' ;;
    python3) how='install Python 3.9 or newer with venv (Debian: apt-get install python3 python3-venv)' ;;
    node) how='install Node.js 20.15 or newer from https://nodejs.org' ;;
    npm) how='it comes with Node.js, see https://nodejs.org' ;;
    openssl) how='install OpenSSL (Debian: apt-get install openssl)' ;;
    docker) how='install Docker, see https://docs.docker.com/engine/install' ;;
    *) how='install it' ;;
  esac
  command -v "$tool" >/dev/null 2>&1 || missing "$tool" "$how"
  if [ "$tool" = node ]; then
    node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 15) ? 0 : 1)' ||
      missing 'a recent Node.js' "found $(node --version); $how"
  fi
done
