# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What a sweep consists of: its cells, the slots in which they are trained, and the command of each. Sourced by scripts/sweep.sh.
# shellcheck disable=SC2154,SC2034

list() { tr -s ' ,\n' '\n' <<<"$1" | sed '/^$/d'; }

# once WHAT NAMES...: nothing may be listed twice, it would be counted twice.
once() {
  local twice
  twice=$(printf '%s\n' "${@:2}" | sort | uniq -d | head -n 1)
  [[ -z $twice ]] || mistakes+=("$1 $twice is listed twice")
}

# add_setting [KIND:]KEY=VALUE
add_setting() {
  local key=${1%%=*} kind=""
  if [[ $key == *:* ]]; then
    kind=${key%%:*} key=${key#*:}
  fi
  case ${key//[[:space:]]/} in
    train.seed) mistakes+=("--set $1: the seed is what distinguishes cells; use --seeds") ;;
    model.attention.kind) mistakes+=("--set $1: the module is what distinguishes cells; use --attention") ;;
    task) mistakes+=("--set $1: the task is what distinguishes cells; use --tasks") ;;
  esac
  if [[ -n $kind && " ${kind_list[*]} " != *" $kind "* ]]; then
    mistakes+=("--set $1: '$kind' is not among the modules of this sweep (${kind_list[*]})")
  fi
  setting_kinds+=("$kind")
  settings+=("${1#"${kind:+$kind:}"}")
}

# task_name_of TASK: what its folder is called.
task_name_of() {
  task_name=$1
  if [[ $1 == *.yaml ]]; then task_name=$(basename "$1" .yaml); fi
}

check_names() {
  local names=() task kind seed
  for task in "${task_list[@]}"; do
    task_name_of "$task"
    [[ $task_name =~ ^[A-Za-z0-9_][A-Za-z0-9_.-]*$ ]] || mistakes+=("task '$task' is neither a name nor a path that ends in .yaml")
    names+=("$task_name")
  done
  once "a task with the name" "${names[@]}"  # two files of one name would share their run folders
  for kind in "${kind_list[@]}"; do
    [[ $kind =~ ^[A-Za-z0-9_]+$ ]] || mistakes+=("attention '$kind' is not the name of a module")
  done
  once attention "${kind_list[@]}"
  for seed in "${seed_list[@]}"; do
    [[ $seed =~ ^(0|[1-9][0-9]*)$ ]] || mistakes+=("seed '$seed' is not a whole number in plain digits")
  done
  once seed "${seed_list[@]}"
}

# Sets slot_device: the device of each job, "" where the program chooses. Each job gets its share of the cores.
make_slots() {
  local devices device jobs i cores
  if [[ -n ${given[device]:-} && -n ${given[devices]:-} ]] || [[ -n ${value[device]} && -n ${value[devices]} ]]; then
    mistakes+=("--device and --devices: one of them")
  fi
  mapfile -t devices < <(list "${value[devices]:-${value[device]}}")
  for device in "${devices[@]}"; do
    [[ $device =~ ^(auto|cpu|cuda|cuda:[0-9]+)$ ]] || mistakes+=("device '$device' is none of auto, cpu, cuda, cuda:N")
  done
  if [[ -z ${value[devices]} ]] && ((${#devices[@]} > 1)); then mistakes+=("--device takes one device; use --devices '${value[device]}'"); fi
  jobs=${value[jobs]:-$((${#devices[@]} > 1 ? ${#devices[@]} : 1))}
  if [[ ! $jobs =~ ^[1-9][0-9]{0,3}$ ]]; then
    mistakes+=("--jobs $jobs: a whole number from 1 to 9999")
    jobs=1
  elif ((jobs < ${#devices[@]})); then
    mistakes+=("--jobs $jobs is less than the ${#devices[@]} devices: the last of them would do nothing")
  fi
  if ((slurm_wanted)) && [[ -n ${value[jobs]}${value[devices]} ]]; then
    mistakes+=("--jobs and --devices have no meaning with --slurm, where each cell is a job with a device of its own")
  fi
  ((${#devices[@]} > 0)) || devices=("")
  for ((i = 0; i < jobs; ++i)); do slot_device[i]=${devices[i % ${#devices[@]}]}; done
  cores=$(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc)
  # A lonely job leaves the choice to the program, as lotformer-train alone does; in a job of Slurm it may see cores that are not its own.
  threads=$((jobs == 1 ? 0 : cores / jobs > 0 ? cores / jobs : 1))
  if [[ -n $only_cell ]]; then threads=${SLURM_CPUS_PER_TASK:-0}; fi
}

# Everything that follows from the arguments alone. Cell i is cell_task[i] (name or path), cell_name[i], cell_kind[i], cell_seed[i].
make_plan() {
  local key task kind seed
  for key in "${!given[@]}"; do value["$key"]=${given[$key]}; done
  [[ -n ${value[out]} ]] || mistakes+=("--out DIR is missing")
  mapfile -t task_list < <(list "${value[tasks]}")
  mapfile -t kind_list < <(list "${value[attention]}")
  mapfile -t seed_list < <(list "${value[seeds]}")
  ((${#task_list[@]} * ${#kind_list[@]} * ${#seed_list[@]} > 0)) || mistakes+=("an empty list leaves nothing to do")
  check_names
  for key in "${given_settings[@]}"; do add_setting "$key"; done
  slot_device=()
  make_slots
  cell_task=() cell_name=() cell_kind=() cell_seed=()
  for task in "${task_list[@]}"; do for kind in "${kind_list[@]}"; do for seed in "${seed_list[@]}"; do
    task_name_of "$task"
    cell_task+=("$task") cell_name+=("$task_name") cell_kind+=("$kind") cell_seed+=("$seed")
  done; done; done
  total=${#cell_task[@]}
}

stop_at_mistakes() {
  ((${#mistakes[@]} > 0)) || return 0
  printf 'error: %s\n' "${mistakes[@]}" >&2
  say "Nothing was started. scripts/sweep.sh --help and docs/sweeps.md say more."
  exit 2
}

# arguments_of TASK KIND: sets `arguments`, what the program needs to know of the experiment but for the seed.
arguments_of() {
  local config=${value[configs]}/$1.yaml i
  if [[ $1 == *.yaml ]]; then config=$1; fi
  arguments=(--config "$config" --set "model.attention.kind=$2")
  for i in "${!settings[@]}"; do
    [[ -n ${setting_kinds[i]} ]] || arguments+=(--set "${settings[i]}")
  done
  for i in "${!settings[@]}"; do
    [[ ${setting_kinds[i]} != "$2" ]] || arguments+=(--set "${settings[i]}")
  done
}

# prepare CELL SLOT: sets cell (its run folder) and command.
prepare() {
  local i=$1 device=${slot_device[$2]} own=()
  cell=${value[out]}/${cell_name[i]}/${cell_kind[i]}/seed-${cell_seed[i]}
  arguments_of "${cell_task[i]}" "${cell_kind[i]}"
  if ((threads > 0)) && [[ -z ${threads_given[${cell_task[i]} ${cell_kind[i]}]:-} ]]; then own=(--set "train.threads=$threads"); fi
  command=("$program" "${arguments[@]}" --set "train.seed=${cell_seed[i]}" "${own[@]}" --run-dir "$cell" --json ${device:+--device "$device"})
}

# The commands one a line. Which slot a cell meets is decided while the sweep runs; here they come in turn.
print_commands() {
  local i
  for i in "${!cell_task[@]}"; do
    prepare "$i" $((i % ${#slot_device[@]}))
    printf '%q ' "${command[@]}"
    echo
  done
}
