#!/bin/sh
# Ensures the toolchain that a rust-toolchain.toml pins, with its components and targets: rust.sh [DIRECTORY]
# Works with RUSTUP_AUTO_INSTALL=0, where the file alone installs nothing.
set -eu
cd "$(dirname "$0")/../${1:-.}"

pinned() { sed -n "s/^$1 *= *//p" rust-toolchain.toml | tr -d '"[],'; }
channel=$(pinned channel)

if ! rustup run "$channel" rustc --version >/dev/null 2>&1; then
  rustup toolchain install "$channel" --profile minimal --no-self-update
fi
# Both do nothing, and need no network, where the parts are already there. The lists are split on purpose.
components=$(pinned components)
targets=$(pinned targets)
[ -z "$components" ] || rustup --quiet component add --toolchain "$channel" $components
[ -z "$targets" ] || rustup --quiet target add --toolchain "$channel" $targets
