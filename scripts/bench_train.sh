#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Training speed and peak memory of several attention modules in one run on this machine: interleaved rounds, medians, ratios to the first.
#   scripts/bench_train.sh [--steps N] [--rounds N] [--config FILE] [--kinds "softmax lotformer"] [lotformer-train arguments...]
# Prints a Markdown table on stdout and one JSON line a measurement on stderr. Each measurement is a run of its own of N steps; the time is
# that of the training steps after the first log window (which holds the warm-up of allocator and caches).
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
cd "$root"

steps=20 rounds=3 config=lra/listops.yaml kinds="softmax lotformer" more=()
while (($# > 0)); do
  case $1 in
    --steps) steps=$2; shift 2 ;;
    --rounds) rounds=$2; shift 2 ;;
    --config) config=$2; shift 2 ;;
    --kinds) kinds=$2; shift 2 ;;
    *) more+=("$1"); shift ;;
  esac
done
window=$((steps / 4 > 0 ? steps / 4 : 1))
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# Seconds a step, tokens a second and peak MiB of a run, without its first log window.
measure() {
  awk '
    function number(key) { return match($0, "\"" key "\": *[-+.0-9e]+") ? substr($0, RSTART + length(key) + 3, RLENGTH - length(key) - 3) + 0 : 0 }
    /"phase": *"train"/ && ++lines > 1 { steps += number("steps"); seconds += number("seconds"); tokens += number("tokens"); peak = number("peak_memory_bytes") }
    END { printf "%.6f %.1f %.1f\n", seconds / steps, tokens / seconds, peak / 1048576 }' "$1/timings.jsonl"
}

for ((round = 1; round <= rounds; round++)); do
  for kind in $kinds; do
    run=$folder/$kind-$round
    "$bin/lotformer-train" --config "$config" --run-dir "$run" --set "model.attention.kind=$kind" --set "train.steps=$steps" --set train.warmup_steps=0 \
      --set "train.log_every=$window" --set eval.max_examples=32 "${more[@]}" >"$run.out" 2>"$run.err" || { cat "$run.err" >&2; exit 1; }
    read -r seconds tokens peak < <(measure "$run")
    echo "$kind $seconds $tokens $peak" >>"$folder/table"
    echo "{\"attention\": \"$kind\", \"round\": $round, \"seconds_per_step\": $seconds, \"tokens_per_second\": $tokens, \"peak_mib\": $peak}" >&2
  done
done

median() { awk -v kind="$1" -v column="$2" '$1 == kind { print $column }' "$folder/table" | sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

first=${kinds%% *}
echo "| attention | s/step (median of $rounds) | steps/s | tokens/s | peak memory, MiB | time, ratio to $first |"
echo "| --- | --- | --- | --- | --- | --- |"
for kind in $kinds; do
  awk -v kind="$kind" -v s="$(median "$kind" 2)" -v t="$(median "$kind" 3)" -v p="$(median "$kind" 4)" -v base="$(median "$first" 2)" \
    'BEGIN { printf "| %s | %.3f | %.2f | %.0f | %.0f | %.2f |\n", kind, s, 1 / s, t, p, s / base }'
done
