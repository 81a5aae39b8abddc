# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# A python with torch for the scripts that source this: the one that LOTFORMER_TEST_PYTHON names, else an environment below $work, into which torch is
# fetched. Its CUDA libraries are those of our own LibTorch in $deps where that has some, and are not fetched then.
#   torch_python [PACKAGE...]    sets $python; PACKAGEs are fetched beside torch
#   with_torch ARGUMENTS...      runs it
# shellcheck disable=SC2154   # work and deps are the sourcing script's

libraries=
for folder in "$deps"/torch-*/nvidia/*/lib /usr/local/cuda/lib64; do
  if [[ -d $folder ]]; then libraries+=$folder:; fi
done

torch_python() {
  python=${LOTFORMER_TEST_PYTHON:-$work/venv/bin/python}
  [[ -z ${LOTFORMER_TEST_PYTHON:-} ]] || return 0
  python3 -m venv "$work/venv"
  if [[ $libraries == *nvidia* ]]; then
    "$work/venv/bin/pip" install -q --no-deps torch==2.11.0 typing_extensions sympy mpmath filelock networkx jinja2 markupsafe fsspec numpy "$@"
  else
    "$work/venv/bin/pip" install -q torch==2.11.0 numpy "$@"
  fi
}
with_torch() { LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:-} "$python" "$@"; }
