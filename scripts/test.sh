#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Installs what is missing, builds everything and runs the tests. Works on a clean clone; a second run starts testing in seconds.
#   scripts/test.sh [arguments of ctest...]      e.g. scripts/test.sh -R golden    scripts/test.sh -L fast
# Environment: LOTFORMER_PRESET (release), LOTFORMER_DEPS_DIR, CMAKE_PREFIX_PATH, LOTFORMER_CMAKE_ARGS (e.g. -DLOTFORMER_WERROR=ON).
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
cd "$root"
if [[ ${1:-} == -h || ${1:-} == --help ]]; then
  script_help
  exit
fi

[[ -d $deps/torch-2.11.0 || -n ${CMAKE_PREFIX_PATH:-} ]] || need_disk 4000 "$root" "test.sh"
stage "Installing what is missing" scripts/deps.sh
use_own_cmake_if_needed
stage "Configuring ($preset)" configure_for_use "$preset"
stage "Building" build "$preset"
say "==> Testing"
exec ctest --preset "$preset" "$@"   # its summary is the last thing printed, its exit status ours
