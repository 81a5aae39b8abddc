#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Generation time, loading time and peak memory of data sets of official size; prints a Markdown table on stdout.
#   scripts/bench/data.sh [--tasks "listops text ..."] [--train N] [--folder DIR] [--keep]
#     --tasks   which of listops text retrieval image pathfinder32 pathfinder64 pathx pathfinder256 (default: all)
#     --train N training examples instead of the official number (image and Pathfinder add their share for validation and test)
#     --folder  where the sets are made (default: build/bench-data); a set that lies there already is used, its generation not timed
#     --keep    leave the sets (each is removed after its row: all together take about 60 GB)
# A row by itself at official size takes, by what 1,000 images cost, 13 minutes for pathfinder64 (its contours hardly fit) and 8 for pathfinder256 (15 GB)
# on two idle cores. Rows are merged into docs/benchmarks/data.md by hand: each line of stdout replaces the line of its task.
# "first load" decodes the files into the cache, "again" opens the cache (its checksum is verified); both are one process a split
# (lotformer-data show; Pathfinder's splits share one cache, which is opened once). "every byte" reads the whole set through the map (lotformer-data stats). Memory is the largest RssAnon + RssShmem
# seen in /proc every 10 ms: what the process holds beyond mapped files. Each load runs under `ulimit -d 307200`, so that a process which asks
# for more than 300 MiB of private memory, touched or not, fails.
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
cd "$root"

tasks="listops text retrieval image pathfinder32 pathfinder64 pathx pathfinder256" train="" folder=$root/build/bench-data keep=""
while (($# > 0)); do
  case $1 in
    --tasks) tasks=$2; shift 2 ;;
    --train) train=$2; shift 2 ;;
    --folder) folder=$2; shift 2 ;;
    --keep) keep=yes; shift ;;
    -h | --help) script_help; exit ;;
    *) die "unknown option $1; see --help" ;;
  esac
done
program=${LOTFORMER_DATA:-$bin/lotformer-data}
[[ -x $program ]] || die "$program is not there: build it first, or name it in LOTFORMER_DATA"
mkdir -p "$folder"
limit_kib=307200
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# What a process holds beyond mapped files, in KiB; nothing when it has gone.
resident() {
  awk '/^Rss(Anon|Shmem):/ { sum += $2 } END { if (NR) print sum + 0 }' "/proc/$1/status" 2>/dev/null || true
}

# measure COMMAND...: prints seconds and peak KiB. The command must succeed under the limit.
measure() {
  local start end pid now peak=0
  start=$(date +%s%N)
  (ulimit -d "$limit_kib" && exec "$@") >"$log" 2>&1 &
  pid=$!
  while now=$(resident "$pid") && [[ -n $now ]] && kill -0 "$pid" 2>/dev/null; do
    ((now > peak)) && peak=$now
    sleep 0.01
  done
  wait "$pid" || { cat "$log" >&2; die "$* failed"; }
  end=$(date +%s%N)
  awk -v ns=$((end - start)) -v kib="$peak" 'BEGIN { printf "%.2f %d\n", ns / 1e9, kib }'
}

# over_splits TASK DIR: opens each split; the sum of the seconds, the largest peak.
over_splits() {
  local split splits="train val test"
  [[ $1 == path* ]] && splits=train
  for split in $splits; do
    measure "$program" show --task "$1" --root "$2" --split "$split" --row 0 --json
  done | awk '{ seconds += $1; if ($2 > peak) peak = $2 } END { printf "%.2f %d\n", seconds, peak }'
}

size_of() { du -sb --exclude=.lotformer-cache "$1" | awk '{ printf "%.2f", $1 / 1e9 }'; }
# cells "SECONDS KIB": two cells of the table.
cells() { awk '{ printf "%s | %.1f", $1, $2 / 1024 }' <<<"$1"; }

row() {
  local task=$1 set=$folder/$1 made="there already" start caches examples files first again all
  local -a arguments=()
  [[ -n $train ]] && arguments=(--train "$train")
  if [[ ! -d $set ]]; then
    start=$(date +%s%N)
    "$program" generate --task "$task" --root "$set" "${arguments[@]}" >&2
    made=$(awk -v ns=$(($(date +%s%N) - start)) 'BEGIN { printf "%.1f", ns / 1e9 }')
  fi
  find "$set" -type d -name .lotformer-cache -prune -exec rm -rf {} +
  first=$(over_splits "$task" "$set")  # assignments of their own: a failure ends the script
  again=$(over_splits "$task" "$set")
  all=$(measure "$program" stats --task "$task" --root "$set" --json)
  examples=$(grep -o '"examples": *[0-9]*' "$log" | grep -o '[0-9]*' | paste -sd / | sed 's:/: / :g')
  files=$(find "$set" -path '*/.lotformer-cache' -prune -o -type f -print | wc -l)
  caches=$(find "$set" -path '*/.lotformer-cache/*.cache' -printf '%s\n' | awk '{ sum += $1 } END { printf "%.2f", sum / 1e9 }')
  echo "| $task | $examples | $files, $(size_of "$set") | $made | $(cells "$first") | $caches | $(cells "$again") | $(cells "$all") |"
  [[ -n $keep ]] || rm -rf "$set"
}

echo "| task | train / val / test | files, GB | generate, s | first load, s | MiB | cache, GB | again, s | MiB | every byte, s | MiB |"
echo "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
for task in $tasks; do
  stage "$task" row "$task"
done
