# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# A sweep as a job array of Slurm, one index a cell. Each job calls scripts/sweep.sh --cell, which takes the same locks as a sweep on one
# machine. Sourced by scripts/sweep.sh.
# shellcheck disable=SC2154,SC2034

# print_job_script CELLS...: the script for these cells. Everything is spelt out in it, so that a description that is edited meanwhile
# changes no job. The time limit is announced by USR1 two minutes before; options of the user come last and win.
print_job_script() {
  local i list=() command=("$root/scripts/sweep.sh" --out "$(realpath -m "$out")" --tasks "${task_list[*]}" --attention "${kind_list[*]}"
    --seeds "${seed_list[*]}" --configs "${value[configs]}")
  for i; do list+=("${cell_name[i]}/${cell_kind[i]}/seed-${cell_seed[i]}"); done
  for i in "${given_settings[@]}"; do command+=(--set "$i"); done
  if [[ -n ${value[device]} ]]; then command+=(--device "${value[device]}"); fi
  cat <<SCRIPT
#!/usr/bin/env bash
#SBATCH --job-name=lotformer-sweep
#SBATCH --array=0-$((${#list[@]} - 1))
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@120
#SBATCH --output="$(realpath -m "$out")/slurm/job-%A-%a.log"
#SBATCH $slurm
cells=($(printf '%q ' "${list[@]}"))
cd $(printf '%q' "$PWD")
export LOTFORMER_TRAIN=$(printf '%q' "$(realpath "$program" 2>/dev/null || echo "$program")") LOTFORMER_CONFIG_DIR=$(printf '%q' "${LOTFORMER_CONFIG_DIR:-$root/configs}")
exec $(printf '%q ' "${command[@]}")--cell "\${cells[SLURM_ARRAY_TASK_ID]}"
SCRIPT
}

# Sets `queued`: the cells of this sweep that a job waits for or trains. $out/slurm/submitted has a line "JOB_INDEX CELL" each.
find_queued() {
  local active job name
  queued=" "
  [[ -s $out/slurm/submitted ]] || return 0
  active=$(squeue --noheader --array --user "$(id -un)" --format '%F_%K') || die "squeue fails: which cells are queued already is not known"
  while read -r job name; do
    if grep -qxF "$job" <<<"$active"; then queued+="$name "; fi
  done <"$out/slurm/submitted"
}

# cell_is_finished CELL: by what is beside its run folder; a job that ran under other settings does not count.
cell_is_finished() {
  prepare "$1" 0
  [[ -f $cell.exit && $(<"$cell.exit") == 0 && -s $cell.json && -f $cell/results.json ]] || return 1
  [[ ! -f $cell.settings || $(<"$cell.settings") == "${arguments[*]}" ]]
}

# The cells that are neither finished nor queued become an array. When all are finished, the tables are written as after any sweep.
submit_to_slurm() {
  local i queued name wanted=() waiting=0 id
  [[ $slurm != *$'\n'* ]] || die "--slurm: the options must stand in one line"
  command -v sbatch >/dev/null || die "sbatch is missing: this is no machine of a Slurm cluster"
  mkdir -p "$out/slurm"
  find_queued
  for i in "${!cell_task[@]}"; do
    name=${cell_name[i]}/${cell_kind[i]}/seed-${cell_seed[i]}
    if cell_is_finished "$i"; then code[i]=0 state[i]="done"
    elif [[ $queued == *" $name "* ]]; then waiting=$((waiting + 1))
    else wanted+=("$i"); fi
  done
  say "$total cells: $((total - waiting - ${#wanted[@]})) finished, $waiting queued or running, ${#wanted[@]} to submit"
  if ((${#wanted[@]} > 0)); then
    for i in "${wanted[@]}"; do
      prepare "$i" 0
      if [[ -f $cell.exit && $(<"$cell.exit") != 0 && $(<"$cell.exit") != 75 ]]; then
        say "again: ${cell_name[i]} ${cell_kind[i]} seed ${cell_seed[i]}: $(tables outcome "$cell" "$(<"$cell.exit")")"
      fi
    done
    print_job_script "${wanted[@]}" >"$out/slurm/array.sh"
    id=$(sbatch --parsable "$out/slurm/array.sh") || die "sbatch refuses $out/slurm/array.sh"
    id=${id%%;*}
    for i in "${!wanted[@]}"; do
      printf '%s_%s %s/%s/seed-%s\n' "$id" "$i" "${cell_name[wanted[i]]}" "${cell_kind[wanted[i]]}" "${cell_seed[wanted[i]]}"
    done >>"$out/slurm/submitted"
    say "submitted as job $id ($out/slurm/array.sh)"
  fi
  ((waiting + ${#wanted[@]} == 0)) || { say "The same command submits what is left and, when all cells are finished, writes the tables."; exit 0; }
}

# After a cell has saved: at the time limit the job goes back into the queue; preempted it does, too, also where it ended before Slurm had put
# it there. A job that somebody cancelled stays cancelled.
requeue_if_meant() {
  local job=${SLURM_ARRAY_JOB_ID:-}_${SLURM_ARRAY_TASK_ID:-}   # SLURM_JOB_ID of one of the tasks is the number of the whole array
  [[ -n ${SLURM_ARRAY_TASK_ID:-} ]] || return 0
  if [[ $stopped == USR1 ]] || scontrol show job "$job" 2>/dev/null | grep -q 'PreemptTime=[0-9]'; then
    say "$only_cell: saved; back into the queue"
    scontrol requeue "$job" || say "note: scontrol requeue fails; submit the sweep again"
  fi
}
