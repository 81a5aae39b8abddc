# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Trains the cells: each slot has one at a time, a cell is taken by one slot of one process alone, signals reach all of them.
# Sourced by scripts/sweep.sh.
# shellcheck disable=SC2154,SC2034

# Of each cell: waiting, held (by another process), running, done, failed, stopped; what is said of it; when it started.
state=() note=() code=() started=()
# Of each slot: process, cell, and whether a signal was passed on to the process.
slot_pid=() slot_cell=() slot_told=()
stopped="" failed=0 ended=0 finished_order=()
# How long the cells took that were trained here and not found finished.
fresh=0 fresh_seconds=0

# A cell saves and ends when its sweep dies: whoever kills -9 the sweep finds no training that goes on unseen. Not by TERM, which may have
# been sent before: a second one would end the cell without saving.
die_together=()
if setpriv --pdeathsig USR1 true 2>/dev/null; then die_together=(setpriv --pdeathsig USR1); fi

# "3 min 12 s"
duration() {
  local s=$1
  if ((s < 60)); then echo "$s s"
  elif ((s < 3600)); then echo "$((s / 60)) min $((s % 60)) s"
  elif ((s < 172800)); then echo "$((s / 3600)) h $((s % 3600 / 60)) min"
  else echo "$((s / 86400)) d $((s % 86400 / 3600)) h"; fi
}

tell() {
  slot_told[$1]=1
  kill -TERM "${slot_pid[$1]}" 2>/dev/null || true
}

# Whatever the signal, a cell gets TERM: on the first one it saves and ends with 75, a second one ends it at once.
stop() {
  local slot
  stopped=$1
  for slot in "${!slot_pid[@]}"; do tell "$slot"; done
}

# take_cell CELL SLOT: starts it, unless another process has it (status 1). Its lock is inherited by the training, so that it holds as long
# as the training lives, whatever becomes of the sweep.
take_cell() {
  local i=$1 slot=$2 lock
  prepare "$i" "$slot"
  mkdir -p "$(dirname "$cell")"
  exec {lock}>"$cell.lock" || die "$cell.lock: cannot be written"
  if ! try_lock "$lock" "$cell.lock"; then
    exec {lock}>&-
    return 1
  fi
  rm -f "$cell.exit"
  echo "${arguments[*]}" >"$cell.settings"
  slot_told[slot]=0
  # A signal may come at any point: before the start nothing is started; between the start and the next line the trap does not know whom to
  # tell, so that it is told below; later the trap tells it.
  if [[ -n $stopped ]]; then
    exec {lock}>&-
    return 0
  fi
  "${die_together[@]}" "${command[@]}" >"$cell.json.part" 2>"$cell.log" 9>&- &
  slot_pid[slot]=$!
  if [[ -n $stopped ]] && ((slot_told[slot] == 0)); then tell "$slot"; fi
  exec {lock}>&-
  slot_cell[slot]=$i state[i]=running started[i]=$SECONDS
  say_cell "$i" "starts on ${slot_device[slot]:-auto}$( ((threads == 0)) || echo ", $threads thread$( ((threads == 1)) || echo s)")"
}

# end_cell SLOT: the exit code goes to CELL.exit, the results to CELL.json.
end_cell() {
  local slot=$1 i=${slot_cell[$1]} status=0
  wait "${slot_pid[slot]}" || status=$?
  unset "slot_pid[$slot]"
  prepare "$i" "$slot"
  if ((status == 0)); then mv "$cell.json.part" "$cell.json"; else rm -f "$cell.json.part" "$cell.json"; fi
  echo "$status" >"$cell.exit"
  judge_cell "$i" "$status"
  say_cell "$i" "${note[i]}, $((SECONDS - started[i])) s"
}

# judge_cell CELL STATUS: state and note of a cell that has ended. While the sweep stops, a cell that ends otherwise than well was stopped.
judge_cell() {
  local i=$1 status=$2
  code[i]=$status
  if ((status == 75)) || { [[ -n $stopped ]] && ((status != 0)); }; then
    state[i]=stopped note[i]="stopped: $( ((status == 75)) && echo "saved" || echo "ended with $status, goes on from its last checkpoint")"
    return
  fi
  ended=$((ended + 1)) state[i]="done"
  finished_order+=("$i")
  note[i]=$(tables outcome "$cell" "$status" 2>/dev/null) || note[i]="FAILED: ended with 0 but without results"
  if [[ ${note[i]} == FAILED* ]]; then
    state[i]=failed failed=$((failed + 1)) code[i]=$((status == 0 ? 1 : status))
  elif [[ ${note[i]} != *"(was finished)"* ]]; then
    fresh=$((fresh + 1)) fresh_seconds=$((fresh_seconds + SECONDS - started[i]))
  fi
}

