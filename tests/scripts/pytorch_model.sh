#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Trains tiny runs of every attention module and option that changes the model, enlarges their weights, and has the model in plain PyTorch
# give their logits; then imports state dicts of the published form and compares the same way. Fetches torch unless LOTFORMER_TEST_PYTHON
# names a python that has it.
#   tests/scripts/pytorch_model.sh PROGRAMS [NAME...]    PROGRAMS: folder of lotformer-train; NAME: only cases whose name begins so
set -euo pipefail
programs=$1
only=("${@:2}")
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PYTHONDONTWRITEBYTECODE=1

deps=${LOTFORMER_DEPS_DIR:-$root/.deps}
# shellcheck source=tests/scripts/torch_python.sh
source "$here/torch_python.sh"
# shellcheck disable=SC2119   # nothing is wanted beside torch
torch_python
if [[ -z ${LOTFORMER_TEST_PYTHON:-} ]]; then
  "$work/venv/bin/pip" install -q --no-deps onnx==1.23.2 onnxruntime==1.32.0 ml_dtypes protobuf flatbuffers packaging
fi
export OMP_NUM_THREADS=1

# --- data ----------------------------------------------------------------------------------------------------------------------------
generate() { "$programs/lotformer-data" generate --task "$1" --root "$work/data-$1" "${@:2}" >/dev/null; }
generate listops --train 400 --val 40 --test 50 --min-length 3 --max-length 100 --max-depth 3 --max-args 4
generate retrieval --train 60 --val 20 --test 20
generate image --train 60 --test 12
mkdir "$work/data-custom"
for split in train val test; do
  for i in {1..40}; do printf '%d\t%s\n' $((i % 3)) "$(seq -s ' ' $((i % 5 + 1)) $((i % 7 + 8)))"; done >"$work/data-custom/$split.tsv"
done

# The examples of the test split as a file for Python: FILE TASK ROWS [--set ...]
show_rows() {
  local row
  for ((row = 0; row < $3; row++)); do
    "$programs/lotformer-data" show --task "$2" --root "$work/data-$2" --split test --row "$row" --json "${@:4}"
  done >"$1"
}
show_rows "$work/image.jsonl" image 12
listops=$work/data-listops/listops-1000/basic_test.tsv
retrieval=$(find "$work/data-retrieval" -name '*.test.tsv')

# --- runs ----------------------------------------------------------------------------------------------------------------------------
wanted() {
  local name
  ((${#only[@]} > 0)) || return 0
  for name in "${only[@]}"; do [[ $1 != "$name"* ]] || return 0; done
  return 1
}
# Scores with the program: NAME RUN_OR_CHECKPOINT FILE [--set ...]
add_case() {
  "$programs/lotformer-eval" "$2" --device cpu --predictions "$work/$1.tsv" "${@:4}" >/dev/null 2>"$work/log" || { cat "$work/log" >&2; return 1; }
  printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$work/$1.tsv" >>"$work/cases"
}
# Trains and scores: NAME TASK FILE KEY=VALUE...; keys that begin with a dot are options of the attention module.
case_of() {
  wanted "$1" || return 0
  local set=(--set "task=$2" --set "data.root=$work/data-$2") key
  for key in "${@:4}"; do set+=(--set "${key/#./model.attention.}"); done
  "$programs/lotformer-train" --config "$here/../data/configs/tiny.yaml" --set model.layers=2 --set train.steps=12 --set train.lr=1e-2 \
    --set model.dropout=0 --run-dir "$work/runs/$1" --device cpu "${set[@]}" >/dev/null 2>"$work/log" || { cat "$work/log" >&2; return 1; }
  with_torch "$here/pytorch_model.py" --shake "$work/runs/$1" "$work/shaken/$1"
  add_case "$1" "$work/shaken/$1" "$3"
}
on_listops() { case_of "$1" listops "$listops" "${@:2}"; }
: >"$work/cases"
# shellcheck source=tests/scripts/pytorch_cases.sh
source "$here/pytorch_cases.sh"
with_torch "$here/pytorch_golden.py" "$root/tests/data/golden"
with_torch "$here/pytorch_model.py" "$work/cases"
if with_torch -c 'import onnx, onnxruntime' 2>/dev/null; then
  with_torch -W ignore "$here/pytorch_onnx.py" "$work/cases"
else
  echo "skipped: ONNX (onnx and onnxruntime are not installed)"
fi

# --- import of published state dicts ---------------------------------------------------------------------------------------------------
((${#only[@]} == 0)) || exit 0
with_torch "$here/pytorch_published.py" "$root/tests/data/golden"
mkdir "$work/published"
with_torch "$here/pytorch_published.py" --make "$work/published"
: >"$work/cases"
few=$work/few   # their sequences are padded to 2048 and 4096 tokens
"$programs/lotformer-data" generate --task listops --root "$few" --train 8 --val 8 --test 8 --min-length 3 --max-length 100 --max-depth 3 --max-args 4 >/dev/null
"$programs/lotformer-data" generate --task retrieval --root "$few" --train 8 --val 4 --test 4 >/dev/null
# Imports and scores: NAME SOURCE TASK FILE BATCH_SIZE [ARGUMENTS of import_published.py...]
import_case() {
  with_torch "$root/scripts/python/import_published.py" "$work/published/$1.model" --source "$2" --task "$3" --out "$work/imported/$1" "${@:6}" >/dev/null
  add_case "imported-$1" "$work/imported/$1" "$4" --set "data.root=$few" --set "eval.batch_size=$5"
}
for kind in softmax performer lotformer; do
  import_case "$kind" lotformer listops "$few/listops-1000/basic_test.tsv" 8 --attention softmax --vocab "$work/published/vocab.txt"
done
import_case dual skyformer retrieval "$(find "$few" -name '*.test.tsv')" 4
with_torch "$here/pytorch_model.py" "$work/cases"
"$programs/lotformer-train" --config "$work/imported/softmax/config.yaml" --init-from "$work/imported/softmax" --run-dir "$work/runs/on" \
  --device cpu --set "data.root=$few" --set data.generate_missing=false --set train.steps=1 --set train.batch_size=4 --set eval.batch_size=4 \
  2>"$work/log" >/dev/null || { cat "$work/log" >&2; exit 1; }
grep -q "imported/softmax: has no manifest.json" "$work/log"
echo "an imported checkpoint begins a run"
