#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# scripts/sweep.sh --slurm on a Slurm of its own: one node, its own keys, ports and folders (Debian: apt-get install slurm-wlm munge). It needs
# root, as Slurm's daemons do; without either it is skipped (77). The program is a stand-in.
set -euo pipefail
# shellcheck source=tests/scripts/sweep_support.sh
source "$(dirname "${BASH_SOURCE[0]}")/sweep_support.sh"
PATH=$PATH:/usr/sbin:/sbin
for tool in slurmctld slurmd sbatch munged; do
  command -v "$tool" >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }
done
((EUID == 0)) || { echo "skipped: Slurm's daemons need root"; exit 77; }

slurm=$folder/slurm
daemons=()
stop_slurm() {
  ((${#daemons[@]} == 0)) || kill "${daemons[@]}" 2>/dev/null || true
  wait "${daemons[@]}" 2>/dev/null || true
  rm -rf "$folder"
}
start_slurm() {
  local host
  host=$(hostname -s)
  mkdir -p "$slurm"/{state,spool}
  dd if=/dev/urandom of="$slurm/munge.key" bs=128 count=1 status=none
  chmod 600 "$slurm/munge.key"
  trap stop_slurm EXIT
  munged --foreground --force --key-file "$slurm/munge.key" --socket "$slurm/munge.socket" --pid-file "$slurm/munged.pid" \
    --log-file "$slurm/munged.log" --seed-file "$slurm/munge.seed" >/dev/null 2>&1 &
  daemons+=($!)
  # cred_expire: a job that goes back into the queue waits for as long before it may start again.
  cat >"$slurm/slurm.conf" <<CONF
ClusterName=sweep
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthInfo=socket=$slurm/munge.socket,cred_expire=5
SlurmctldPort=26817
SlurmdPort=26818
StateSaveLocation=$slurm/state
SlurmdSpoolDir=$slurm/spool
SlurmctldPidFile=$slurm/slurmctld.pid
SlurmdPidFile=$slurm/slurmd.pid
SlurmctldLogFile=$slurm/slurmctld.log
SlurmdLogFile=$slurm/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=2,sched_min_interval=100000
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=low Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=5
PartitionName=high Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=9
CONF
  export SLURM_CONF=$slurm/slurm.conf
  until_true test -S "$slurm/munge.socket"
  slurmctld -D -i >/dev/null 2>&1 &
  daemons+=($!)
  slurmd -D >/dev/null 2>&1 &
  daemons+=($!)
  until_true node_is_idle
}
node_is_idle() { sinfo --noheader --format %T 2>/dev/null | grep -qx idle; }
queue_is_empty() { [[ -z $(squeue --noheader 2>/dev/null) ]]; }
# Slurm looks at its time limits once a minute.
patiently() {
  local i
  for ((i = 0; i < 300; ++i)); do
    if "$@"; then return; fi
    sleep 1
  done
  squeue >&2 || true
  tail -n 20 out/slurm/*.log "$slurm/slurmctld.log" >&2 || true
  fail "does not come: $*"
}
three=(--attention "softmax mean none")

a_dry_run_prints_the_script() {
  run 0 "${three[@]}" --slurm "--partition=low --time=5" --dry-run
  expect_text out.txt "#SBATCH --array=0-2"
  expect_text out.txt "#SBATCH --partition=low --time=5"
  expect ! -e out
  expect -z "$(squeue --noheader)"
}

queued_and_finished_cells_are_not_submitted_again() {
  local submit=("${three[@]}" --slurm "--cpus-per-task=1" --set train.steps=50)
  run 0 "${submit[@]}"
  expect_text err.txt "3 cells: 0 finished, 0 queued or running, 3 to submit"
  run 0 "${submit[@]}"
  expect_text err.txt " 0 to submit"
  patiently queue_is_empty
  expect "$(lines '^end')" = 3
  expect "$(lines ' device=auto threads=1 ')" = 3
  run 0 "${submit[@]}"
  expect_text err.txt "3 cells: 3 finished, 0 queued or running, 0 to submit"
  expect_text out.txt "| listops | mean | 50.00 |"
  # Other settings are another experiment: their cells are not finished.
  run 0 "${submit[@]}" --set mean:train.lr=2
  expect_text err.txt "3 cells: 2 finished, 0 queued or running, 1 to submit"
  patiently queue_is_empty
}

failed_cells_are_submitted_again() {
  touch "$STAND_IN/fail-listops-mean-0"
  run 0 "${three[@]}" --slurm ""
  patiently queue_is_empty
  expect "$(lines '^end')" = 2
  rm "$STAND_IN/fail-listops-mean-0"
  run 0 "${three[@]}" --slurm ""
  expect_text err.txt "3 cells: 2 finished, 0 queued or running, 1 to submit"
  expect_text err.txt "again: listops mean seed 0: FAILED with exit code 4"
  patiently queue_is_empty
  expect "$(lines '^end')" = 3
}

at_the_time_limit_a_cell_saves_and_is_queued_again() {
  local cells=(--attention "none mean" --set train.steps=20 --set mean:train.steps=250)
  run 0 "${cells[@]}" --slurm "--time=1 --signal=B:USR1@55"
  patiently queue_is_empty
  expect "$(lines '^saved listops/mean')" -ge 1
  expect "$(lines '^end listops/mean')" = 1
  expect "$(grep -c '^start listops/mean/0 0 device' "$STAND_IN/log")" = 1
  # The other cell, which had ended, was not queued again with it.
  cat out/slurm/*.log >jobs.txt
  expect_no_text jobs.txt "(was finished)"
  run 0 "${cells[@]}" --slurm ""
  expect_text out.txt "| listops | mean | 50.00 |"
}

preempted_a_cell_saves_and_is_queued_again() {
  run 0 --attention mean --slurm "--partition=low" --set train.steps=300
  patiently grep -q '^start' "$STAND_IN/log"
  sbatch --quiet --partition=high --exclusive --output=/dev/null --wrap "sleep 5"
  patiently queue_is_empty
  expect "$(lines '^saved')" -ge 1
  expect "$(lines '^end')" = 1
}

a_cancelled_cell_stays_away() {
  run 0 --attention mean --slurm "" --set train.steps=100
  patiently grep -q '^start' "$STAND_IN/log"
  scancel --user "$(id -un)"
  patiently queue_is_empty
  expect "$(lines '^end')" = 0
  run 0 --attention mean --slurm "" --set train.steps=100
  expect_text err.txt "1 to submit"
  patiently queue_is_empty
  expect "$(lines '^end')" = 1
}

start_slurm
cases=(a_dry_run_prints_the_script queued_and_finished_cells_are_not_submitted_again failed_cells_are_submitted_again
  at_the_time_limit_a_cell_saves_and_is_queued_again preempted_a_cell_saves_and_is_queued_again a_cancelled_cell_stays_away)
if (($# > 0)); then cases=("$@"); fi
run_cases "${cases[@]}"
