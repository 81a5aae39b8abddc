#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Trains every combination of tasks, attention modules and seeds, each in a run folder of its own, and sums up. The same command again
# skips what is finished, resumes what was broken off and tries again what failed. More: docs/sweeps.md.
#   scripts/sweep.sh --out DIR [--tasks "listops text"] [--attention "softmax lotformer"] [--seeds "0 1 2"] [--configs lra]
#                    [--set [KIND:]KEY=VALUE]... [--device D] [--dry-run]
#     --tasks      names, each trained with CONFIGS/NAME.yaml, or paths that end in .yaml          (default: listops)
#     --attention  kinds; the controls mean and none belong beside every result    (default: all five and both controls)
#     --seeds      train.seed of the repetitions                                                     (default: 0)
#     --configs    folder of the task configurations, as for --config: lra, lra/smoke                (default: lra)
#     --set        for every cell, or with KIND: for the cells of that module, which win: lotformer:model.attention.pivots=8
#     --dry-run    prints the commands and runs nothing
# Lists are separated by blanks or commas. Results in DIR: TASK/KIND/seed-N (run folders, with log, exit code and JSON beside them),
# cells.csv, summary.csv, summary.md. Exit code: 0, 1 when a cell failed, 75 when a signal stopped it, 2 for usage.
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

usage() { say "error: $*"; script_help >&2; exit 2; }
list() { tr -s ' ,' '\n' <<<"$1" | sed '/^$/d'; }

# once WHAT NAMES...: nothing may be listed twice, it would be counted twice.
once() {
  local twice
  twice=$(printf '%s\n' "${@:2}" | sort | uniq -d | head -n 1)
  [[ -z $twice ]] || usage "$1 $twice is listed twice"
}

# add_setting [KIND:]KEY=VALUE
add_setting() {
  local key=${1%%=*} kind=""
  if [[ $key == *:* ]]; then
    kind=${key%%:*} key=${key#*:}
  fi
  case ${key//[[:space:]]/} in
    train.seed) usage "--set $1: the seed is what distinguishes cells; use --seeds" ;;
    model.attention.kind) usage "--set $1: the module is what distinguishes cells; use --attention" ;;
    task) usage "--set $1: the task is what distinguishes cells; use --tasks" ;;
  esac
  setting_kinds+=("$kind")
  settings+=("${1#"${kind:+$kind:}"}")
}

tasks=listops kinds="softmax performer sinkformer espformer lotformer mean none" seeds=0 configs=lra out="" dry=0
device=() settings=() setting_kinds=()
while (($# > 0)); do
  case $1 in
    --tasks | --attention | --seeds | --configs | --out | --set | --device) (($# > 1)) || usage "$1 needs a value" ;;&
    --tasks) tasks=$2; shift 2 ;;
    --attention) kinds=$2; shift 2 ;;
    --seeds) seeds=$2; shift 2 ;;
    --configs) configs=$2; shift 2 ;;
    --out) out=$2; shift 2 ;;
    --set) add_setting "$2"; shift 2 ;;
    --device) device=(--device "$2"); shift 2 ;;
    --dry-run) dry=1; shift ;;
    -h | --help) script_help; exit 0 ;;
    --run-dir*) usage "$1: each cell has a run folder of its own, DIR/TASK/KIND/seed-N; choose DIR with --out" ;;
    *) usage "unknown argument $1" ;;
  esac