# next_cell SLOT: the first cell that waits and that nobody else has.
next_cell() {
  local i
  for i in "${!cell_task[@]}"; do
    [[ ${state[i]} == waiting || ${state[i]} == held ]] || continue
    [[ -z $stopped ]] || return 0
    if take_cell "$i" "$1"; then return 0; fi
    if [[ ${state[i]} == waiting ]]; then
      state[i]=held
      say_cell "$i" "another process trains it; this sweep looks again"
    fi
  done
}

# Waits a moment, less where a child ends or a signal comes.
moment() {
  sleep "$1" 9>&- &
  wait $! || true
}

# collect: ends the cells whose process has ended, gives their slots the next ones. Status 1: nothing is left to do.
collect() {
  local slot alive waiting=0
  alive=" $(jobs -rp | tr '\n' ' ') "
  for slot in "${!slot_device[@]}"; do
    if [[ -n ${slot_pid[slot]:-} ]]; then
      [[ $alive != *" ${slot_pid[slot]} "* ]] || continue
      end_cell "$slot"
    fi
    [[ -n $stopped ]] || next_cell "$slot"
  done
  ((${#slot_pid[@]} == 0)) || return 0
  [[ -z $stopped ]] || return 1
  [[ " ${state[*]} " == *" waiting "* || " ${state[*]} " == *" held "* ]]
}

run_cells() {
  local i
  trap 'stop INT' INT
  trap 'stop TERM' TERM
  trap 'stop HUP' HUP
  for i in "${!cell_task[@]}"; do state[i]=waiting note[i]=""; done
  open_screen
  while collect; do
    draw_screen
    moment 0.2
  done
  close_screen
  if [[ -n $stopped || " ${state[*]} " == *" stopped "* ]]; then
    say "stopped${stopped:+ by SIG$stopped}: $ended of $total cells have ended, $((ended - failed)) of them well; the same command continues" || true   # the terminal may be gone
    exit 75
  fi
}

# One cell in a job of Slurm. Its exit code is that of the program, 75 after it was stopped and has saved.
run_one_cell() {
  local i
  trap 'stop INT' INT
  trap 'stop TERM' TERM
  trap 'stop USR1' USR1
  check_one_cell
  i=$cell_index state[i]=waiting
  open_screen
  if ! take_cell "$i" 0; then
    say "$only_cell: another process trains it"
    exit 0
  fi
  while [[ -n ${slot_pid[0]:-} ]]; do
    if [[ " $(jobs -rp | tr '\n' ' ') " != *" ${slot_pid[0]} "* ]]; then end_cell 0; else moment 1; fi
  done
  if [[ ${state[i]} == waiting || ${state[i]} == stopped ]]; then
    requeue_if_meant
    exit 75
  fi
  exit "${code[i]}"
}

# Tables of all cells that have ended, and the report where its program is there.
write_tables() {
  local i
  : >"$out/.cells"
  for i in "${!cell_task[@]}"; do
    prepare "$i" 0
    printf '%s\t%s\t%s\t%s\t%s\n' "${cell_name[i]}" "${cell_kind[i]}" "${cell_seed[i]}" "${code[i]}" "$cell" >>"$out/.cells"
  done
  tables tables "$out"
  cat "$out/summary.md"
  if ((failed > 0)); then
    say "$failed of $total cells failed; the same command tries them again:"
    for i in "${!cell_task[@]}"; do
      [[ ${state[i]} != failed ]] || say "  ${cell_name[i]} ${cell_kind[i]} seed ${cell_seed[i]}: ${note[i]}"
    done
  fi
  if [[ -x $report_program ]]; then
    "$report_program" "$out" --out "$out/report" >"$out/report.log" 2>&1 || say "note: $report_program failed: $(tail -n 1 "$out/report.log")"
  fi
}
