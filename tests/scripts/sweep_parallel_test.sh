#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# scripts/sweep.sh with several jobs and a stand-in for the program: who trains what and where, signals, kill -9, failures, what is shown.
# shellcheck disable=SC2016  # texts of scripts
set -euo pipefail
# shellcheck source=tests/scripts/sweep_support.sh
source "$(dirname "${BASH_SOURCE[0]}")/sweep_support.sh"

started() { (($(lines '^start') >= $1)); }
# in_background ARGUMENTS...: sets sweep_pid.
in_background() {
  "$sweep" --out out "$@" >out.txt 2>err.txt </dev/null &
  sweep_pid=$!
}
ends_with() {
  local status=0
  wait "$sweep_pid" || status=$?
  ((status == $1)) || fail "exit code $status, wanted $1"
}
# Nobody trained anything twice at a time, and each of so many cells came to its end once.
each_cell_once() {
  expect "$(lines '^twice')" = 0
  expect "$(lines '^end')" = "$1"
  expect "$(grep '^end' "$STAND_IN/log" | sort -u | wc -l)" = "$1"
}
three_by_four=(--tasks "listops text image" --attention "softmax mean" --seeds "0 1")

jobs_share_the_cells() {
  run 0 "${three_by_four[@]}" --jobs 3
  each_cell_once 12
  expect "$(lines '^start')" = 12
  # At the same time, and never four.
  at_once=$(awk '/^start/ { if (++now > most) most = now } /^end/ { --now } END { print most }' "$STAND_IN/log")
  expect "$at_once" -ge 2 -a "$at_once" -le 3
  cores=$(nproc)
  expect "$(lines "threads=$((cores < 3 ? 1 : cores / 3)) ")" = 12
  # One line when a cell starts, one when it ends, and the tables of all.
  expect "$(grep -c '^\[.*: starts on auto' err.txt)" = 12
  expect "$(grep -c '^\[.*: test 50.00 %, ' err.txt)" = 12
  expect "$(wc -l <out/cells.csv)" = 13
  expect_text out.txt "| image | mean | 50.00 | 0.00 | 2 |"
  expect "$(head -n 1 err.txt)" = "checking: 6 configurations (3 tasks x 2 modules) of 12 cells"
}

each_job_has_its_device() {
  run 0 "${three_by_four[@]}" --devices "cuda:0 cuda:1 cpu" --set train.threads=7 --jobs 6 --set train.steps=40
  each_cell_once 12
  # Six jobs, each device has two of them.
  for device in cuda:0 cuda:1 cpu; do expect "$(head -n 6 "$STAND_IN/log" | grep -c "device=$device ")" = 2; done
  expect "$(lines 'threads=7 ')" = 12
  rm -rf out; : >"$STAND_IN/log"
  run 0 --attention mean --seeds "0 1" --devices "cuda:0 cuda:1"
  expect "$(lines 'device=cuda:0 ')" = 1
  expect "$(lines 'device=cuda:1 ')" = 1
  # A lonely job leaves device and threads to the program.
  rm -rf out
  run 0 --attention none
  expect "$(lines 'device=auto threads=0 ')" = 1
}

a_failure_stops_nobody() {
  touch "$STAND_IN/fail-text-mean-1" "$STAND_IN/fail-listops-softmax-0"
  run 1 "${three_by_four[@]}" --jobs 2
  each_cell_once 10
  expect_text err.txt "text mean seed 1: FAILED with exit code 4: lotformer-train: error: no checkpoint that is whole"
  expect_text err.txt "2 of 12 cells failed; the same command tries them again:"
  expect_text out.txt "| listops | softmax | 0 | 4 |"
  # The same command tries them again.
  rm "$STAND_IN"/fail-*
  run 0 "${three_by_four[@]}" --jobs 2
  expect_no_text out.txt Failures
}

