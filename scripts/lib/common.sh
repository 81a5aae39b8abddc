# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What the scripts share: places, messages, stages with their times, disk check, configure and build. Sourced, never run.

this_script=$(realpath "${BASH_SOURCE[-1]}")   # now: the script may go to another folder
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
deps=${LOTFORMER_DEPS_DIR:-$root/.deps}
mkdir -p "$deps" 2>/dev/null || { echo "error: cannot make the folder $deps (LOTFORMER_DEPS_DIR)" >&2; exit 1; }
deps=$(cd "$deps" && pwd)
export LOTFORMER_DEPS_DIR=$deps
preset=${LOTFORMER_PRESET:-release}
# shellcheck disable=SC2034  # used by the scripts that source this
bin=$root/build/$preset/bin

# Numbers are written with a decimal point and sorted by byte, whatever the user's locale: awk and printf follow it else.
export LC_ALL=C

# Prints the comment at the head of the script that runs: what it does and how it is called.
script_help() {
  awk 'NR < 3 { next } !/^#/ { exit } { sub(/^# ?/, ""); print }' "$this_script"
}

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

# stage NAME COMMAND...: runs the command between a line with the name and a line with the elapsed time. Keep it out of if, && and ||,
# which would switch off `set -e` inside COMMAND.
stage() {
  local name=$1 start=$SECONDS
  shift
  say "==> $name"
  "$@"
  say "    $name: $((SECONDS - start)) s"
}

# try_lock FD WHAT [SECONDS]: locks the open file of that number, or fails because another process has it all the time (0: now). Where there are no locks (a file system
# without them, no flock) it says so and succeeds: WHAT may be used all the same, by one process at a time.
try_lock() {
  local code=0
  flock -w "${3:-0}" "$1" 2>/dev/null || code=$?
  if ((code == 1)); then return 1; fi
  ((code == 0)) || say "warning: $2 cannot be locked (flock ends with $code); make sure that no other process works there"
}

# need_disk MB FOLDER WHAT: one sentence when FOLDER's file system has less than MB free.
need_disk() {
  local free
  free=$(df -Pm "$2" | awk 'NR == 2 { print $4 }')
  if ((free < $1)); then
    die "$3 needs about $1 MB of free disk in $2, only $free MB are free."
  fi
}

# Prints the path of nvcc, or nothing. The same places as CMake's FindCUDAToolkit.
find_nvcc() {
  local place
  command -v nvcc && return
  for place in "${CUDA_PATH:-}" "${CUDA_HOME:-}" /usr/local/cuda; do
    if [[ -n $place && -x $place/bin/nvcc ]]; then
      echo "$place/bin/nvcc"
      return
    fi
  done
}

# CMake 3.24 or newer: the system's, else the one that deps.sh put into the deps folder.
cmake_is_new_enough() {
  local version
  version=$(cmake --version 2>/dev/null | awk 'NR == 1 { print $3 }')
  [[ -n $version && $(printf '3.24\n%s\n' "$version" | sort -V | head -n 1) == 3.24 ]]
}
use_own_cmake_if_needed() {
  local folder=$deps/cmake-3.31.6/cmake/data/bin
  if [[ -x $folder/cmake ]] && ! cmake_is_new_enough; then
    PATH=$folder:$PATH
  fi
}

# A compiler with LibTorch's headers takes about 1.5 GB: as many jobs as cores, fewer where memory is short.
build_jobs() {
  local cores memory limit
  cores=$(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc)
  memory=$(awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo)
  limit=$(cat /sys/fs/cgroup/memory.max 2>/dev/null || echo max)
  if [[ $limit != max ]] && ((limit / 1048576 < memory)); then
    memory=$((limit / 1048576))
  fi
  memory=$((memory / 1500))
  echo $((cores < memory ? cores : memory > 0 ? memory : 1))
}

# configure PRESET [CMAKE ARGUMENTS...]; LOTFORMER_CMAKE_ARGS adds arguments, LOTFORMER_CUDA=OFF leaves CUDA out.
configure() {
  local name=$1 log=$root/build/$1-configure.log arguments
  shift
  read -r -a arguments <<<"${LOTFORMER_CMAKE_ARGS:-}"
  if [[ -n ${LOTFORMER_CUDA:-} ]]; then
    arguments+=("-DLOTFORMER_CUDA=$LOTFORMER_CUDA")
  fi
  mkdir -p "$root/build"
  if ! (cd "$root" && cmake --preset "$name" "-DLOTFORMER_DEPS_DIR=$deps" "${arguments[@]}" "$@") >"$log" 2>&1; then
    grep -A 12 'CMake Error' "$log" >&2 || tail -n 20 "$log" >&2
    die "configuring the preset '$name' failed; the whole output is in ${log#"$root"/}."
  fi
  grep -E '^-- (LibTorch|CUDA|MPI)' "$log" | sed 's/^--/   /' >&2 || true
  grep -A 3 'CMake Warning' "$log" >&2 || true
}

# As configure, for those who use the programs: a new build folder compiles several files at once (a unity build), which takes half the
# time. A folder that is there keeps its own setting.
configure_for_use() {
  local unity=()
  [[ -e $root/build/$1/CMakeCache.txt ]] || unity=(-DCMAKE_UNITY_BUILD=ON)
  configure "$@" "${unity[@]}"
}

# build PRESET [TARGETS...]
build() {
  local name=$1 targets=()
  shift
  if (($# > 0)); then
    targets=(--target "$@")
  fi
  NINJA_STATUS='    [%f/%t, %e s] ' cmake --build "$root/build/$name" --parallel "${CMAKE_BUILD_PARALLEL_LEVEL:-$(build_jobs)}" \
    "${targets[@]}" >&2 || die "building the preset '$name' failed: see the first message of the compiler above."
}
