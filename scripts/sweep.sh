#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Trains every combination of tasks, attention modules and seeds, each in a run folder of its own, and sums up. The same command again
# skips what is finished, resumes what was broken off and tries again what failed. More: docs/sweeps.md.
#   scripts/sweep.sh [FILE.yaml] [--out DIR] [--tasks "listops text"] [--attention "softmax lotformer"] [--seeds "0 1 2"] [--configs lra]
#                    [--set [KIND:]KEY=VALUE]... [--jobs N] [--device D | --devices "cuda:0 cuda:1"] [--slurm OPTIONS] [--dry-run]
#     FILE.yaml    a sweep description, also --sweep FILE: configs/sweeps/lra.yaml; options win over it, --set is added to its settings
#     --out        folder of the sweep, needed here or in the file
#     --tasks      names, each trained with CONFIGS/NAME.yaml, or paths that end in .yaml          (default: listops)
#     --attention  kinds; the controls mean and none belong beside every result    (default: all five and both controls)
#     --seeds      train.seed of the repetitions                                                     (default: 0)
#     --configs    folder of the task configurations, as for --config: lra, lra/smoke                (default: lra)
#     --set        for every cell, or with KIND: for the cells of that module, which win: lotformer:model.attention.pivots=8
#     --jobs       cells that are trained at the same time, each with its share of the cores       (default: one a device)
#     --device     of every cell, as for lotformer-train                                          (default: auto)
#     --devices    a list: each job has one of them, in turn
#     --slurm      submits the unfinished cells as a job array with these options of sbatch: "--partition=gpu --gres=gpu:1 --time=4:00:00"
#     --dry-run    prints the commands, with --slurm the job script, and runs nothing
# Lists are separated by blanks or commas. Results in DIR: TASK/KIND/seed-N (run folders, with log, exit code and JSON beside them),
# cells.csv, summary.csv, summary.md. Exit code: 0, 1 when a cell failed, 75 when a signal stopped it, 2 for mistakes: all of them are
# listed before the first cell starts.
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=scripts/lib/sweep_file.sh
source "$root/scripts/lib/sweep_file.sh"
# shellcheck source=scripts/lib/sweep_plan.sh
source "$root/scripts/lib/sweep_plan.sh"
# shellcheck source=scripts/lib/sweep_checks.sh
source "$root/scripts/lib/sweep_checks.sh"
# shellcheck source=scripts/lib/sweep_run.sh
source "$root/scripts/lib/sweep_run.sh"
# shellcheck source=scripts/lib/sweep_screen.sh
source "$root/scripts/lib/sweep_screen.sh"
# shellcheck source=scripts/lib/sweep_slurm.sh
source "$root/scripts/lib/sweep_slurm.sh"

usage() { say "error: $*"; script_help >&2; exit 2; }

# The settings, in which the description and then the command line replace what stands here.
declare -A value=([tasks]=listops [attention]="softmax performer sinkformer espformer lotformer mean none" [seeds]=0 [configs]=lra [out]=""
  [device]="" [devices]="" [jobs]="") given=()
given_settings=() settings=() setting_kinds=() mistakes=()
sweep_file="" slurm="" slurm_wanted=0 only_cell="" dry=0
while (($# > 0)); do
  case $1 in
    --tasks | --attention | --seeds | --configs | --out | --set | --device | --devices | --jobs | --sweep | --slurm | --cell)
      (($# > 1)) || usage "$1 needs a value" ;;&
    --tasks | --attention | --seeds | --configs | --out | --device | --devices | --jobs) given[${1#--}]=$2; shift 2 ;;
    --set) given_settings+=("$2"); shift 2 ;;
    --sweep) [[ -z $sweep_file ]] || usage "two sweep descriptions: $sweep_file and $2"; sweep_file=$2; shift 2 ;;
    --slurm) slurm=$2 slurm_wanted=1; shift 2 ;;
    --cell) only_cell=$2; shift 2 ;;   # what the job script of --slurm calls: TASK/KIND/seed-N alone, beside other jobs
    --dry-run) dry=1; shift ;;
    -h | --help) script_help; exit 0 ;;
    --run-dir*) usage "$1: each cell has a run folder of its own, DIR/TASK/KIND/seed-N; choose DIR with --out" ;;
    *.yaml) [[ -z $sweep_file ]] || usage "two sweep descriptions: $sweep_file and $1"; sweep_file=$1; shift ;;
    *) usage "unknown argument $1" ;;
  esac
done

program=${LOTFORMER_TRAIN:-$bin/lotformer-train}
report_program=${LOTFORMER_REPORT:-$bin/lotformer-report}
tables() { python3 "$root/scripts/lib/sweep_table.py" "$@"; }

[[ -z $sweep_file ]] || read_sweep_file "$sweep_file"
make_plan
stop_at_mistakes
out=${value[out]}

if ((dry == 0)); then
  command -v python3 >/dev/null || die "python3 is missing: it makes the tables"
  [[ -x $program ]] || die "$program is missing: build first (scripts/quickstart.sh, or cmake --preset release and cmake --build)"
fi
if [[ -n $only_cell ]]; then run_one_cell; fi
if [[ -x $program ]]; then
  check_everything
else
  say "note: $program is not built, so that no configuration was checked"
fi
if ((dry)); then
  if ((slurm_wanted)); then print_job_script "${!cell_task[@]}"; else print_commands; fi
  exit 0
fi

mkdir -p "$out"
exec 9>"$out/.sweep.lock"
try_lock 9 "$out" 2 || die "$out: another sweep works in this folder"
if ((slurm_wanted)); then
  submit_to_slurm
else
  run_cells
fi
write_tables
((failed == 0)) || exit 1
