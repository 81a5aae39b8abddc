#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The CUDA core of LOTFormer on a real GPU: correctness, sanitizers, ceilings, benchmarks, profiler counters; one JSON file.
#   scripts/dev/gpu_check.sh OUT [--quick]        OUT/report.json, logs beside it; under ten minutes
#   scripts/dev/gpu_check.sh OUT --cpu-dry-run    the same program on the CPU with emulated kernels, two tiny shapes: proves the program, not the GPU
#   ... --program FILE                            this pivot_check (or pivot_check_emulated) instead of the one in build/release/bin
# Builds the program where it is not there: that takes what scripts/deps.sh set up and, for the GPU, nvcc. With --program neither is needed,
# so the program may have been built elsewhere; its libraries are then found by LD_LIBRARY_PATH. For developers: nothing here is needed to
# build or run lotformer. Exit code 0: all passed; 1: something did not; 2: usage; 8: no GPU or no nvcc.
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"

usage() {
  say "usage: scripts/dev/gpu_check.sh OUT [--quick | --cpu-dry-run] [--program FILE]"
  exit 2
}
if (($# < 1)) || [[ $1 == -* ]]; then
  usage
fi
folder=$1 quick=() emulated='' check=''
shift
while (($# > 0)); do
  case $1 in
    --quick) quick=(--quick) ;;
    --cpu-dry-run) emulated=yes ;;
    --program)
      (($# > 1)) || usage
      check=$2
      [[ -x $check ]] || die "--program: $check is not a program"
      shift
      ;;
    *) usage ;;
  esac
  shift
done
mkdir -p "$folder" || die "cannot make the folder $folder"
out=$(cd "$folder" && pwd)
mkdir -p "$out/lines" "$out/logs"
rm -f "$out"/lines/*.jsonl "$out/report.json"
failed=()
deadline=580   # seconds for everything: what does not fit any more is left out, and says so

# run NAME SECONDS COMMAND...: JSON lines into lines/NAME.jsonl, everything else into logs/NAME.log. Goes on after a failure and remembers it.
run() {
  local name=$1 limit=$2 start=$SECONDS code=0
  shift 2
  say "==> $name"
  ((limit < deadline - SECONDS)) || limit=$((deadline - SECONDS))
  if ((limit <= 0)); then
    echo "no time left" >"$out/logs/$name.log"
    code=124
  else
    timeout "$limit" "$@" >"$out/lines/$name.jsonl" 2>"$out/logs/$name.log" || code=$?
  fi
  say "    $name: $((SECONDS - start)) s$( ((code == 0)) || echo ", exit code $code: see $out/logs/$name.log")"
  ((code == 0)) || failed+=("$name")
  printf '{"kind": "stage", "name": "%s", "exit_code": %d, "seconds": %d}\n' "$name" "$code" "$((SECONDS - start))" >>"$out/lines/stages.jsonl"
}

configure_and_build() {
  use_own_cmake_if_needed
  configure "$preset"
  build "$preset" "${check##*/}"
}

need_gpu() {
  nvidia-smi --query-gpu=name,driver_version --format=csv,noheader >"$out/logs/gpu.txt" 2>/dev/null ||
    { say "error: no GPU: nvidia-smi finds none. --cpu-dry-run runs the checks with emulated kernels"; exit 8; }
}

# sanitize TOOL: a compute-sanitizer tool over the smallest shapes.
sanitize() {
  local tool=$1
  if ! command -v compute-sanitizer >/dev/null; then
    printf '{"kind": "sanitizer", "tool": "%s", "passed": null, "reason": "compute-sanitizer is not installed"}\n' "$tool" >>"$out/lines/sanitizers.jsonl"
    return
  fi
  run "sanitizer-$tool" 90 compute-sanitizer --tool "$tool" --error-exitcode 9 --log-file "$out/logs/$tool.txt" "$check" smallest
  local passed=true
  [[ " ${failed[*]} " != *" sanitizer-$tool "* ]] || passed=false
  printf '{"kind": "sanitizer", "tool": "%s", "passed": %s}\n' "$tool" "$passed" >>"$out/lines/sanitizers.jsonl"
}

profile() {
  local metrics=sm__inst_issued.avg.pct_of_peak_sustained_active,sm__warps_active.avg.pct_of_peak_sustained_active
  metrics+=,dram__bytes.sum,lts__t_bytes.sum,l1tex__data_pipe_lsu_wavefronts_mem_shared.sum,gpu__time_duration.sum
  if ! command -v ncu >/dev/null; then
    printf '{"kind": "profiler", "reason": "ncu is not installed"}\n' >"$out/lines/profiler.jsonl"
    return
  fi
  local task
  for task in listops text pathfinder; do
    ((deadline - SECONDS > 60)) || break
    say "==> profiler: $task"
    timeout 60 ncu --csv --clock-control none --kernel-name 'regex:pivot_' --launch-count 7 --metrics "$metrics" "$check" "task=$task" \
      >"$out/logs/ncu-$task.csv" 2>"$out/logs/ncu-$task.log" || say "    the profiler gave nothing: $out/logs/ncu-$task.log"
  done
}

report=(python3 "$root/scripts/dev/gpu_report.py")
[[ -n $emulated ]] || need_gpu
if [[ -z $check ]]; then
  check=$bin/pivot_check${emulated:+_emulated}
  if [[ -z $emulated && -z $(find_nvcc) ]]; then
    say "error: no CUDA compiler (nvcc) was found to build pivot_check with; --program takes one that was built elsewhere"
    exit 8
  fi
  stage "build" configure_and_build
fi
if [[ -n $emulated ]]; then
  deadline=1000000
  run results 3600 "$check" results
  "${report[@]}" collect "$out" --emulated
else
  run results 240 "$check" results "${quick[@]}"
  run capture 60 "$check" capture
  run ceilings 30 "$check" ceilings
  run bench 150 "$check" bench "${quick[@]}"
  for tool in memcheck racecheck initcheck synccheck; do
    sanitize "$tool"
  done
  run compiled 120 python3 "$root/scripts/dev/gpu_compiled.py" "${quick[@]}"
  profile
  built=$(cd "$(dirname "$check")/.." && pwd)
  if [[ ! -f $built/CMakeCache.txt ]]; then   # the program was carried here: its compiler's report was left behind
    "${report[@]}" collect "$out"
  else
    "${report[@]}" collect "$out" --build "$built"
  fi
fi
((${#failed[@]} == 0)) || die "did not pass: ${failed[*]}. $out/report.json has the details."
say "$out/report.json: all passed. To publish it: scripts/dev/render_gpu_report.sh $out/report.json"
