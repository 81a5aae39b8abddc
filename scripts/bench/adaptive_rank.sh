#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Does the rank of LOTFormer shrink where it can, at equal accuracy? Short ListOps and made-up reviews, each trained with a fixed rank and
# with one that adapts, from the same seeds. A Markdown table on stdout; runs and data in DIR (the same command again continues).
#   scripts/bench/adaptive_rank.sh --out DIR [--steps N] [--seeds "0 1"] [--tasks "listops text"] [--budget X] [lotformer-train arguments...]
#     --steps   optimiser steps of a ListOps run (default: 1000; text takes a fifth of them)
#     --budget  adaptive_rank.budget (default: 0.05)
# DIR/ranks.jsonl collects what every survey found and changed, and the diagnostics of the control at the same steps.
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"

out="" steps=1000 seeds="0 1" tasks="listops text" budget=0.05 pivots=32 more=()
while (($# > 0)); do
  case $1 in
    --out | --steps | --seeds | --tasks | --budget) (($# > 1)) || die "$1 needs a value" ;;&
    --out) out=$2; shift 2 ;;
    --steps) steps=$2; shift 2 ;;
    --seeds) seeds=$2; shift 2 ;;
    --tasks) tasks=$2; shift 2 ;;
    --budget) budget=$2; shift 2 ;;
    -h | --help) script_help; exit ;;
    *) more+=("$1"); shift ;;
  esac
done
[[ -n $out ]] || die "--out DIR is missing"
if [[ ! $steps =~ ^[1-9][0-9]*$ ]] || ((steps < 50)); then die "--steps must be a whole number from 50, got '$steps'"; fi
for task in $tasks; do
  [[ $task == listops || $task == text ]] || die "--tasks: '$task' is none of listops, text"
done
train=${LOTFORMER_TRAIN:-$bin/lotformer-train} data=${LOTFORMER_DATA:-$bin/lotformer-data}
command -v python3 >/dev/null || die "python3 is missing: it makes the table"
mkdir -p "$out/data"

# make_data TASK ARGUMENTS...: once.
make_data() {
  [[ " $tasks " == *" $1 "* && ! -e $out/data/$1.made ]] || return 0
  "$data" generate --task "$1" --root "$out/data/$1" --seed 0 "${@:2}" >&2
  touch "$out/data/$1.made"
}
make_data listops --train 20000 --val 1000 --test 1000 --min-length 3 --max-length 2000 --max-depth 3 --max-args 4
make_data text --train 4000 --test 500

# measure TASK STEPS fixed|adaptive SEED
# Uniform masses, which adaptive_rank needs, and the heads, pooling and positions of the committed table, whatever the configuration has.
measure() {
  local run=$out/$1-$3-$4 surveys=()
  # Nine surveys: none behind the last step.
  if [[ $3 == adaptive ]]; then
    surveys=(--set "model.attention.adaptive_rank.every=$(($2 / 10))" --set model.attention.adaptive_rank.min=2
             --set "model.attention.adaptive_rank.max=$pivots" --set "model.attention.adaptive_rank.budget=$budget")
  fi
  "$train" --config "lra/smoke/$1.yaml" --run-dir "$run" --json --set "data.root=$out/data/$1" --set "train.steps=$2" \
    --set "train.seed=$4" --set model.attention.kind=lotformer --set "model.attention.pivots=$pivots" \
    --set model.attention.pivot_init=unit_score --set model.attention.token_masses=uniform --set model.pooling=mean \
    --set model.position_init=normal --set model.end_positions=false --set model.heads=2 --set model.head_dim=32 --set "train.diagnostics_every=$(($2 / 10))" "${surveys[@]}" "${more[@]}" \
    >"$run.json" 2>"$run.log" || die "$1, $3, seed $4: $(tail -n 1 "$run.log")"
  grep -E '"split":"(rank|diagnostics)"' "$run/metrics.jsonl" | sed "s/^{/{\"run\":\"$1-$3-$4\",/" >>"$out/ranks.jsonl"
  python3 "$root/scripts/bench/adaptive_rank_row.py" "$run" "$pivots" "$1" "$3" "$4" "$2"
}
: >"$out/ranks.jsonl"
echo "| task | rank | seed | steps | test accuracy, % | test loss | effective rank of the layers at the end | pivots of the layers, from survey to survey |"
echo "| --- | --- | --- | --- | --- | --- | --- | --- |"
for task in $tasks; do
  for seed in $seeds; do
    for rank in fixed adaptive; do
      measure "$task" "$([[ $task == text ]] && echo $((steps / 5)) || echo "$steps")" "$rank" "$seed"
    done
  done
done
