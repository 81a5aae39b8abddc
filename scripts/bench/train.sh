#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Training speed, peak memory and loss of several attention modules in one run on this machine: interleaved rounds, medians, ratios to the first.
#   scripts/bench/train.sh [--steps N] [--rounds N] [--config FILE] [--kinds "softmax lotformer espformer:20:2"] [lotformer-train arguments...]
#   scripts/bench/train.sh --table [...]    every module on published-length ListOps: 200 steps at batch 32, Sinkformer and ESPFormer 20 at batch 2
# A kind is KIND, KIND:STEPS or KIND:STEPS:BATCH; without them --steps and the configuration's batch count. Options of the module may follow, each
# as :KEY=VALUE (lotformer:core=aten).
# Prints a Markdown table on stdout and one JSON line a measurement on stderr. Each measurement is a run of its own, without learning-rate warm-up, which
# logs ten windows (four below 50 steps). Time is that of all windows but the first, which holds the warm-up of allocator and caches; first and last
# loss are the means over the first and the last window; memory is the largest resident memory of the process in training, in MiB.
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
command=scripts/bench/train.sh
for word; do
  case $word in *' '*) command+=" \"$word\"" ;; *) command+=" $word" ;; esac
done
cd "$root"

steps=20 rounds=3 config=lra/listops.yaml kinds="softmax lotformer" more=()
while (($# > 0)); do
  case $1 in
    --table)
      steps=200 rounds=1 config=lra/listops.yaml
      kinds="softmax:200:32 performer:200:32 lotformer:200:32 mean:200:32 none:200:32 sinkformer:20:2 espformer:20:2"
      shift
      continue
      ;;
    --steps | --rounds | --config | --kinds) (($# > 1)) || die "$1 needs a value" ;;&
    --steps) steps=$2; shift 2 ;;
    --rounds) rounds=$2; shift 2 ;;
    --config) config=$2; shift 2 ;;
    --kinds) kinds=$2; shift 2 ;;
    -h | --help) script_help; exit ;;
    *) more+=("$1"); shift ;;
  esac
done
[[ $rounds =~ ^[1-9][0-9]*$ ]] || die "--rounds must be a whole number from 1, got '$rounds'"
entry='[a-z_]+(:[1-9][0-9]*(:[1-9][0-9]*)?)?(:[a-z_]+=[^: ]+)*'
[[ $kinds =~ ^\ *$entry(\ +$entry)*\ *$ ]] || die "--kinds must be words KIND, KIND:STEPS or KIND:STEPS:BATCH, each with :KEY=VALUE behind it where wanted, got '$kinds'"
read -r -a kinds <<<"$kinds"
train=${LOTFORMER_TRAIN:-$bin/lotformer-train}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# "KEY=VALUE ..." of an entry.
options_of() { tr : '\n' <<<"$1" | grep '=' | paste -sd ' ' || true; }
# What the rows call it: "KIND, KEY=VALUE, ..."
label_of() {
  local options
  options=$(options_of "$1")
  echo "${1%%:*}${options:+, ${options// /, }}"
}

# "steps batch" of the entry KIND:STEPS:BATCH; the batch may be missing.
size_of() {
  local kind count batch
  IFS=: read -r kind count batch <<<"$(tr : '\n' <<<"$1" | grep -v '=' | paste -sd :)"
  count=${count:-$steps}
  if [[ ! $count =~ ^[0-9]+$ ]] || ((count < 2)); then
    die "$kind: steps must be a whole number from 2, got '$count'"
  fi
  echo "$count $batch"
}
for entry in "${kinds[@]}"; do
  size_of "$entry" >/dev/null
done

# Seconds a step, tokens a second and peak MiB of a run without its first log window; its first and its last loss.
measure() {
  awk '
    function number(key) { return match($0, "\"" key "\": *[-+.0-9e]+") ? substr($0, RSTART + length(key) + 3, RLENGTH - length(key) - 3) + 0 : 0 }
    /"split": *"train"/ { last = number("loss"); if (++losses == 1) first = last }
    /"phase": *"train"/ && ++lines > 1 { steps += number("steps"); seconds += number("seconds"); tokens += number("tokens"); peak = number("peak_memory_bytes") }
    END { if (!steps || !losses) exit 1; printf "%.6f %.1f %.1f %.4f %.4f\n", seconds / steps, tokens / seconds, peak / 1048576, first, last }' \
    "$1/metrics.jsonl" "$1/timings.jsonl"
}

# run_entry INDEX ROUND: one run, one line of $folder/table, one JSON line.
run_entry() {
  local kind=${kinds[$1]%%:*} run=$folder/$1-$2 count batch sized=() window line option
  read -r count batch <<<"$(size_of "${kinds[$1]}")"
  window=$((count >= 50 ? count / 10 : (count + 3) / 4))
  if [[ -n $batch ]]; then
    sized=(--set "train.batch_size=$batch" --set "eval.batch_size=$batch")
  fi
  for option in $(options_of "${kinds[$1]}"); do
    sized+=(--set "model.attention.$option")
  done
  "$train" --config "$config" --run-dir "$run" --set "model.attention.kind=$kind" --set "train.steps=$count" --set train.warmup_steps=0 \
    --set "train.log_every=$window" --set eval.max_examples=32 "${sized[@]}" "${more[@]}" >"$run.out" 2>"$run.err" || { cat "$run.err" >&2; exit 1; }
  line=$(measure "$run") || die "$kind: the run logged no second window of steps"
  read -r seconds tokens peak first last <<<"$line"
  batch=$(awk '/^train:/ { on = 1; next } /^[^ ]/ { on = 0 } on && $1 == "batch_size:" { print $2; exit }' "$run/config.yaml")
  echo "$1 $line $count $batch" >>"$folder/table"
  echo "{\"attention\": \"$(label_of "${kinds[$1]}")\", \"round\": $2, \"steps\": $count, \"batch\": $batch, \"seconds_per_step\": $seconds, \"tokens_per_second\": $tokens, \"peak_mib\": $peak, \"first_loss\": $first, \"last_loss\": $last}" >&2
  rm -rf "$run"
}

for ((round = 1; round <= rounds; round++)); do
  for index in "${!kinds[@]}"; do
    run_entry "$index" "$round"
  done
done

# median INDEX COLUMN
median() { awk -v entry="$1" -v column="$2" '$1 == entry { print $column }' "$folder/table" | sort -g | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

echo "\`$command\`"
printf '\n%s, %s\n\n' "$("$train" --version)" "$config"
echo "| attention | steps | batch | s/step | steps/s | tokens/s | time a token, ratio to $(label_of "${kinds[0]}") | peak memory, MiB | first loss | last loss |"
echo "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
for index in "${!kinds[@]}"; do
  awk -v kind="$(label_of "${kinds[$index]}")" -v s="$(median "$index" 2)" -v t="$(median "$index" 3)" -v p="$(median "$index" 4)" -v first="$(median "$index" 5)" \
    -v last="$(median "$index" 6)" -v count="$(median "$index" 7)" -v batch="$(median "$index" 8)" -v base="$(median 0 3)" \
    'BEGIN { printf "| %s | %d | %d | %.3f | %.2f | %.0f | %.2f | %.0f | %.3f | %.3f |\n", kind, count, batch, s, 1 / s, t, base / t, p, first, last }'
done
printf '\nMedians; rounds: %d. The losses are means over the first and the last window of steps (a tenth of the steps, a quarter below 50).\n' "$rounds"
