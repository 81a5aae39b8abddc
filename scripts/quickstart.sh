#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# From a fresh machine to a trained model in one command: installs what is missing, builds, makes data, trains LOTFormer, evaluates the
# checkpoint. On a GPU ListOps at official size, whole; on a CPU small ListOps, which is learned in a minute or two, then a few steps at
# official size, and from them the command for the whole run and the time that it takes here.
#   scripts/quickstart.sh [arguments of lotformer-train...]      e.g. scripts/quickstart.sh --set train.seed=1
# Run it again and it goes on where it stopped: what is there is not made again, an interrupted training is resumed.
# Environment: LOTFORMER_DEPS_DIR (a .deps folder that clones share), CMAKE_PREFIX_PATH (your own LibTorch), LOTFORMER_PRESET.
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
cd "$root"
if [[ ${1:-} == -h || ${1:-} == --help ]]; then
  script_help
  exit
fi

programs=(lotformer-data lotformer-train lotformer-eval lotformer-bench lotformer-report lotformer-doctor)
smoke=data/smoke/listops   # of configs/lra/smoke/listops.yaml
measured_steps=20          # at official size, for the estimate

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

# Fills `train`: the user's arguments, and the configuration where they name none.
choose_training() {
  train=("${arguments[@]}")
  if [[ -n $(option --config) ]]; then
    kind=own
  elif on_gpu; then
    kind=official
    train=(--config lra/listops.yaml "${train[@]}")
  else
    kind=small
    smoke=$(setting data.root "$smoke")  # an argument means the run that it is given to
    data=data/lra
    train=(--config lra/smoke/listops.yaml "${train[@]}")
    say "    no GPU: small ListOps (trees of depth 3, about 15 tokens) instead of rows of 500 to 2,000 tokens"
  fi
  run=$(option --run-dir)
  if [[ -z $run ]]; then
    run=runs/quickstart-$kind-$(printf '%s\n' "${train[@]}" | sha256sum | cut -c 1-8)
    train+=(--run-dir "$run")
  fi
}

make_data() {
  "$bin/lotformer-data" generate --task listops --root "$data"
}

make_small_data() {
  "$bin/lotformer-data" generate --task listops --root "$smoke" --seed 0 --train 20000 --val 1000 --test 1000 \
    --min-length 3 --max-length 2000 --max-depth 3 --max-args 4
}

# A few steps and evaluations of the whole run in a folder of their own, which goes again.
measure_official() {
  local folder=runs/quickstart-measured
  "$bin/lotformer-train" --config lra/listops.yaml --set "data.root=$data" --set "train.steps=$measured_steps" --set train.warmup_steps=1 \
    --set train.checkpoint_every=0 --set eval.max_examples=96 --run-dir "$folder" >/dev/null 2>"$folder.log" ||
    { say "    (not measured: see $folder.log)"; return; }
  official_estimate=$(estimate "$folder")
  rm -r "$folder" "$folder.log"
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

# Reads FOLDER/timings.jsonl: ", about H h here ..." for the 10,000 steps of lra/listops.yaml with its evaluations (every 1,000 steps, 2,000
# examples; the test split twice).
estimate() {
  awk '
    function number(key) { return match($0, "\"" key "\": *[-+.0-9e]+") ? substr($0, RSTART + length(key) + 3, RLENGTH - length(key) - 3) + 0 : 0 }
    /"phase": *"train"/ { steps += number("steps"); train += number("seconds") }
    /"phase": *"eval"/ { examples += number("examples"); eval += number("seconds") }
    END {
      if (steps == 0 || examples == 0) exit
      seconds = 10000 * train / steps + (10 * 2000 + 2 * 2000) * eval / examples
      printf ", about %.1f hours on this machine (measured: %.2f steps/s, %.0f examples/s in evaluation)", seconds / 3600,
             steps / train, examples / eval
    }' "$1/timings.jsonl" 2>/dev/null || true
}

report() {
  say "==> Everything is there"
  say "    programs     ${bin#"$root"/}/"
  case $kind in
    small) say "    data         $smoke/" ;;
    official) say "    data         $(find_dataset)/" ;;
  esac
  say "    run          $run/  (checkpoints/, metrics.jsonl, results.json)"
  say "    evaluate     ${bin#"$root"/}/lotformer-eval $run"
  if [[ $kind == small ]]; then
    say "    whole run    ${bin#"$root"/}/lotformer-train --config lra/listops.yaml --run-dir runs/listops"
    say "                 ListOps at official size, 10,000 steps$official_estimate"
  fi
}

arguments=("$@")
data=$(setting data.root data/lra)
check_disk
stage "Installing what is missing" scripts/deps.sh
use_own_cmake_if_needed
stage "Configuring ($preset)" configure_for_use "$preset"
stage "Building" build "$preset" "${programs[@]}"
choose_training
if [[ $kind == official && -z $(find_dataset) ]]; then
  stage "Making ListOps (100,000 examples, 665 MB)" make_data
elif [[ $kind == small && ! -e $smoke/listops-1000/basic_train.tsv ]]; then
  stage "Making small ListOps (22,000 examples)" make_small_data
fi
stage "Training" run_training
if only_prints; then
  exit
fi
stage "Evaluating" evaluate
official_estimate=
if [[ $kind == small ]]; then
  [[ -n $(find_dataset) ]] || stage "Making ListOps at official size (100,000 examples, 665 MB)" make_data
  stage "Measuring $measured_steps steps at official size" measure_official
fi
report
