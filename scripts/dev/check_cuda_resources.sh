#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What ptxas gave every kernel against the committed table: registers, stack and spills at most as stated, every kernel of the table
# present for every target. Fails when there is no report.
#   scripts/dev/check_cuda_resources.sh FOLDER TABLE TARGET...   FOLDER: has *.resources of scripts/cmake/record_resources.sh somewhere below
#   scripts/dev/check_cuda_resources.sh --print FOLDER           the table that would pass
# TARGET: sm_90 and so on; each must have been compiled for, none else. Table: lines of "kernel registers stack spills", the most that
# any target needs; # begins a comment.
set -euo pipefail

# Prints "kernel target registers stack spills" of each kernel in the reports below FOLDER.
measured() {
  local reports
  mapfile -t reports < <(find "$1" -name '*.resources' | sort)
  ((${#reports[@]} > 0)) || { echo "error: $1: no *.resources below it; build the CUDA kernels first" >&2; return 1; }
  awk '
    /Compiling entry function/ {
      split($0, quoted, "\047")
      name = quoted[2]; target = quoted[4]; stack = 0; spills = 0
      kernel = name
      sub(/^_ZN9lotformer3ops5pivot4cuda[0-9]+/, "", kernel)
      base = kernel; sub(/I.*/, "", base)
      shape = ""
      if (match(kernel, /Li[0-9]+ELi[0-9]+E/)) { shape = substr(kernel, RSTART + 2, RLENGTH - 3); sub(/ELi/, "x", shape) }
      else if (match(kernel, /Li[0-9]+E/)) shape = substr(kernel, RSTART + 2, RLENGTH - 3)
      sub(/LayoutILi[0-9]+ELi[0-9]+ELb[01]E+/, "", kernel)   # what is left tells the form of the solver
      if (kernel ~ /Lb1E/) shape = shape ",resident"
      if (kernel ~ /Lb0E/) shape = shape ",streamed"
    }
    /bytes stack frame/ { stack = $1; spills = $5 + $9 }
    /Used [0-9]+ registers/ {
      match($0, /Used [0-9]+/)
      print base "<" shape ">", target, substr($0, RSTART + 5, RLENGTH - 5), stack, spills
    }' "${reports[@]}"
}

if [[ ${1:-} == --print && $# == 2 ]]; then
  measured "$2" | awk '
    { if ($3 > r[$1]) r[$1] = $3; if ($4 > s[$1]) s[$1] = $4; if ($5 > p[$1]) p[$1] = $5 }
    # Registers are handed out in units of 8, up to 255.
    END { for (k in r) { n = int((r[k] + 7) / 8) * 8; if (n > 255) n = 255; print k, n, s[k] + 0, p[k] + 0 } }' | sort -V
  exit
fi
if (($# < 3)); then
  sed -n '5,6s/^# //p' "$0" >&2
  exit 2
fi
folder=$1
table=$2
shift 2
measured "$folder" | awk -v table="$table" -v targets="$*" '
  BEGIN {
    while ((getline line < table) > 0) {
      if (line ~ /^#/ || line ~ /^[ \t]*$/) continue
      split(line, f, " ")
      r[f[1]] = f[2]; s[f[1]] = f[3]; p[f[1]] = f[4]; ++stated
    }
    count = split(targets, target, " ")
    for (i = 1; i <= count; ++i) asked[target[i]] = 1
    if (!stated) { print table ": no kernel in it"; ++wrong }
  }
  {
    ++found
    seen[$1, $2] = 1
    if (!($2 in asked)) { print $1 ": compiled for " $2 ", which nobody asked for: an old report?"; ++wrong; next }
    if (!($1 in r)) { print $1 " for " $2 ": not in " table; ++wrong; next }
    if ($3 > r[$1] || $4 > s[$1] || $5 > p[$1]) {
      printf "%s for %s: %d registers, %d bytes of stack, %d of spills; stated: %d, %d, %d\n", $1, $2, $3, $4, $5, r[$1], s[$1], p[$1]
      ++wrong
    }
  }
  END {
    for (k in r) for (t in asked) if (!((k, t) in seen)) { print k " for " t ": no report"; ++wrong }
    printf "%d reports, %d complaints against %s\n", found, wrong + 0, table
    exit wrong || !found
  }'
