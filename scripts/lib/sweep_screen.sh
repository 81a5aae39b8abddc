# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What a sweep shows while it runs: on a terminal a table that is drawn anew in place, elsewhere a line when a cell starts and one when it
# ends. Sourced by scripts/sweep.sh.
# shellcheck disable=SC2154,SC2034

screen=0 screen_lines=0 screen_next=0

open_screen() {
  screen=0
  if [[ -t 2 && ${TERM:-dumb} != dumb && -z $only_cell ]]; then screen=1; fi
  width_name=4 width_kind=9
  local i
  for i in "${!cell_task[@]}"; do
    ((${#cell_name[i]} <= width_name)) || width_name=${#cell_name[i]}
    ((${#cell_kind[i]} <= width_kind)) || width_kind=${#cell_kind[i]}
  done
}

# say_cell CELL WHAT: a line, where there is no table that shows it.
say_cell() {
  screen_next=0
  # A terminal that is gone must not end the sweep before its cells have saved.
  ((screen)) || say "[$(($1 + 1))/$total] ${cell_name[$1]} ${cell_kind[$1]} seed ${cell_seed[$1]}: $2" || true
}

# progress CELL SLOT: sets `text` to step, share and time left, from the last windows in the run folder.
progress() {
  local line step=0 steps=0 ms=0 total_steps=${pair_steps[${cell_task[$1]} ${cell_kind[$1]}]:-0}
  local file=${value[out]}/${cell_name[$1]}/${cell_kind[$1]}/seed-${cell_seed[$1]}/timings.jsonl
  text="running   begins"
  [[ -s $file ]] || return 0
  while IFS= read -r line; do
    [[ $line =~ \"phase\":\"train\",\"step\":([0-9]+),\"steps\":([0-9]+),\"seconds\":([0-9]+)(\.([0-9]*))?[,}] ]] || continue
    step=${BASH_REMATCH[1]} steps=$((steps + BASH_REMATCH[2]))
    line=${BASH_REMATCH[5]}000
    ms=$((ms + BASH_REMATCH[3] * 1000 + 10#${line:0:3}))
  done < <(tail -n 6 "$file")
  ((steps > 0)) || return 0
  text="running   step $step/$total_steps"
  if ((step > 0 && total_steps > step)); then
    text+=" ($((100 * step / total_steps)) %)  ETA $(duration $(((total_steps - step) * ms / steps / 1000)))"
  elif ((total_steps > 0)); then
    text+="  scores the test set"
  fi
}

# row CELL: sets `text` to a line of the table.
row() {
  local i=$1 slot
  case ${state[i]} in
    running)
      for slot in "${!slot_pid[@]}"; do
        [[ ${slot_cell[slot]} != "$i" ]] || break
      done
      progress "$i"
      text+="  on ${slot_device[slot]:-auto}  $(duration $((SECONDS - started[i])))" ;;
    done) text="finished  ${note[i]}" ;;
    failed)
      text=${note[i]#FAILED with }
      text="failed    ${text/lotformer-train: error: /}" ;;
    stopped) text="${note[i]}" ;;
    held) text="waiting   another process trains it" ;;
    *) text="waiting" ;;
  esac
  printf -v text '%-*s  %-*s  %4s  %s' "$width_name" "${cell_name[i]}" "$width_kind" "${cell_kind[i]}" "${cell_seed[i]}" "$text"
}

# choose HEIGHT: sets `chosen` to the cells that fit, in the order of the plan: those that run, then failures, then the newest that ended,
# then those that come next.
choose() {
  local room=$1 which i order=()
  local -A take=()
  for which in running failed stopped; do
    for i in "${!state[@]}"; do [[ ${state[i]} != "$which" ]] || order+=("$i"); done
  done
  order+=("${finished_order[@]:${#finished_order[@]} > room / 3 ? ${#finished_order[@]} - room / 3 : 0}")
  for i in "${!state[@]}"; do [[ ${state[i]} != held && ${state[i]} != waiting ]] || order+=("$i"); done
  for i in "${!state[@]}"; do order+=("$i"); done
  for i in "${order[@]}"; do
    ((${#take[@]} < room)) || break
    take[$i]=1
  done
  chosen=()
  for i in "${!state[@]}"; do [[ -z ${take[$i]:-} ]] || chosen+=("$i"); done
}

# The line above the table.
headline() {
  local waiting=0 left="" one
  for one in "${state[@]}"; do [[ $one != waiting && $one != held ]] || waiting=$((waiting + 1)); done
  if ((fresh > 0)); then
    left=", about $(duration $(((waiting + (${#slot_pid[@]} + 1) / 2) * fresh_seconds / fresh / ${#slot_device[@]}))) left"
  fi
  text="$((ended - failed)) of $total finished, ${#slot_pid[@]} running, $failed failed, $waiting waiting; $(duration "$SECONDS")$left"
  if [[ -n $stopped ]]; then text="stopping: the running cells save their state. $text"; fi
}

# Draws once a second, at once after something has happened.
draw_screen() {
  local rows=24 columns=80 text chosen i lines=()
  ((screen && SECONDS >= screen_next)) || return 0
  screen_next=$((SECONDS + 1))
  read -r rows columns < <(stty size <&2 2>/dev/null || echo "24 80") || true
  ((rows > 5)) || rows=24
  ((columns > 20)) || columns=80
  headline
  lines=("$text")
  printf -v text '%-*s  %-*s  seed  %s' "$width_name" task "$width_kind" attention state
  lines+=("$text")
  choose $((rows - 4))
  for i in "${chosen[@]}"; do
    row "$i"
    lines+=("$text")
  done
  ((${#chosen[@]} == total)) || lines+=("... and $((total - ${#chosen[@]})) more cells")
  text=""
  for i in "${!lines[@]}"; do text+="${lines[i]:0:columns-1}"$'\e[K\n'; done
  ((screen_lines == 0)) || printf '\e[%dA' "$screen_lines" >&2 || screen=0
  printf '%s\e[J' "$text" >&2 || screen=0
  screen_lines=${#lines[@]}
}

close_screen() {
  screen_next=0
  draw_screen
}
