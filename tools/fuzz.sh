#!/bin/sh
# Runs the targets of fuzz/, all or those that are named, each for so many seconds: fuzz.sh SECONDS [TARGET...]
# Ends at the first finding, whose input cargo-fuzz leaves in fuzz/artifacts.
set -eu
seconds=$1
shift
cd "$(dirname "$0")/../fuzz"

for target in ${*:-$(cargo fuzz list)}; do
  echo "$target, for $seconds s"
  cargo fuzz run "$target" -- -max_total_time="$seconds" -print_final_stats=1
done
