# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What can be known before the first cell starts: each configuration is read by the program itself, each task's data and each device are
# tried with one batch. All mistakes are listed at once. Sourced by scripts/sweep.sh.
# shellcheck disable=SC2154,SC2034

declare -A pair_steps=() threads_given=() said_by=()
said=()

# value_of FILE KEY: sets `found` and `origin` from a line of --print-config, in the section train or data (keys stand in one of them).
value_of() {
  local line
  found="" origin=""
  line=$(grep -m 1 -E "^  $2: " "$1") || return 0
  origin=${line##*# } found=${line#*: }
  found=${found%#*}
  found=${found%"${found##*[! ]}"}
}

# note_mistakes FILE PAIR [WHERE]: the program's error messages, each once however many pairs have it, with those that have it.
note_mistakes() {
  local line who
  task_name_of "${2% *}"
  who="$task_name ${2#* }${3:-}"
  while IFS= read -r line; do
    [[ -n ${said_by[$line]:-} ]] || said+=("$line")
    said_by[$line]+="${said_by[$line]:+, }$who"
  done < <(sed -n '/: error: /,$p' "$1" | sed 's/^.*: error: //' | grep . || echo "$who: the program ended without a message")
}

# list_mistakes HOW_MANY: from `said` into `mistakes`. Whom a mistake concerns is left out where it concerns all of HOW_MANY.
list_mistakes() {
  local line who
  for line in "${said[@]}"; do
    who=${said_by[$line]}
    if (($1 > 0 && $(tr -cd , <<<"$who" | wc -c) >= $1 - 1)); then who=""; fi
    if ((${#who} > 120)); then who="${who:0:110} and others"; fi
    mistakes+=("$line${who:+  [$who]}")
  done
  said=() said_by=()
}

# files_must_be_there FILE: not where the first cell would make them; a check must not take the minutes of that.
files_must_be_there() {
  value_of "$1" generate_missing
  [[ $found == true ]] || return 0
  value_of "$1" root
  [[ -n $(find "$found" -maxdepth 4 -name basic_train.tsv -print -quit 2>/dev/null) ]]
}

# read_configurations FOLDER PAIRS...: a pair is "TASK KIND". Several processes at a time, each takes half a second.
read_configurations() {
  local work=$1 pair task kind i=0 running=0
  shift
  for pair; do
    read -r task kind <<<"$pair"
    arguments_of "$task" "$kind"
    ("$program" "${arguments[@]}" --print-config >"$work/$i.yaml" 2>"$work/$i.err" || echo $? >"$work/$i.bad") &
    i=$((i + 1)) running=$((running + 1))
    if ((running >= cores)); then
      wait -n || true
      running=$((running - 1))
    fi
  done
  wait
  i=0
  for pair; do
    if [[ -e $work/$i.bad ]]; then
      note_mistakes "$work/$i.err" "$pair"
    else
      value_of "$work/$i.yaml" steps
      pair_steps[$pair]=$found
      value_of "$work/$i.yaml" threads
      [[ $origin == default ]] || threads_given[$pair]=yes
      if files_must_be_there "$work/$i.yaml"; then needs_data[${pair% *}]=$pair; fi
    fi
    i=$((i + 1))
  done
  list_mistakes $#
}

# try_batch FILE PAIR DEVICE: one example forward and backward. The data's cache, which the first cell would make, is made here. Returns the
# program's exit code.
try_batch() {
  local status=0
  arguments_of "${2% *}" "${2#* }"
  "$program" "${arguments[@]}" --set train.batch_size=1 --set train.accumulate=1 ${3:+--device "$3"} --dry-run >/dev/null 2>"$1" || status=$?
  ((status == 0)) || note_mistakes "$1" "$2" "${3:+ on $3}"
  return "$status"
}

# Each device once, each task whose files must be there once: first the devices, with the first such task, so that a device that is missing
# hides no missing files.
try_batches() {
  local work=$1 task first="" device devices usable=() status no_device=8
  mapfile -t devices < <(printf '%s\n' "${slot_device[@]}" | sort -u)
  if ((slurm_wanted)); then devices=(cpu); fi   # the node that submits need not have the devices of those that train
  for task in "${task_list[@]}"; do
    if [[ -z $first && -n ${needs_data[$task]:-} ]]; then first=$task; fi
  done
  [[ -n $first ]] || return 0
  for device in "${devices[@]}"; do
    say "checking: data of ${first##*/}${device:+, device $device}"
    status=0
    try_batch "$work/batch.err" "${needs_data[$first]}" "$device" || status=$?
    ((status == no_device)) || usable+=("$device")
  done
  # Where no device is left, the first task's files have not been looked for.
  if ((${#usable[@]} == 0)); then usable=(cpu) first=""; fi
  for task in "${task_list[@]}"; do
    [[ -n ${needs_data[$task]:-} && $task != "$first" ]] || continue
    say "checking: data of ${task##*/}"
    try_batch "$work/batch.err" "${needs_data[$task]}" "${usable[0]}" || true
  done
  list_mistakes 0
}

check_everything() {
  local pairs=() task kind work cores
  local -A needs_data=()
  cores=$(nproc)
  for task in "${task_list[@]}"; do for kind in "${kind_list[@]}"; do pairs+=("$task $kind"); done; done
  say "checking: ${#pairs[@]} configurations (${#task_list[@]} tasks x ${#kind_list[@]} modules) of $total cells"
  work=$(mktemp -d)
  # shellcheck disable=SC2064  # the folder of now
  trap "rm -rf '$work'" EXIT
  read_configurations "$work" "${pairs[@]}"
  try_batches "$work"
  rm -rf "$work"
  trap - EXIT
  stop_at_mistakes
}

# For a job of Slurm, whose sweep was checked when it was submitted: the cell exists, and its threads are known.
check_one_cell() {
  local i work cores=1
  local -A needs_data=()
  cell_index=""
  for i in "${!cell_task[@]}"; do
    [[ ${cell_name[i]}/${cell_kind[i]}/seed-${cell_seed[i]} != "$only_cell" ]] || cell_index=$i
  done
  [[ -n $cell_index ]] || usage "--cell $only_cell is not in this sweep"
  work=$(mktemp -d)
  read_configurations "$work" "${cell_task[cell_index]} ${cell_kind[cell_index]}"
  rm -rf "$work"
  stop_at_mistakes
}
