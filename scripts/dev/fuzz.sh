#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Fuzzes the parsers of data files with libFuzzer under address and undefined-behaviour sanitizers.
#   scripts/dev/fuzz.sh [SECONDS] [TARGETS...]     default: 20 seconds each of listops_tsv retrieval_tsv cifar png metadata cache_header provenance
#   scripts/dev/fuzz.sh --keep                     adds what was found to reach new code to the corpus in tests/data/fuzz (small inputs only)
# A finding is written to build/fuzz/findings and ends the script with status 1. Without clang and its runtime the script says so and ends well.
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
cd "$root"
if [[ ${1:-} == -h || ${1:-} == --help ]]; then
  script_help
  exit
fi

clang=${CLANGXX:-$(command -v clang++ || command -v clang++-14 || true)}
tree=$root/build/fuzz
if [[ -z $clang ]] || ! "$clang" -fsanitize=fuzzer -x c++ - -o /dev/null <<<'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }' 2>/dev/null; then
  say "skipped: no clang++ with the fuzzer runtime (Debian: clang and libclang-rt-14-dev)"
  exit
fi

all=(listops_tsv retrieval_tsv cifar png metadata cache_header provenance)
keep=no
if [[ ${1:-} == --keep ]]; then
  keep=yes
  shift
fi
seconds=${1:-20}
[[ $seconds =~ ^[0-9]+$ ]] || die "the first argument is a number of seconds, got '$seconds'."
(($# == 0)) || shift
targets=("$@")
((${#targets[@]} > 0)) || targets=("${all[@]}")

build_fuzzers() {
  mkdir -p "$tree"
  cmake -S "$root" -B "$tree" -G Ninja -DCMAKE_CXX_COMPILER="$clang" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DLOTFORMER_TORCH=OFF -DLOTFORMER_CUDA=OFF \
    -DLOTFORMER_TESTS=OFF -DLOTFORMER_FUZZ=ON -DLOTFORMER_SANITIZE=fuzzer-no-link,address,undefined >"$tree/configure.log" 2>&1 ||
    { tail -n 20 "$tree/configure.log" >&2; die "configuring failed."; }
  NINJA_STATUS='    [%f/%t, %e s] ' cmake --build "$tree" --parallel "$(build_jobs)" --target "${targets[@]/#/fuzz_}" >"$tree/build.log" 2>&1 ||
    { tail -n 30 "$tree/build.log" >&2; die "building failed."; }
}

fuzz() {
  local target=$1 log=$tree/$1.log status=0
  local corpus=$tree/corpus/$target
  mkdir -p "$corpus" "$tree/findings"
  "$tree/bin/fuzz_$target" -max_total_time="$seconds" -max_len=16384 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
    -artifact_prefix="$tree/findings/$target-" "$corpus" "$root/tests/data/fuzz/$target" >"$log" 2>&1 || status=$?
  if ((status != 0)); then
    grep -E 'ERROR|SUMMARY|Test unit written' "$log" >&2 || tail -n 20 "$log" >&2
    die "fuzz_$target has a finding: see ${log#"$root"/}."
  fi
  say "    $target: $(awk '/number_of_executed_units/ { print $2 }' "$log") runs, $(grep -oE 'cov: [0-9]+' "$log" | tail -n 1), no finding"
}

# The smallest set of inputs with the same coverage; nothing above 4 KiB, so that the repository stays small.
keep_corpus() {
  local target=$1 kept=$root/tests/data/fuzz/$1
  "$tree/bin/fuzz_$target" -merge=1 -max_len=4096 "$kept" "$tree/corpus/$target" >"$tree/$target-merge.log" 2>&1
  say "    $target: $(find "$kept" -type f | wc -l) inputs kept"
}

stage "Building the fuzzers" build_fuzzers
for target in "${targets[@]}"; do
  if [[ $keep == yes ]]; then keep_corpus "$target"; else fuzz "$target"; fi
done
