#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Trains a little, makes the run longer, and has the tensorboard package read what the run has written for it. Fetches the package.
#   tests/scripts/tensorboard_reads.sh PROGRAMS    PROGRAMS: folder of lotformer-train
set -euo pipefail
programs=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$programs/lotformer-data" generate --task listops --root "$work/data" --train 400 --val 60 --test 50 --min-length 3 --max-length 100 --max-depth 3 --max-args 4 >/dev/null
train() {
  "$programs/lotformer-train" --config "$here/../data/configs/tiny.yaml" --set "data.root=$work/data" --set train.tensorboard=true --set train.diagnostics_every=30 \
    --run-dir "$work/run" --device cpu --set "train.steps=$1" "${@:2}" 2>&1 | tail -n 1
}
train 30
train 60 --extend
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q tensorboard==2.21.0
"$work/venv/bin/python" "$here/tensorboard_reads.py" "$work/run"
