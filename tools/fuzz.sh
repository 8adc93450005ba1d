#!/bin/sh
# Runs the targets of fuzz/, all or those that are named, each for so many seconds: fuzz.sh SECONDS [TARGET...]
# FUZZ_OPTIONS are libFuzzer's, such as -max_len=512. Ends at the first finding, whose input cargo-fuzz leaves in
# fuzz/artifacts.
set -eu
seconds=$1
shift
cd "$(dirname "$0")/../fuzz"

for target in ${*:-$(cargo fuzz list)}; do
  echo "$target, for $seconds s"
  mkdir -p "corpus/$target"
  # What it finds goes into the first folder, which git does not know.
  cargo fuzz run "$target" "corpus/$target" "seeds/$target" -- -dict=dictionary -max_total_time="$seconds" -print_final_stats=1 ${FUZZ_OPTIONS:-}
done
