#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# One process of one thread, one of two threads, and two processes of one thread at the same batches: seconds a step, and how many times as fast.
#   scripts/bench/processes.sh [FOLDER]      data and runs (a temporary folder otherwise); wants two idle cores, a finished build and mpirun; 3 minutes
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
if [[ ${1:-} == -h || ${1:-} == --help ]]; then
  script_help
  exit
fi
bin=$root/build/release/bin
folder=${1:-}
if [[ -z $folder ]]; then
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
fi
rm -rf "$folder/runs"
[[ -d $folder/listops ]] || "$bin/lotformer-data" generate --task listops --root "$folder/listops" --train 600 --val 8 --test 8
[[ -d $folder/image ]] || "$bin/lotformer-data" generate --task image --root "$folder/image" --train 600
for round in 1 2 3; do
  for task in listops image; do
    settings=(--config "lra/$task.yaml" --device cpu)
    for setting in "data.root=$folder/$task" train.steps=9 train.log_every=3 train.eval_every=0 train.checkpoint_every=0 eval.max_examples=4; do
      settings+=(--set "$setting")
    done
    if [[ $task == listops ]]; then settings+=(--set data.generate_missing=false); else settings+=(--set data.strict_counts=false); fi
    "$bin/lotformer-train" "${settings[@]}" --set train.threads=1 --run-dir "$folder/runs/$task-1x1-$round"
    "$bin/lotformer-train" "${settings[@]}" --set train.threads=2 --run-dir "$folder/runs/$task-1x2-$round"
    mpirun -n 2 "$bin/lotformer-train" "${settings[@]}" --set train.threads=1 --run-dir "$folder/runs/$task-2x1-$round"
  done
done >"$folder/log" 2>&1 || { tail -n 20 "$folder/log" >&2; die "a training failed, see above"; }
python3 - "$folder/runs" <<'PY'
import glob, json, statistics, sys

def seconds_a_step(file):
    """Of all lines of training but the first, whose steps warm up."""
    lines = [line for line in map(json.loads, open(file, encoding="utf-8")) if line["phase"] == "train"][1:]
    return sum(line["seconds"] for line in lines) / sum(line["steps"] for line in lines)

print("| task | 1 process, 1 thread | 1 process, 2 threads | 2 processes, 1 thread | times as fast: 2 threads | 2 processes |\n" + "| --- " * 6 + "|")
for task in ("listops", "image"):
    ways = [[seconds_a_step(f"{sys.argv[1]}/{task}-{way}-{round}/timings.jsonl") for round in (1, 2, 3)] for way in ("1x1", "1x2", "2x1")]
    ratios = [statistics.median(a / b for a, b in zip(ways[0], way)) for way in ways[1:]]
    print(f"| {task} | " + " | ".join([f"{statistics.median(way):.2f} s" for way in ways] + [f"{ratio:.2f}" for ratio in ratios]) + " |")
PY
