#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# From a fresh machine to a trained model in one command: installs what is missing, builds, makes the ListOps data, trains LOTFormer on
# it, evaluates the checkpoint. On a GPU the whole training; on a CPU a short run, and the command for the whole one.
#   scripts/quickstart.sh [arguments of lotformer-train...]      e.g. scripts/quickstart.sh --set train.steps=500
# Run it again and it goes on where it stopped: what is there is not made again, an interrupted training is resumed.
# Environment: LOTFORMER_DEPS_DIR (a .deps folder that clones share), CMAKE_PREFIX_PATH (your own LibTorch), LOTFORMER_PRESET.
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
cd "$root"
if [[ ${1:-} == -h || ${1:-} == --help ]]; then
  sed -n '3,8s/^# //p' "scripts/$(basename "$0")"
  exit
fi

programs=(lotformer-data lotformer-train lotformer-eval)
short_steps=200

# The last value that the arguments give KEY by --set KEY=value, else DEFAULT.
setting() {
  local value=$2 argument
  for argument in "${arguments[@]}"; do
    [[ $argument != "$1="* && $argument != "--set=$1="* ]] || value=${argument##*=}
  done
  echo "$value"
}

# The value that the arguments give OPTION, else nothing.
option() {
  local i
  for ((i = 0; i < ${#arguments[@]}; i++)); do
    case ${arguments[i]} in
      "$1") echo "${arguments[i + 1]:-}" ;;
      "$1="*) echo "${arguments[i]#*=}" ;;
    esac
  done | tail -n 1
}

# Prints the folder of ListOps below the data root, if it is there: the levels and names that the loader accepts.
find_dataset() {
  local folder
  for folder in "$data"/{,lra_release/,lra_release/lra_release/}{listops-1000,listops}; do
    if [[ -e $folder/basic_train.tsv ]]; then
      echo "$folder"
      return
    fi
  done
}

check_disk() {
  local need=500
  [[ -d $deps/torch-2.11.0 || -n ${CMAKE_PREFIX_PATH:-} ]] || need=$((need + 2500))
  [[ -x $bin/lotformer-eval ]] || need=$((need + 1000))
  [[ -n $(find_dataset) ]] || need=$((need + 1000))
  need_disk $need "$root" "quickstart.sh"
}

on_gpu() {
  local libraries gpus
  libraries=$(ldd "$bin/lotformer-train")
  gpus=$(nvidia-smi -L 2>/dev/null || true)
  [[ $(option --device) != cpu && $libraries == *libtorch_cuda* && $gpus == GPU* ]]
}

# Fills `train`: the user's arguments, after ours so that theirs win.
choose_training() {
  local steps defaults=()
  if on_gpu; then
    kind=full
    steps=$(setting train.steps 50000)
  else
    kind=short
    steps=$(setting train.steps $short_steps)
    defaults=(--set "train.steps=$short_steps" --set eval.max_examples=320 --set train.eval_every=100 --set train.checkpoint_every=50)
    say "    no GPU: a short run of $steps steps, evaluated on $(setting eval.max_examples 320) examples of each split"
  fi
  # A warm-up longer than the run is refused: a tenth of a run too short for the published 5,000 steps.
  if [[ $steps =~ ^[0-9]+$ ]] && ((steps < 50000)); then
    defaults+=(--set "train.warmup_steps=$((steps / 10))")
  fi
  train=("${defaults[@]}" "${arguments[@]}")
  [[ -n $(option --config) ]] || train=(--config lra/listops.yaml "${train[@]}")
  run=$(option --run-dir)
  if [[ -z $run ]]; then
    run=runs/quickstart-$kind-$(printf '%s\n' "${train[@]}" | sha256sum | cut -c 1-8)
    train+=(--run-dir "$run")
  fi
}

make_data() {
  "$bin/lotformer-data" generate --task listops --root "$data"
}

run_training() {
  local status=0
  "$bin/lotformer-train" "${train[@]}" || status=$?
  case $status in
    0) ;;
    75) say "Interrupted; the same command goes on from the last checkpoint."; exit 75 ;;
    *) say "    (exit code $status: see docs/troubleshooting.md)"; exit $status ;;   # the trainer has said what is wrong
  esac
}

# Some arguments make lotformer-train print something and stop: then there is no run to evaluate.
only_prints() {
  local argument
  for argument in "${arguments[@]}"; do
    case $argument in
      --dry-run | --print-config | --help-config* | --version) return 0 ;;
    esac
  done
  return 1
}

evaluate() {
  "$bin/lotformer-eval" "$run"
}

# Reads timings.jsonl: ", about H h here ..." for 50,000 steps with the published evaluations (every 1,000 steps, 2,000 examples; the
# test split twice).
estimate() {
  awk '
    function number(key) { return match($0, "\"" key "\": *[-+.0-9e]+") ? substr($0, RSTART + length(key) + 3, RLENGTH - length(key) - 3) + 0 : 0 }
    /"phase": *"train"/ { steps += number("steps"); train += number("seconds") }
    /"phase": *"eval"/ { examples += number("examples"); eval += number("seconds") }
    END {
      if (steps == 0 || examples == 0) exit
      seconds = 50000 * train / steps + (50 * 2000 + 2 * 2000) * eval / examples
      printf ", about %.1f hours on this machine (measured: %.2f steps/s, %.0f examples/s in evaluation)", seconds / 3600,
             steps / train, examples / eval
    }' "$run/timings.jsonl" 2>/dev/null || true
}

report() {
  say "==> Everything is there"
  say "    programs     ${bin#"$root"/}/"
  say "    data         $(find_dataset)/"
  say "    run          $run/  (checkpoints/, metrics.jsonl, results.json)"
  say "    evaluate     ${bin#"$root"/}/lotformer-eval $run"
  if [[ $kind == short ]]; then
    say "    whole run    ${bin#"$root"/}/lotformer-train --config lra/listops.yaml --run-dir runs/listops"
    say "                 50,000 steps$(estimate)"
  fi
}

arguments=("$@")
data=$(setting data.root data/lra)
check_disk
stage "Installing what is missing" scripts/deps.sh
use_own_cmake_if_needed
stage "Configuring ($preset)" configure "$preset"
stage "Building" build "$preset" "${programs[@]}"
[[ -n $(find_dataset) ]] || stage "Making ListOps (100,000 examples, 665 MB)" make_data
choose_training
stage "Training" run_training
if only_prints; then
  exit
fi
stage "Evaluating" evaluate
report
