#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Another project uses what `cmake --install` leaves: installs the component `development` below a temporary prefix, moves it, builds
# docs/examples against it outside of the tree, runs them and looks at what they print, compiles one of them by pkg-config, and reads what
# find_package says where LibTorch is missing. The libraries have to be built.
#   tests/scripts/installed_package.sh BUILD_DIR
set -euo pipefail
build=$(cd "$1" && pwd)
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset CMAKE_PREFIX_PATH LOTFORMER_TORCH_DIR
export OMP_NUM_THREADS=1
fail() { echo "error: $*" >&2; exit 1; }
quietly() { "$@" >"$work/log" 2>&1 || { tail -n 40 "$work/log" >&2; fail "$* failed"; }; }

torch=$(sed -n 's/^torchdir=//p' "$build/package/lotformer-ops.pc")
[[ -d $torch ]] || fail "$build/package/lotformer-ops.pc names no LibTorch"

# --- the installation, moved after it was made ------------------------------------------------------------------------------------------
quietly cmake --install "$build" --prefix "$work/made" --component development
mv "$work/made" "$work/prefix"
prefix=$work/prefix
for file in lib/liblotformer_ops.a lib/liblotformer.a lib/cmake/lotformer/lotformerConfig.cmake lib/pkgconfig/lotformer-ops.pc \
  include/lotformer/ops/transport.h include/lotformer/attention/capabilities/plans.h; do
  [[ -f $prefix/$file ]] || fail "$file is not installed"
done
[[ ! -e $prefix/bin ]] || fail "the component development brings programs"
leaks=$(grep -rnE "Werror|Wpedantic|lotformer_options|$root|$build" "$prefix/lib/cmake" "$prefix/lib/pkgconfig" | grep -v '^[^:]*:[0-9]*:torchdir=' || true)
[[ -z $leaks ]] || fail "the package names what belongs to the build: $leaks"
echo "installed: $(find "$prefix" -name '*.h' | wc -l) headers, $(find "$prefix" -name '*.a' | wc -l) libraries"

# --- find_package -----------------------------------------------------------------------------------------------------------------------
cp -r "$root/docs/examples" "$work/project"
if cmake -S "$work/project" -B "$work/without" "-DCMAKE_PREFIX_PATH=$prefix" >"$work/log" 2>&1; then
  grep -q "LOTFORMER_TORCH_DIR" "$work/log" || echo "note: LibTorch was found without being named"
else
  grep -q "pass -DLOTFORMER_TORCH_DIR" <(tr -s ' \n' '  ' <"$work/log") || { tail -n 20 "$work/log" >&2; fail "a missing LibTorch is not explained"; }
  echo "without LibTorch: one sentence"
fi
quietly cmake -S "$work/project" -B "$work/build" "-DCMAKE_PREFIX_PATH=$prefix" "-DLOTFORMER_TORCH_DIR=$torch" -DCMAKE_CXX_FLAGS="-Wall -Wextra -Wpedantic -Werror"
quietly cmake --build "$work/build"

"$work/build/transport" >"$work/transport"
cat "$work/transport"
awk '/^converged yes/ { converged = 1 }
     /^marginal errors/ { small = $3 < 1e-12 && $5 <= 1e-9 }
     /^largest entry/ { same = $NF < 1e-12 }
     /^cost/ { right = $NF < 1e-6 }
     END { exit !(converged && small && same && right) }' "$work/transport" || fail "transport: a number is not what it has to be"
"$work/build/train_encoder" >"$work/train"
cat "$work/train"
awk '{ loss[NR] = $NF } END { exit !(NR == 5 && loss[NR] < loss[1] / 2) }' "$work/train" || fail "train_encoder: it has not learned"

# --- pkg-config -------------------------------------------------------------------------------------------------------------------------
if command -v pkg-config >/dev/null; then
  export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
  [[ $(pkg-config --modversion lotformer-ops) == "$(sed -n 's/^project(lotformer VERSION \([0-9.]*\).*/\1/p' "$root/CMakeLists.txt")" ]] || fail "pkg-config: another version"
  read -r -a flags <<<"$(pkg-config "--define-variable=torchdir=$torch" --cflags --libs lotformer-ops)"
  quietly "${CXX:-c++}" -std=c++20 "$work/project/transport.cpp" "${flags[@]}" -o "$work/transport_by_pkg_config"
  "$work/transport_by_pkg_config" | cmp - "$work/transport" || fail "the program made by pkg-config prints something else"
  echo "pkg-config: the same program"
else
  echo "skipped: pkg-config is not installed"
fi