# stopped_by SIGNAL: the cells that run save, no other starts, and the same command finishes each.
stopped_by() {
  rm -rf out; : >"$STAND_IN/log"
  in_background "${three_by_four[@]}" --jobs 2 --set train.steps=40
  until_true started 2
  sleep 0.5
  kill "-$1" "$sweep_pid"
  ends_with 75
  expect "$(lines '^start')" = 2
  expect "$(lines '^saved')" = 2
  expect_text err.txt "stopped by SIG$1: 0 of 12 cells have ended"
  run 0 "${three_by_four[@]}" --jobs 4 --set train.steps=40
  each_cell_once 12
  expect "$(lines '^start .* 0 device')" = 12   # those that had saved went on and did not begin again
}
# A job in the background ignores SIGINT: the test needs one that does not, as at a prompt.
signals_are_passed_on() {
  stopped_by TERM
  stopped_by HUP
  rm -rf out; : >"$STAND_IN/log"
  set -m
  in_background "${three_by_four[@]}" --jobs 2 --set train.steps=40
  set +m
  until_true started 2
  sleep 0.3
  kill -INT "$sweep_pid"
  ends_with 75
  expect "$(lines '^saved')" = 2
}

a_signal_between_cells_starts_no_other() {
  # The sweep takes the cell's lock before it starts the cell: there the signal comes, when no program runs that could be told.
  mkdir -p path
  printf '#!/bin/bash\nif [[ -s $STAND_IN/log && $2 != 9 ]]; then kill -TERM $PPID; fi\nexec /usr/bin/flock "$@"\n' >path/flock
  chmod +x path/flock
  PATH=$folder/path:$PATH run 75 --attention mean --seeds "0 1 2"
  rm -r path
  expect "$(lines '^start')" = 1
  expect_text err.txt "1 of 3 cells have ended"
  expect_no_text err.txt "[2/3]"
}

one_cell_stopped_alone() {
  in_background --attention "softmax mean none" --jobs 2 --set train.steps=40
  until_true started 2
  sleep 0.3
  kill -TERM "$(<out/listops/softmax/seed-0/pid)"
  ends_with 75
  expect "$(lines '^end')" = 2
  expect_text err.txt "listops softmax seed 0: stopped: saved"
}

killed_and_picked_up() {
  in_background "${three_by_four[@]}" --jobs 3 --set train.steps=15
  until_true started 5
  kill -KILL "$sweep_pid"
  wait "$sweep_pid" || true
  # At once: the trainings of the dead sweep are saving, and nobody trains their cells beside them.
  run 0 "${three_by_four[@]}" --jobs 3 --set train.steps=15
  each_cell_once 12
  expect "$(lines '^saved')" -ge 1
  expect "$(wc -l <out/cells.csv)" = 13
}

# Without setpriv the trainings outlive their sweep: the next one waits for them.
killed_where_trainings_live_on() {
  mkdir -p path
  printf '#!/bin/bash\nexit 1\n' >path/setpriv
  chmod +x path/setpriv
  PATH=$folder/path:$PATH in_background --attention "mean none" --jobs 2 --set train.steps=100
  until_true started 2
  kill -KILL "$sweep_pid"
  wait "$sweep_pid" 2>/dev/null || true
  PATH=$folder/path:$PATH run 0 --attention "mean none" --jobs 2 --set train.steps=100
  rm -r path
  each_cell_once 2
  expect "$(lines '^start')" = 2
  expect_text err.txt "listops none seed 0: another process trains it"
  expect "$(grep -c "(was finished)" err.txt)" = 2
}

two_sweeps_do_not_meet() {
  in_background --attention mean --set train.steps=300
  until_true started 1
  status=0
  "$sweep" --out out --attention mean --set train.steps=300 >second.txt 2>&1 || status=$?
  expect "$status" = 1
  expect_text second.txt "out: another sweep works in this folder"
  # A cell that a job of Slurm trains is left to it.
  "$sweep" --out out --attention mean --set train.steps=300 --cell listops/mean/seed-0 >second.txt 2>&1
  expect_text second.txt "another process trains it"
  kill -TERM "$sweep_pid"
  ends_with 75
}

