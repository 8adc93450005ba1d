#!/bin/sh
# Makes a self-signed certificate: tls.sh DIRECTORY [NAME...]
# Writes DIRECTORY/tls.crt and DIRECTORY/tls.key, for the given DNS names (default: localhost).
# An existing pair is left alone.
set -eu
umask 077

dir=${1:?usage: tls.sh DIRECTORY [NAME...]}
shift
[ $# -gt 0 ] || set -- localhost
[ -s "$dir/tls.crt" ] && [ -s "$dir/tls.key" ] && exit 0

names=""
for name; do names="$names,DNS:$name"; done

mkdir -p "$dir"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 \
  -subj "/CN=$1" -addext "subjectAltName=${names#,},IP:127.0.0.1" \
  -keyout "$dir/tls.key" -out "$dir/tls.crt" 2>/dev/null
chmod 644 "$dir/tls.crt"