done
[[ -n $out ]] || usage "--out DIR is missing"
mapfile -t task_list < <(list "$tasks")
mapfile -t kind_list < <(list "$kinds")
mapfile -t seed_list < <(list "$seeds")
((${#task_list[@]} * ${#kind_list[@]} * ${#seed_list[@]} > 0)) || usage "an empty list leaves nothing to do"
names=()
for task in "${task_list[@]}"; do
  name=$task
  if [[ $task == *.yaml ]]; then
    name=$(basename "$task" .yaml)
  fi
  [[ $name =~ ^[A-Za-z0-9_][A-Za-z0-9_.-]*$ ]] || usage "task '$task' is neither a name nor a path that ends in .yaml"
  names+=("$name")
done
once "a task with the name" "${names[@]}"  # two files of one name would share their run folders
for kind in "${kind_list[@]}"; do
  [[ $kind =~ ^[A-Za-z0-9_]+$ ]] || usage "attention '$kind' is not the name of a module"
done
once attention "${kind_list[@]}"
for seed in "${seed_list[@]}"; do
  [[ $seed =~ ^(0|[1-9][0-9]*)$ ]] || usage "seed '$seed' is not a whole number in plain digits"
done
once seed "${seed_list[@]}"
for i in "${!settings[@]}"; do
  [[ -z ${setting_kinds[i]} || " ${kind_list[*]} " == *" ${setting_kinds[i]} "* ]] ||
    usage "--set ${setting_kinds[i]}:${settings[i]}: '${setting_kinds[i]}' is not among the modules of this sweep (${kind_list[*]})"
done
program=${LOTFORMER_TRAIN:-$bin/lotformer-train}
tables() { python3 "$root/scripts/lib/sweep_table.py" "$@"; }

# Sets task_name, cell (run folder) and command of one combination.
prepare() {
  local config=$configs/$1.yaml i
  task_name=$1
  if [[ $1 == *.yaml ]]; then
    config=$1
    task_name=$(basename "$1" .yaml)
  fi
  cell=$out/$task_name/$2/seed-$3
  command=("$program" --config "$config" --run-dir "$cell" --json "${device[@]}" --set "model.attention.kind=$2" --set "train.seed=$3")
  for i in "${!settings[@]}"; do
    [[ -n ${setting_kinds[i]} ]] || command+=(--set "${settings[i]}")
  done
  for i in "${!settings[@]}"; do
    [[ ${setting_kinds[i]} != "$2" ]] || command+=(--set "${settings[i]}")
  done
}

child=0 stopped=0 told=0
stop() {
  stopped=1
  if ((child > 0)); then
    told=1
    kill -TERM "$child" 2>/dev/null || true
  fi
}

# The exit code goes to CELL.exit, the results to CELL.json, the log to CELL.log. A signal may come at any point: before the start nothing
# is started; between start and child=$! the trap does not know whom to tell, so it is told below; later the trap tells it.
run_cell() {
  local code=0
  mkdir -p "$(dirname "$cell")"
  rm -f "$cell.exit"
  told=0
  if ((stopped)); then return; fi
  "${command[@]}" >"$cell.json.part" 2>"$cell.log" &
  child=$!
  if ((stopped && told == 0)); then stop; fi
  wait "$child" || code=$?
  while ((stopped)) && kill -0 "$child" 2>/dev/null; do  # a trap ends the wait; the program saves and leaves
    code=0
    wait "$child" || code=$?
  done
  child=0
  if ((code == 0)); then mv "$cell.json.part" "$cell.json"; else rm -f "$cell.json.part" "$cell.json"; fi
  echo "$code" >"$cell.exit"
}

if ((dry)); then
  for task in "${task_list[@]}"; do for kind in "${kind_list[@]}"; do for seed in "${seed_list[@]}"; do
    prepare "$task" "$kind" "$seed"
    printf '%q ' "${command[@]}"
    echo
  done; done; done
  exit 0
fi

command -v python3 >/dev/null || die "python3 is missing: it makes the tables"
[[ -x $program ]] || die "$program is missing: build first (scripts/quickstart.sh, or cmake --preset release and cmake --build)"
mkdir -p "$out"
exec 9>"$out/.sweep.lock"
try_lock 9 "$out" || die "$out: another sweep works in this folder"
trap stop INT TERM
total=$((${#task_list[@]} * ${#kind_list[@]} * ${#seed_list[@]})) number=0 failed=0
: >"$out/.cells"
for task in "${task_list[@]}"; do for kind in "${kind_list[@]}"; do for seed in "${seed_list[@]}"; do
  prepare "$task" "$kind" "$seed"
  number=$((number + 1)) started=$SECONDS
  run_cell 9>&-
  code=75
  if ((stopped == 0)); then code=$(<"$cell.exit"); fi
  if ((code == 75)); then
    say "stopped in cell $number of $total ($cell); the same command continues"
    exit 75
  fi
  ((code == 0)) || failed=$((failed + 1))
  printf '%s\t%s\t%s\t%s\t%s\n' "$task_name" "$kind" "$seed" "$code" "$cell" >>"$out/.cells"
  say "[$number/$total] $task_name $kind seed $seed: $(tables outcome "$cell" "$code"), $((SECONDS - started)) s"
done; done; done

tables tables "$out"
cat "$out/summary.md"
((failed == 0)) || exit 1
