#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Everything that a GPU has to show, in one call of ten minutes on a machine where nothing compiles.
#   scripts/gpu_session.sh prepare                 here: builds, and collects the programs and their small libraries in gpu-session/ (ignored by
#                                                  git); prints what has to travel beside the repository's files, and its size
#   scripts/gpu_session.sh run OUT                 there: all stages in at most 590 seconds; OUT/report.json and OUT/session.tar.gz, which are written
#                                                  again after every stage, so that a call that is cut off leaves what it had
#   ... run OUT --cpu-dry-run                      the same stages without a GPU, in small: proves the script and the programs, measures nothing
#   ... prepare --from FOLDER [--emulated]         takes programs that are built already; --emulated: those of a dry run
#   ... run OUT --seconds N                        another limit
# There, LibTorch is taken from $LOTFORMER_TORCH (the folder of the package, which holds lib/), else from python3's torch, else from .deps. Stages have
# limits of their own, and one that fails or starves hides no other: report.json says of each how it ended. Exit code 0: all passed; 1: something did not;
# 2: usage; 8: no GPU.
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=scripts/lib/gpu_stages.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/gpu_stages.sh"
programs=(lotformer-train lotformer-eval lotformer-data lotformer-bench lotformer-doctor)
folder=${LOTFORMER_GPU_SESSION:-$root/gpu-session}
archive=programs.tar.gz
most_mib=60   # of what travels, the repository's own files included; 64 is the tool's limit

usage() {
  say "usage: scripts/gpu_session.sh prepare [--from FOLDER] [--emulated] | run OUT [--cpu-dry-run] [--seconds N]"
  exit 2
}

# The libraries of a program that no machine with CUDA and torch has.
small_libraries() {
  ldd "$1" | awk '$3 ~ /^\// { print $3 }' | grep -Ev '/(libc|libm|libdl|librt|libutil|libpthread|libgcc_s|libstdc\+\+|libgomp|ld-linux[^/]*)\.so|/(torch|nvidia)/|/cuda' || true
}

# take PROGRAM FOLDER: into FOLDER/bin, without symbols and without the place where this machine has its libraries; these into FOLDER/lib.
take() {
  local program=$2/bin/${1##*/} library
  cp "$1" "$program"
  for library in $(small_libraries "$1"); do
    cp -L "$library" "$2/lib/"
  done
  strip --strip-unneeded "$program"
  printf 'file(RPATH_REMOVE FILE "%s")\n' "$program" >"$2/rpath.cmake"
  cmake -P "$2/rpath.cmake" >/dev/null
  rm "$2/rpath.cmake"
}

prepare() {
  local from='' check=pivot_check program size own
  while (($# > 0)); do
    case $1 in
      --from) (($# > 1)) || usage; from=$2; shift ;;
      --emulated) check=pivot_check_emulated ;;
      *) usage ;;
    esac
    shift
  done
  use_own_cmake_if_needed
  if [[ -z $from ]]; then
    stage "configuring" configure_for_use release
    stage "building" build release "${programs[@]}" "$check"
    from=$root/build/release/bin
    grep -q '^CMAKE_CUDA_ARCHITECTURES.*90\|CUDA architectures: .*90' "$root/build/release-configure.log" "$root/build/release/CMakeCache.txt" ||
      die "the build has no code for compute capability 9.0: LOTFORMER_CMAKE_ARGS=-DLOTFORMER_CUDA_ARCHITECTURES=90-real"
  fi
  mkdir -p "$folder"
  work=$(mktemp -d "${TMPDIR:-/tmp}/lotformer-gpu-session.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  mkdir "$work/bin" "$work/lib"
  for program in "${programs[@]}" "$check"; do
    [[ -x $from/$program ]] || die "$from/$program is not a program: build it first, or leave --from out"
    take "$from/$program" "$work"
  done
  commit=$(git -C "$root" rev-parse --short HEAD 2>/dev/null || echo unknown)
  [[ -z $(git -C "$root" status --porcelain --untracked-files=no 2>/dev/null) ]] || commit+='+changes'
  echo "$commit" >"$work/COMMIT"
  tar -C "$work" -czf "$folder/$archive" bin lib COMMIT
  size=$(du -sm "$folder" | cut -f 1)
  own=$(git -C "$root" ls-files -z 2>/dev/null | (cd "$root" && xargs -0 -r du -cm 2>/dev/null) | awk '$2 == "total" { n += $1 } END { print n + 0 }')
  say "to carry: ${folder#"$root"/} ($size MiB), beside the repository's own files ($own MiB)"
  say "there:    scripts/gpu_session.sh run OUT"
  ((size + own <= most_mib)) || die "that is more than $most_mib MiB"
}

# Prints LD_LIBRARY_PATH for the programs.
library_path() {
  local torch=${LOTFORMER_TORCH:-} place path=$work/programs/lib
  if [[ -z $torch ]]; then
    torch=$(python3 -c 'import os, torch; print(os.path.dirname(torch.__file__))' 2>/dev/null || true)
  fi
  # shellcheck disable=SC2154  # deps is of common.sh
  for place in "$deps"/torch-*/torch; do
    [[ -n $torch || ! -d $place/lib ]] || torch=$place
  done
  [[ -d $torch/lib ]] || die "no LibTorch: set LOTFORMER_TORCH to the folder of the package torch, which holds lib/"
  path+=:$torch/lib
  for place in "$torch"/../nvidia/*/lib; do
    [[ ! -d $place ]] || path+=:$(cd "$place" && pwd)
  done
  echo "$path${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
}

run_session() {
  if (($# == 0)) || [[ $1 == -* ]]; then
    usage
  fi
  local target=$1
  shift
  dry='' seconds=590
  while (($# > 0)); do
    case $1 in
      --cpu-dry-run) dry=yes ;;
      --seconds) [[ ${2:-} =~ ^[1-9][0-9]*$ ]] || usage; seconds=$2; shift ;;
      *) usage ;;
    esac
    shift
  done
  mkdir -p "$target" || die "cannot make the folder $target"
  out=$(cd "$target" && pwd)
  work=$(mktemp -d "${TMPDIR:-/tmp}/lotformer-gpu-session.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  mkdir -p "$work/lines" "$work/logs" "$work/runs" "$work/data" "$work/programs"
  [[ -f $folder/$archive ]] || die "there is no $folder/$archive: scripts/gpu_session.sh prepare, then carry the folder"
  tar -C "$work/programs" -xzf "$folder/$archive"
  LD_LIBRARY_PATH=$(library_path)
  tools=$work/programs/bin device=cuda
  [[ -z $dry ]] || device=cpu
  LOTFORMER_VERSIONS=$(python3 "$root/scripts/dev/gpu_report.py" versions "$dry" || echo '{}')
  export LOTFORMER_VERSIONS LD_LIBRARY_PATH LOTFORMER_CONFIG_DIR=$root/configs tools work out dry device seconds
  LOTFORMER_COMMIT=$(cat "$work/programs/COMMIT")
  export LOTFORMER_COMMIT
  all_stages
  ((${#failed[@]} == 0)) || die "did not pass: ${failed[*]}. $out/report.json and the logs in $out/session.tar.gz have the details."
  say "$out/report.json: all passed${dry:+ (dry run: nothing was measured)}"
}

case ${1:-} in
  prepare) shift; prepare "$@" ;;
  run) shift; run_session "$@" ;;
  stage) shift; set_sizes; "$@" ;;   # one of gpu_stages.sh as a process of its own, which a limit can stop
  -h | --help) script_help ;;
  *) usage ;;
esac
