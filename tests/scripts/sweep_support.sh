# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# For tests of scripts/sweep.sh: a folder of their own, a stand-in for lotformer-train, and what they expect. Sourced, never run.
# shellcheck disable=SC2034  # used by the tests

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
sweep=$root/scripts/sweep.sh
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
export LOTFORMER_TRAIN=$folder/train LOTFORMER_REPORT=$folder/report LOTFORMER_DEPS_DIR=$folder/deps STAND_IN=$folder/stand_in
mkdir "$STAND_IN"

# The stand-in trains by sleeping a tenth of a second a step, keeps its step in the run folder, saves and leaves with 75 on TERM, and notes
# each start and end in $STAND_IN/log. A cell that is trained twice at a time is noted as well. Files in $STAND_IN say what fails.
cat >"$LOTFORMER_TRAIN" <<'STUB'
#!/usr/bin/env bash
set -euo pipefail
all=" $* " run_dir="" config="" device=auto kind="" seed="" steps=5 threads=0 origin=default
while (($# > 0)); do
  case $1 in
    --run-dir) run_dir=$2; shift ;;
    --config) config=$2; shift ;;
    --device) device=$2; shift ;;
    --set)
      case $2 in
        model.attention.kind=*) kind=${2#*=} ;;
        train.seed=*) seed=${2#*=} ;;
        train.steps=*) steps=${2#*=} ;;
        train.threads=*) threads=${2#*=} origin=--set ;;
      esac
      shift ;;
  esac
  shift
done
task=$(basename "$config" .yaml)
die() { echo "lotformer-train: error: $2" >&2; exit "$1"; }
if [[ $all == *" --print-config "* ]]; then
  [[ ! -e $STAND_IN/no-config-$task ]] || die 2 "--config $config: file not found"
  [[ $kind != foo ]] || die 2 "model.attention.kind: must be one of softmax, mean, none, got 'foo'"
  missing=false
  if [[ -e $STAND_IN/generates-$task ]]; then missing=true; fi
  printf 'data:\n  root: %s # default\n  generate_missing: %s   # default\ntrain:\n  steps: %s   # file:3\n  threads: %s   # %s\n' \
    "$STAND_IN/data" "$missing" "$steps" "$threads" "$origin"
  exit
fi
if [[ $all == *" --dry-run "* ]]; then
  [[ $device != cuda:9 ]] || die 8 "--device cuda:9: no such device"
  [[ ! -e $STAND_IN/no-data-$task ]] || die 3 "files of $task: not found"
  exit
fi
mkdir -p "$run_dir"
exec 8>"$run_dir/.busy"
flock -n 8 || { echo "twice $task/$kind/$seed" >>"$STAND_IN/log"; die 2 "another process is writing this run folder"; }
if [[ -s $run_dir/results.json ]]; then
  echo "results.json: this run is finished" >&2
  cat "$run_dir/results.json"
  exit
fi
step=0
if [[ -s $run_dir/step ]]; then step=$(<"$run_dir/step"); fi
saved() { echo "saved $task/$kind/$seed $step" >>"$STAND_IN/log"; die 75 "stopped by a signal; saved"; }
trap saved TERM INT USR1
echo $$ >"$run_dir/pid"
echo "start $task/$kind/$seed $step device=$device threads=$threads " >>"$STAND_IN/log"
[[ ! -e $STAND_IN/fail-$task-$kind-$seed ]] || die 4 "no checkpoint that is whole"
while ((step < steps)); do
  sleep 0.1 8>&-
  step=$((step + 1))
  echo "$step" >"$run_dir/step"
  echo '{"phase":"train","step":'$step',"steps":1,"seconds":0.1,"tokens":5}' >>"$run_dir/timings.jsonl"
done
score='{"accuracy":0.5,"loss":1.25,"examples":20}'
echo "end $task/$kind/$seed" >>"$STAND_IN/log"
echo "{\"task\":\"$task\",\"attention\":\"$kind\",\"test\":$score,\"val\":$score,\"last\":{\"test\":$score},\"steps\":$steps,\"data_origin\":\"synthetic\",\"protocol\":\"default\"}" |
  tee "$run_dir/results.json"
STUB
chmod +x "$LOTFORMER_TRAIN"

fail() {
  printf 'FAILED: %s: %s\n' "${FUNCNAME[*]:1}" "$*" >&2
  for file in "$folder/out.txt" "$folder/err.txt" "$STAND_IN/log"; do
    if [[ -s $file ]]; then printf '%s\n' "--- ${file##*/}" >&2; tail -n 40 "$file" >&2; fi
  done
  exit 1
}
# expect WORDS OF A TEST...: as `test`, with a message.
expect() { [ "$@" ] || fail "$*"; }
expect_text() { grep -qF -- "$2" "$1" || fail "'$2' is not in ${1##*/}"; }
expect_no_text() { ! grep -qF -- "$2" "$1" || fail "'$2' is in ${1##*/}"; }
# run CODE ARGUMENTS...: the sweep in $folder/out ends with that code.
run() {
  local wanted=$1 status=0
  shift
  "$sweep" --out out "$@" >out.txt 2>err.txt </dev/null || status=$?
  ((status == wanted)) || fail "exit code $status, wanted $wanted: $*"
}
# refused TEXT ARGUMENTS...: exit code 2, that text, and nothing was started.
refused() {
  local text=$1
  shift
  run 2 "$@"
  expect_text err.txt "$text"
  expect ! -e out
  expect ! -s "$STAND_IN/log"
}
lines() { grep -c -- "$1" "$STAND_IN/log" || true; }
# until_true COMMAND...: at most half a minute.
until_true() {
  local i
  for ((i = 0; i < 300; ++i)); do
    if "$@"; then return; fi
    sleep 0.1
  done
  fail "does not come: $*"
}
# All cases in the file's order, each in a folder that the one before has left empty.
run_cases() {
  local name
  for name; do
    rm -rf "$folder/out" "$STAND_IN" "$folder"/*.txt "$folder"/*.yaml
    mkdir "$STAND_IN"
    : >"$STAND_IN/log"
    "$name"
    echo "ok $name"
  done
}
