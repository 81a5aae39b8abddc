#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The operators beside a stock torch: builds the wheel of lotformer_torch around BUILD_DIR's liblotformer_ops.so, installs it in a folder of
# its own, looks at what the library needs and exports, and has torch_operators.py compare, differentiate, compile and load. Fetches torch
# unless LOTFORMER_TEST_PYTHON names a python that has it (and setuptools 70.1 or newer). A checkpoint of a tiny run is loaded where lotformer-train is built.
#   tests/scripts/torch_operators.sh BUILD_DIR
set -euo pipefail
build=$(cd "$1" && pwd)
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PYTHONDONTWRITEBYTECODE=1 OMP_NUM_THREADS=1
fail() { echo "error: $*" >&2; exit 1; }

deps=${LOTFORMER_DEPS_DIR:-$(sed -n 's/^LOTFORMER_DEPS_DIR:PATH=//p' "$build/CMakeCache.txt")}
deps=${deps:-$root/.deps}
# shellcheck source=tests/scripts/torch_python.sh
source "$here/torch_python.sh"
torch_python 'setuptools>=70.1,<82'

# --- the library: what it needs, what it shows ------------------------------------------------------------------------------------------
library=$build/lib/liblotformer_ops.so
[[ -f $library ]] || fail "$library is not built (target lotformer_ops_shared)"
needed=$(objdump -p "$library" | awk '$1 == "NEEDED" { print $2 }')
strange=$(grep -vE '^(libtorch_cpu|libtorch_cuda|libc10|libc10_cuda|libcudart|libstdc\+\+|libm|libgcc_s|libgomp|libpthread|libc|ld-linux.*)\.so' <<<"$needed" || true)
[[ -z $strange ]] || fail "$library needs $strange"
grep -q '^libtorch_cpu.so' <<<"$needed" || fail "$library does not need libtorch_cpu.so"
exported=$(nm -D --defined-only "$library" | wc -l)
[[ $exported == 0 ]] || fail "$library exports $exported symbols"
echo "library: needs $(tr '\n' ' ' <<<"$needed")and exports nothing"

# --- the wheel --------------------------------------------------------------------------------------------------------------------------
LOTFORMER_OPS_LIBRARY=$library with_torch -m pip wheel -q --no-build-isolation --no-deps --no-cache-dir -w "$work/wheels" "$root/scripts/python/lotformer_torch"
wheel=$(find "$work/wheels" -name 'lotformer_torch-*-py3-none-linux_*.whl')
[[ -n $wheel ]] || fail "no wheel of the expected name: $(ls "$work/wheels")"
with_torch -m pip install -q --no-deps --no-index --target "$work/site" "$wheel"
cmp "$library" "$work/site/lotformer_torch/liblotformer_ops.so" || fail "the wheel holds another library"
echo "wheel: ${wheel##*/}"

# --- the operators ----------------------------------------------------------------------------------------------------------------------
checkpoint=()
if [[ -x $build/bin/lotformer-train && -x $build/bin/lotformer-data ]]; then
  "$build/bin/lotformer-data" generate --task listops --root "$work/data" --train 60 --val 10 --test 10 --min-length 3 --max-length 60 --max-depth 3 --max-args 4 >/dev/null
  "$build/bin/lotformer-train" --config "$here/../data/configs/tiny.yaml" --set model.layers=2 --set train.steps=3 --set train.lr=1e-2 \
    --set "data.root=$work/data" --set model.attention.kind=lotformer --set model.attention.masses=learned --run-dir "$work/run" --device cpu \
    >/dev/null 2>"$work/log" || { cat "$work/log" >&2; exit 1; }
  checkpoint=(--checkpoint "$work/run")
fi
PYTHONPATH=$work/site with_torch -W ignore "$here/torch_operators.py" --answers "$build/bin/pivot_answers" --work "$work" "${checkpoint[@]}"
