#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The CUDA core of LOTFormer on a real GPU: correctness, sanitizers, ceilings, benchmarks, profiler counters; one JSON file.
#   scripts/gpu_check.sh OUT [--quick]        OUT/report.json, logs beside it; under ten minutes
#   scripts/gpu_check.sh OUT --cpu-dry-run    the same program on the CPU with emulated kernels, two tiny shapes: proves the program, not the GPU
# Needs cmake 3.24, ninja, python3 and either a python with torch or what scripts/deps.sh set up; for the GPU nvcc as well. For developers:
# nothing here is needed to build or run lotformer. Exit code 0: all passed; 1: something did not; 2: usage; 8: no GPU.
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

usage() {
  say "usage: scripts/gpu_check.sh OUT [--quick | --cpu-dry-run]"
  exit 2
}
if (($# < 1 || $# > 2)) || [[ $1 == -* ]]; then
  usage
fi
quick=() emulated=
case ${2:-} in
  '') ;;
  --quick) quick=(--quick) ;;
  --cpu-dry-run) emulated=yes ;;
  *) usage ;;
esac
mkdir -p "$1" || die "cannot make the folder $1"
out=$(cd "$1" && pwd)
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
  local arguments=(-S "$root" -B "$out/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DLOTFORMER_GPU_CHECK_ONLY=ON)
  local prefix
  if [[ -n $emulated ]]; then
    arguments+=(-DLOTFORMER_CUDA=OFF)
  else
    arguments+=(-DLOTFORMER_CUDA=ON)
  fi
  prefix=$(python3 -c 'import torch; print(torch.utils.cmake_prefix_path)' 2>/dev/null || true)
  [[ -z $prefix ]] || arguments+=("-DCMAKE_PREFIX_PATH=$prefix")
  cmake "${arguments[@]}" >"$out/logs/configure.log" 2>&1 || { tail -n 20 "$out/logs/configure.log" >&2; die "configuring failed: $out/logs/configure.log"; }
  cmake --build "$out/build" --target pivot_check --parallel "$(build_jobs)" >"$out/logs/build.log" 2>&1 ||
    { grep -m 3 -A 3 'error' "$out/logs/build.log" >&2; die "building failed: $out/logs/build.log"; }
}

need_gpu() {
  [[ -n $(find_nvcc) ]] || { say "error: no CUDA compiler (nvcc) was found"; exit 8; }
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

report=(python3 "$root/scripts/lib/gpu_report.py")
[[ -n $emulated ]] || need_gpu
stage "build" configure_and_build
check=$out/build/bin/pivot_check
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
  run compiled 120 python3 "$root/scripts/lib/gpu_compiled.py" "${quick[@]}"
  profile
  "${report[@]}" collect "$out"
fi
((${#failed[@]} == 0)) || die "did not pass: ${failed[*]}. $out/report.json has the details."
say "$out/report.json: all passed. To publish it: scripts/render_gpu_report.sh $out/report.json"
