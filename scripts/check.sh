#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What a reviewer should not have to look for: format, direction of includes, sizes of files, places of third-party headers, leftovers,
# generated pages. Prints each complaint as file[:line]: what is wrong, and fails if there is one.
#   scripts/check.sh [FILES...]      default: every tracked file
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
cd "$root"

complaints=0
complain() {
  printf '%s\n' "$*"
  complaints=$((complaints + 1))
}
# Complains of each line on stdin.
complain_of_each() {
  local line
  while IFS= read -r line; do
    complain "$line$1"
  done
}

if (($# > 0)); then
  mapfile -t files < <(printf '%s\n' "$@")
else
  mapfile -t files < <(git ls-files)
fi
select_files() { printf '%s\n' "${files[@]}" | grep -E "$1" || true; }
mapfile -t sources < <(select_files '\.(h|cpp|cu|cuh)$')
mapfile -t shells < <(select_files '(\.sh|^\.ci/run)$')

# --- format ------------------------------------------------------------------------------------------------------------------------
# The style file is read differently by each major version; the one named here decides.
format_version=14
check_format() {
  local found
  ((${#sources[@]} > 0)) || return 0
  found=$(clang-format --version 2>/dev/null | grep -oE 'version [0-9]+' | grep -oE '[0-9]+' || true)
  if [[ $found != "$format_version" ]]; then
    say "skipped: format (clang-format $format_version is not installed${found:+, found $found})"
    return
  fi
  complain_of_each '' < <(clang-format --dry-run "${sources[@]}" 2>&1 | grep -E '^[^ ]+: warning:' | sort -u -t: -k1,1 | sed 's/: warning:.*/: not as clang-format would write it/')
}

check_shell() {
  ((${#shells[@]} > 0)) || return 0
  if ! command -v shellcheck >/dev/null; then
    say "skipped: shell scripts (shellcheck is not installed)"
    return
  fi
  complain_of_each '' < <(shellcheck -x -f gcc "${shells[@]}" || true)
}

# --- direction of includes ---------------------------------------------------------------------------------------------------------
# What each module may include of ours. core <- config, data, report; ops <- attention <- model <- train <- bench, mpi <- apps.
declare -A allowed=(
  [core]="core"
  [config]="core config"
  [data]="core data"
  [ops]="core ops"
  [attention]="core config ops attention"
  [model]="core config ops attention model"
  [report]="core config report"
  [train]="core config data ops attention model train"
  [bench]="core config ops attention model train bench"
  [mpi]="core train mpi"
  [apps]="core config data report ops attention model train bench mpi apps"
)
module_of() { sed -E 's#^(include/lotformer|src)/([a-z]+)/.*#\2#' <<<"$1"; }

# Prints "file:line:included module" of each include of ours in the library's and the programs' sources.
our_includes() {
  select_files '^(include/lotformer|src)/[a-z]+/' | grep -E '\.(h|cpp|cu|cuh)$' |
    xargs -r grep -nHoE '^#include "(lotformer/)?[a-z_]+/' | sed -E 's/#include "(lotformer\/)?([a-z_]+)\/$/\2/'
}

check_include_direction() {
  local file line included module
  while IFS=: read -r file line included; do
    module=$(module_of "$file")
    if [[ -z ${allowed[$module]:-} ]]; then
      complain "$file:$line: module '$module' is not in the table of scripts/check.sh"
    elif [[ " ${allowed[$module]} " != *" $included "* ]]; then
      complain "$file:$line: '$module' must not include '$included' (it may include: ${allowed[$module]})"
    fi
  done < <(our_includes)
}

# What is not in include/lotformer is its module's own.
check_private_headers() {
  local file line included
  while IFS=: read -r file line included; do
    [[ $(module_of "$file") == "$included" ]] ||
      complain "$file:$line: a header in src/$included is that module's own: what others use stands in include/lotformer/$included"
  done < <(select_files '^(include/lotformer|src)/[a-z]+/' | grep -E '\.(h|cpp|cu|inl)$' | xargs -r grep -nHoE '^#include "[a-z_]+/' |
    grep -v '"lotformer/' | sed -E 's/#include "([a-z_]+)\/$/\1/')
}

# The families of ops stand beside each other: each may include tensor_tools; within pivot the cores see each other as little.
check_ops_rooms() {
  local file line included room
  while IFS=: read -r file line included; do
    room=$(sed -E 's#^src/ops/((pivot/)?[a-z_]+)/.*#\1#' <<<"$file")
    [[ $included == "$room" || $included == tensor_tools || ($included == pivot && $room == pivot/*) ]] ||
      complain "$file:$line: 'ops/$room' must not include 'ops/$included' (it may include: ops/$room ops/tensor_tools, and files of ops itself)"
  done < <(select_files '^src/ops/(pivot/)?[a-z_]+/' | grep -E '\.(h|cpp|cu|inl)$' | grep -vE '^src/ops/pivot/[a-z_]+\.(h|cpp)$' |
    xargs -r grep -nHoE '^#include "ops/(pivot/)?[a-z_]+/' | sed -E 's/#include "ops\/(.*)\/$/\1/')
}

# third_party PATTERN NAME ALLOWED_FILES: includes of NAME outside its home.
third_party() {
  complain_of_each "  <- $2 does not belong here" < <(select_files '^(include/lotformer|src)/' | grep -E '\.(h|cpp|cu|cuh)$' |
    grep -vE "$3" | xargs -r grep -nHE "^#include [<\"]$1" || true)
}

check_third_party() {
  third_party '(torch|ATen|c10)/' 'torch in a torch-free module' '^(include/lotformer|src)/(ops|attention|model|train|bench|mpi|apps)/|^src/torch_pch\.h$'
  third_party 'torch/torch\.h' 'torch/torch.h (6.5 s a file even when precompiled)' '^$'
  third_party 'spdlog/' 'spdlog' '^src/core/log\.cpp$'
  third_party 'yaml-cpp/' 'yaml-cpp' '^(include/lotformer|src)/(config|report)/'
  third_party '(mpi|torch/csrc/cuda/nccl)\.h' 'MPI or NCCL' '^src/mpi/'
  third_party 'CLI/' 'CLI11' '^(include/lotformer|src)/apps/'
}

# --- sizes and leftovers -----------------------------------------------------------------------------------------------------------
check_sizes() {
  local count file
  while read -r count file; do
    if ((count > 500)); then
      complain "$file: $count lines, more than 500"
    elif ((count > 300)); then
      say "note: $file: $count lines, more than 300"
    fi
  done < <(printf '%s\n' "${sources[@]}" "${shells[@]}" | sed '/^$/d' | xargs -r wc -l | grep -v ' total$')
}

check_leftovers() {
  local file text
  for file in "${sources[@]}"; do
    [[ $(head -n 1 "$file") == "// SPDX-License-Identifier: MIT" ]] || complain "$file:1: the first line must be // SPDX-License-Identifier: MIT"
  done
  mapfile -t text < <(select_files '.' | grep -vE '^(scripts/check\.sh|tests/data/)' || true)
  ((${#text[@]} > 0)) || return 0
  complain_of_each '  <- a path of somebody'"'"'s machine' < <(grep -InHE '(^|[^A-Za-z0-9_.$}/])/(work|home|root|Users|mnt)/' "${text[@]}" || true)
  complain_of_each '  <- unfinished' < <(grep -InHwE 'TODO|FIXME|XXX' "${text[@]}" || true)
  complain_of_each '  <- a place that was to be filled in' < <(grep -InHE '^[^#`]*@[A-Z]+_[A-Z_]+@' "${text[@]}" | grep -v 'CMAKE\|@PACKAGE_INIT@\|\.cmake:\|@LOTFORMER\|@PROJECT\|@CUDA' || true)
}

# --- generated pages ---------------------------------------------------------------------------------------------------------------
check_generated_docs() {
  local program=$bin/lotformer-train
  if [[ ! -x $program ]]; then
    say "skipped: docs/config.md (${program#"$root"/} is not built)"
    return
  fi
  diff -q <("$program" --help-config=markdown) docs/config.md >/dev/null ||
    complain "docs/config.md: out of date: ${program#"$root"/} --help-config=markdown > docs/config.md"
}

# The page is what the newest report of a GPU gives; without one it says so.
check_gpu_page() {
  if ! command -v python3 >/dev/null; then
    say "skipped: docs/benchmarks/gpu.md (python3 is not installed)"
    return
  fi
  complain_of_each '' < <(scripts/dev/render_gpu_report.sh --check 2>&1 | sed 's/^error: //')
}

# Each block of commands in the documentation says whether a test runs it, and what it names is there.
check_docs_commands() {
  if ! command -v python3 >/dev/null; then
    say "skipped: commands in the documentation (python3 is not installed)"
    return
  fi
  complain_of_each '' < <(scripts/dev/docs_commands.py check)
}

check_format
check_shell
check_include_direction
check_private_headers
check_ops_rooms
check_third_party
check_sizes
check_leftovers
check_generated_docs
check_gpu_page
check_docs_commands
if ((complaints > 0)); then
  die "scripts/check.sh has $complaints complaint(s), see above."
fi
say "scripts/check.sh: ${#files[@]} files, no complaints"