a_cell_elsewhere_is_waited_for() {
  "$sweep" --out out --attention "mean none" --set train.steps=100 --cell listops/mean/seed-0 >cell.txt 2>&1 &
  until_true started 1
  run 0 --attention "mean none" --set train.steps=100
  wait
  expect_text err.txt "listops mean seed 0: another process trains it; this sweep looks again"
  expect "$(lines '^twice')" = 0
  expect "$(grep -c '^end listops/none' "$STAND_IN/log")" = 1
}

a_table_on_a_terminal() {
  local status=0
  touch "$STAND_IN/fail-listops-mean-1"
  python3 "$root/tests/scripts/on_terminal.py" 12 78 "$sweep" --out out "${three_by_four[@]}" --jobs 2 --set train.steps=25 >out.txt 2>&1 || status=$?
  expect "$status" = 1
  tr -d '\r' <out.txt >drawn.txt
  grep -qE '^listops +mean +0  running   step [0-9]+/25 \([0-9]+ %\)  ETA [0-9]+ s  on auto' drawn.txt || fail "no running cell with its step"
  grep -qE '^listops +softmax +0  finished  test 50.00 %' drawn.txt || fail "no finished cell with its accuracy"
  grep -qE '^listops +mean +1  failed    exit code 4: no checkpoint that is w' drawn.txt || fail "no failed cell with its reason"
  grep -qE '^text +softmax +0  waiting' drawn.txt || fail "no waiting cell"
  grep -qE '[0-9]+ of 12 finished, 2 running, 1 failed, [0-9]+ waiting; [0-9]+ s, about' drawn.txt || fail "no headline"
  # It is drawn in place, never higher than the terminal nor wider.
  grep -qE $'\e\\[1[01]A' drawn.txt || fail "not drawn in place"
  if grep -qE $'\e\\[(1[2-9]|[2-9][0-9])A' drawn.txt; then fail "higher than the terminal"; fi
  expect "$(sed '/^| /d; s/\x1b\[[0-9]*[A-Z]//g; /^checking/d; /test_/d' drawn.txt | grep -E 'waiting|running|finished' | awk '{ print length }' | sort -n | tail -n 1)" -lt 78
  expect_no_text drawn.txt "starts on"
}

a_terminal_that_closes() {
  local status=0
  { until_true started 2; sleep 0.5; touch "$STAND_IN/close"; } &
  CLOSE_WHEN=$STAND_IN/close python3 "$root/tests/scripts/on_terminal.py" 24 80 "$sweep" --out out --attention "mean none" --jobs 2 --set train.steps=400 >out.txt 2>&1 || status=$?
  expect "$status" = 75
  expect "$(lines '^saved')" = 2
}

the_report_is_called_where_it_is() {
  printf '#!/bin/bash\necho "$@" >>"$STAND_IN/report"; exit 3\n' >"$LOTFORMER_REPORT"
  chmod +x "$LOTFORMER_REPORT"
  run 0 --attention mean
  expect "$(cat "$STAND_IN/report")" = "out --out out/report"
  expect_text err.txt "report failed"
  rm "$LOTFORMER_REPORT"
}

a_comma_for_the_decimal_point() {
  localedef -i de_DE -f UTF-8 "$folder/de_DE.UTF-8" 2>/dev/null || true
  if [[ ! -d $folder/de_DE.UTF-8 ]]; then echo "   not tested: localedef has no de_DE here"; return; fi
  env "LOCPATH=$folder" LC_ALL=de_DE.UTF-8 "$sweep" --out out --attention mean --seeds "0 1" --jobs 2 >out.txt 2>err.txt || fail "exit code $?"
  expect_text out/summary.csv "listops,mean,0.5,0.0,2,"
}

cases=(jobs_share_the_cells each_job_has_its_device a_failure_stops_nobody signals_are_passed_on a_signal_between_cells_starts_no_other
  one_cell_stopped_alone killed_and_picked_up killed_where_trainings_live_on two_sweeps_do_not_meet a_cell_elsewhere_is_waited_for
  a_table_on_a_terminal a_terminal_that_closes the_report_is_called_where_it_is a_comma_for_the_decimal_point)
if (($# > 0)); then cases=("$@"); fi
run_cases "${cases[@]}"
